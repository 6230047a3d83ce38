"""The error tree: one line each, saying what was found, what was allowed and what to do.

::

    CubeError
    ├── CatalogError     an event, preset, endpoint or its file is malformed
    │   └── UnknownNameError  no record has that name
    ├── SearchError      a STAC search failed or found nothing that can be used
    ├── SourceError      an input file is missing, truncated, hostile or of another kind
    │   ├── DemError     a DEM does not cover the area or does not state its vertical datum
    │   └── TrustError   an untrusted endpoint leads into this machine or network
    ├── PlanError        the request cannot be planned as asked
    └── StoreError       the cube on disk is of another plan, locked, full or damaged

Kernels know nothing of this tree: they raise ``ValueError`` and its subclasses.
"""

from __future__ import annotations

__all__ = [
    "CatalogError",
    "CubeError",
    "DemError",
    "PlanError",
    "SearchError",
    "SourceError",
    "StoreError",
    "TrustError",
    "UnknownNameError",
]


class CubeError(Exception):
    """Base of everything that the command line prints as one line with exit status 1."""


class CatalogError(CubeError):
    """An event, preset or endpoint is unknown, or its file is malformed."""


class UnknownNameError(CatalogError):
    """No event, preset or endpoint has that name."""


class SearchError(CubeError):
    """A STAC search failed, or found nothing that can be used."""


class SourceError(CubeError):
    """An input file is missing, truncated, hostile or not what it should be."""


class DemError(SourceError):
    """A DEM does not cover the area, or does not say what its heights refer to."""


class TrustError(SourceError):
    """An endpoint that is not trusted leads into this machine or network."""


class PlanError(CubeError):
    """The request cannot be planned as asked."""


class StoreError(CubeError):
    """The cube on disk is of another plan, locked, full or damaged."""
