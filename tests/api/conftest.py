"""One real STAC API for all tests of this folder."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from real_api import RealApi, missing, running_api


@pytest.fixture(scope="session")
def stac_api() -> Iterator[RealApi]:
    """A real API, empty at first; load into collections of your own."""
    lacking = missing()
    if lacking and os.environ.get("CUBE_CI_API") == "1":
        pytest.fail(f"no STAC API to test against: {lacking}")
    if lacking:
        pytest.skip(f"no STAC API to test against: {lacking}")
    with running_api() as api:
        yield api
