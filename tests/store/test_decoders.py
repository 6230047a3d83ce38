"""Other decoders of chunks give the same values: who has many processors or a GPU needs them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import zarr


def values(path: Path) -> dict[str, np.ndarray]:
    """Every array of a cube, whole."""
    group = zarr.open_group(path, mode="r")
    arrays = group.members(max_depth=None)
    return {name: np.asarray(one[...]) for name, one in arrays if isinstance(one, zarr.Array)}


def test_zarrs_decodes_a_cube_bit_for_bit(built: Path):
    wanted = values(built)
    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        found = values(built)
        one = zarr.open_array(built / "vv", mode="r")
        assert type(one.async_array.codec_pipeline).__module__.startswith("zarrs")
        part = one[0, 100:301, 37:90]
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array)
    np.testing.assert_array_equal(part, wanted["vv"][0, 100:301, 37:90])
