"""Models with random weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import small_models


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    return small_models.single_model(tmp_path_factory.mktemp("single") / "random")


@pytest.fixture(scope="session")
def two_branches(tmp_path_factory) -> Path:
    return small_models.two_branch_model(tmp_path_factory.mktemp("two") / "random")
