"""XML from outside: no entities, no DTD, one-line errors."""

from __future__ import annotations

import math
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

import defusedxml.ElementTree
from defusedxml.common import DefusedXmlException

from cube.errors import SourceError
from cube.readers.access import ON_DISK, Access, is_remote, plain
from cube.readers.transport import get

__all__ = ["local_name", "number", "parse", "parse_bytes", "text", "whole"]


_MAX_BYTES = 64 * 2**20  # the largest annotation holds under 10 MB


def parse(href: str, root: str | None = None, access: Access = ON_DISK) -> Element:
    """Parse a file whose document element must be `root`.

    Raises
    ------
    SourceError
        The file is missing, malformed, declares entities, or is another document.
    """
    if is_remote(href):
        return parse_bytes(get(href, access, _MAX_BYTES), plain(href), root)
    try:
        content = Path(href).read_bytes()
    except OSError as error:
        raise SourceError(
            f"{href}: cannot read ({error.strerror}); is the product complete?"
        ) from error
    return parse_bytes(content, href, root)


def parse_bytes(content: bytes, href: str, root: str | None = None) -> Element:
    """Parse a document that was read from `href`; see `parse`."""
    try:
        element: Element = defusedxml.ElementTree.fromstring(content, forbid_dtd=True)
    except DefusedXmlException as error:
        raise SourceError(
            f"{href}: declares a DTD or entities ({type(error).__name__}), which are refused;"
            " Sentinel-1 products have none"
        ) from error
    except (ParseError, ValueError, LookupError) as error:
        raise SourceError(f"{href}: malformed XML ({error}); download the product again") from error
    if root is not None and local_name(element) != root:
        raise SourceError(f"{href}: holds <{local_name(element)}>, expected <{root}>")
    return element


def local_name(element: Element) -> str:
    """Tag without its namespace."""
    return element.tag.rpartition("}")[2]


def text(element: Element, path: str, href: str) -> str:
    """Text of a descendant that must be there.

    Raises
    ------
    SourceError
        There is no such element, or it is empty.
    """
    found = element.findtext(path)
    if found is None or not found.strip():
        raise SourceError(f"{href}: <{local_name(element)}> lacks {path}; the file is incomplete")
    return found.strip()


def number(element: Element, path: str, href: str) -> float:
    """Return a descendant's text as a finite number.

    Raises
    ------
    SourceError
        Absent, or not a finite number.
    """
    found = text(element, path, href)
    try:
        value = float(found)
    except ValueError as error:
        raise SourceError(f"{href}: {path} is {found!r}, not a number") from error
    if not math.isfinite(value):
        raise SourceError(f"{href}: {path} is {found!r}, not a finite number")
    return value


def whole(element: Element, path: str, href: str) -> int:
    """Return a descendant's text as a whole number.

    Raises
    ------
    SourceError
        Absent, or not a whole number.
    """
    value = number(element, path, href)
    if not value.is_integer():
        raise SourceError(f"{href}: {path} is {value:g}, not a whole number")
    return int(value)
