"""A small STAC API for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from small_api import SmallApi

from cube.readers import api as api_module
from cube.readers import transport
from cube.readers.stac import ApiSource


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallApi]:
    """A server on this machine; a search is repeated once, after milliseconds."""
    monkeypatch.setattr(transport, "RETRIES", 1)
    monkeypatch.setattr(transport, "BACKOFF_S", 0.001)
    monkeypatch.setattr(api_module, "TIMEOUT_S", (2.0, 5.0))
    with SmallApi() as served:
        yield served


@pytest.fixture
def source(api: SmallApi) -> ApiSource:
    """The server as a source that may lead to public places only, itself apart."""
    return ApiSource(api.url, "sentinel-1-grd")
