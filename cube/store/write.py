"""Writing lazy blocks into a cube, one task per block, with a journal that survives kill -9."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import zarr
from numpy.typing import NDArray

from cube.chunks import block_counts
from cube.errors import StoreError
from cube.schema import CHUNK, Variable
from cube.store.template import create_array

__all__ = [
    "Journal",
    "Target",
    "close_journals",
    "has_summary",
    "remove_partial",
    "set_flag",
    "set_summary",
    "stored_array",
    "write_blocks",
]

Statistic = Callable[[NDArray[np.float32]], NDArray[Any]]


@dataclass(frozen=True)
class Target:
    """Where one band of a stack goes: a variable and its index along time or track.

    Where `lookup` is given, the band holds whole numbers and ``lookup[number]`` is stored;
    negative numbers store the array's fill value.
    """

    variable: str
    index: int | None = None
    lookup: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Journal:
    """Which blocks of a stage are on disk.

    A flag per block in the group ``progress``, each in a file of its own and written after the
    block's last chunk, by an atomic rename. It exists only while the cube is unfinished. Every
    block size has a journal of its own, so that no flag is ever read as that of another layout.
    """

    path: str
    stage: str
    shape: tuple[int, int]
    block: int

    @property
    def _flags(self) -> Variable:
        name = f"{self.stage}_{self.block}"
        return Variable(name, ("block_y", "block_x"), "bool", False, {}, "progress")

    def open(self) -> None:
        """Create the journal where it is missing.

        Raises
        ------
        StoreError
            No space is left.
        """
        try:
            group = zarr.open_group(self.path, mode="r+", use_consolidated=False)
            if self._flags.path not in group:
                create_array(group, self._flags, block_counts(self.shape, self.block), (1, 1))
        except OSError as error:
            raise _full(self.path, error) from error

    def done(self) -> NDArray[np.bool_]:
        """Flags of the blocks, shape (block_y, block_x)."""
        return np.asarray(stored_array(self.path, self._flags.path)[...])

    def mark(self, y: int, x: int) -> None:
        """Say that a block is on disk."""
        stored_array(self.path, self._flags.path)[y, x] = True


def close_journals(path: Path) -> None:
    """Forget the journals of all stages: the cube is finished."""
    shutil.rmtree(path / "progress", ignore_errors=True)


def stored_array(path: str, name: str) -> Any:
    """Array of a store by its path within it; opened once per process and version of it."""
    state = (Path(path) / name / "zarr.json").stat()
    return _open_array(path, name, state.st_ino, state.st_mtime_ns)


@lru_cache(maxsize=512)
def _open_array(path: str, name: str, inode: int, modified: int) -> Any:
    del inode, modified  # another array at the same place is another one
    return zarr.open_array(f"{path}/{name}", mode="r+")


def _write(
    stack: NDArray[np.float32],
    path: str,
    targets: tuple[Target, ...],
    statistics: Mapping[str, tuple[int, Statistic]],
    journal: Journal,
    block_info: Any = None,
) -> NDArray[np.bool_]:
    (_, _), (y0, y1), (x0, x1) = block_info[0]["array-location"]
    rows, cols = slice(y0, y1), slice(x0, x1)
    try:
        for band, target in zip(stack, targets, strict=True):
            array = stored_array(path, target.variable)
            place = (rows, cols) if target.index is None else (target.index, rows, cols)
            array[place] = _stored(band, target, array)
        tile_rows, tile_cols = _tiles(rows), _tiles(cols)
        for name, (index, function) in statistics.items():
            stored_array(path, name)[index, tile_rows, tile_cols] = function(stack)
        journal.mark(y0 // journal.block, x0 // journal.block)
    except OSError as error:
        raise _full(path, error) from error
    return np.ones((1, 1, 1), bool)


def _tiles(part: slice) -> slice:
    return slice(part.start // CHUNK, -(-part.stop // CHUNK))


def _stored(band: NDArray[np.float32], target: Target, array: Any) -> NDArray[Any]:
    """Values as they are stored; classes and indices travel as float32, exactly."""
    if target.lookup is not None:
        index = band.astype("int64")
        values = np.asarray((*target.lookup, array.fill_value), array.dtype)
        return np.asarray(np.where(index < 0, values[-1], values[index]))
    return band if array.dtype == band.dtype else band.astype(array.dtype)


def _full(path: str, error: OSError) -> StoreError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return StoreError(
            f"{path}: no space left while writing ({error.strerror}); finished blocks are kept:"
            " free some space and run the same command again"
        )
    return StoreError(f"{path}: cannot be written ({error.strerror or error})")


def write_blocks(
    stack: da.Array,
    path: str,
    targets: Sequence[Target],
    journal: Journal,
    statistics: Mapping[str, tuple[int, Statistic]] | None = None,
) -> list[Any]:
    """Lazy writes of the blocks of a stack that are not on disk yet.

    Parameters
    ----------
    stack : dask array, float32, shape (band, y, x)
        One block along band.
    path : str
    targets : sequence of Target
        One per band.
    journal : Journal
        Opened; its shape and block are those of the stack.
    statistics : mapping of array name to (index, function), optional
        Written per block before its flag, at the block's tiles.

    Returns
    -------
    list of dask Delayed
        One per missing block; computing it writes the block. The chain from kernel to disk is one
        task.
    """
    written = da.map_blocks(
        _write,
        stack,
        path=path,
        targets=tuple(targets),
        statistics=dict(statistics or {}),
        journal=journal,
        dtype=bool,
        chunks=((1,), *((1,) * n for n in stack.numblocks[1:])),
        meta=np.empty((0, 0, 0), bool),
    )
    missing = np.argwhere(~journal.done())
    blocks = written.to_delayed()[0]  # the chain of a block is one task there
    return [blocks[int(y), int(x)] for y, x in missing]


def set_flag(path: Path, name: str, index: int, value: bool = True) -> None:
    """Set a per-pass flag; the client alone does this, by one atomic rename."""
    array = stored_array(str(path), name)
    try:
        array[index] = value
    except OSError as error:
        raise _full(str(path), error) from error


def set_summary(path: Path, passes: Sequence[str]) -> None:
    """Record which passes the summary layers were made from, by one atomic rename.

    The consolidated metadata stay those of the template: journals do not belong to them.
    """
    try:
        group = zarr.open_group(path, mode="r+", use_consolidated=True)
        group.attrs["summary_of"] = list(passes)
    except OSError as error:
        raise _full(str(path), error) from error


def has_summary(path: Path) -> bool:
    """Whether the summary of a cube was recorded."""
    group = zarr.open_group(path, mode="r", use_consolidated=False)
    return "summary_of" in group.attrs


def remove_partial(path: Path) -> None:
    """Delete what a killed writer left beside its chunks."""
    for leftover in path.rglob("*.partial"):
        leftover.unlink(missing_ok=True)
