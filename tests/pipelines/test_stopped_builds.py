"""Builds that are stopped, and builds that are asked for again."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from stopping import stop, wait_for

from pipelines.cost import peak_memory

# 805 x 994 pixels: two by two stored chunks, and as many blocks under the memory limit
FINE = ("--resolution", 5, "--workers", 1)
NARROW = (*FINE, "--memory-limit", f"{peak_memory(512, 1, 5.0) + 1}B")


def flags(cube: Path, stage: str) -> list[Path]:
    """Files of the blocks of a stage that are on disk."""
    return [path for path in cube.glob(f"progress/{stage}_512/c/*/*") if path.name.isdigit()]


@pytest.fixture(scope="session")
def fine(small_event, tmp_path_factory, build) -> Path:
    """An undisturbed cube of two by two chunks, built in one block."""
    path = tmp_path_factory.mktemp("fine") / "cube.zarr"
    build(small_event, path, *FINE).fine()
    return path


def test_memory_limit_changes_the_blocks(cube_command, asked, small_event, tmp_path):
    words = asked(small_event, tmp_path / "cube.zarr", "--json")
    wide = json.loads(cube_command("plan", *words, *FINE).fine().out)
    narrow = json.loads(cube_command("plan", *words, *NARROW).fine().out)
    assert (wide["run"]["block"], narrow["run"]["block"]) == (1024, 512)


def test_block_layout_never_changes_a_byte(build, small_event, fine, tmp_path, tree):
    build(small_event, tmp_path / "cube.zarr", *NARROW).fine()
    assert tree(tmp_path / "cube.zarr") == tree(fine)


def test_two_builds_of_one_plan_are_equal(build, small_event, built, tmp_path, tree):
    build(small_event, tmp_path / "again.zarr").fine()
    assert tree(tmp_path / "again.zarr") == tree(built)


def test_processes_give_the_bytes_of_threads(run_cube, asked, small_event, built, tmp_path, tree):
    words = asked(small_event, tmp_path / "cube.zarr", "--scheduler", "processes", "--workers", 1)
    done = run_cube("build", *words)
    assert done.returncode == 0, done.stderr
    assert tree(tmp_path / "cube.zarr") == tree(built)


def test_killed_anywhere_it_ends_in_the_same_bytes(
    start_cube, build, asked, small_event, fine, tmp_path, tree
):
    out = tmp_path / "cube.zarr"
    moments = (
        lambda: (tmp_path / "cube.zarr.lock").exists(),
        out.exists,
        lambda: flags(out, "surface"),
        lambda: flags(out, "backscatter_1"),
        lambda: flags(out, "flood_0"),
        lambda: flags(out, "summary") or not (out / "progress").exists(),
    )
    for moment in moments:
        process = start_cube("build", *asked(small_event, out, *NARROW))
        wait_for(process, moment)
        stop(process, signal.SIGKILL)
    build(small_event, out, *NARROW).fine()
    assert tree(out) == tree(fine)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cube.zarr"]


def test_finished_blocks_are_not_computed_again(start_cube, build, asked, small_event, tmp_path):
    out = tmp_path / "cube.zarr"
    process = start_cube("build", *asked(small_event, out, *NARROW))
    wait_for(process, lambda: len(flags(out, "backscatter_2")) >= 2)
    stop(process, signal.SIGKILL)
    done = [path.relative_to(path.parents[1]) for path in flags(out, "backscatter_2")]
    kept = [out / "dem" / "c", *(out / "vv" / "c" / str(index) for index in (0, 1))]
    chunks = [path for folder in kept for path in folder.rglob("*") if path.is_file()]
    chunks += [out / "vh" / "c" / "2" / place for place in done]
    before = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in chunks}
    assert len(before) >= 14
    build(small_event, out, *NARROW).fine()
    assert {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in chunks} == before


def test_a_build_goes_on_with_another_block_size(
    start_cube, build, asked, small_event, fine, tmp_path, tree
):
    out = tmp_path / "cube.zarr"
    process = start_cube("build", *asked(small_event, out, *NARROW))
    wait_for(process, lambda: flags(out, "backscatter_1"))
    stop(process, signal.SIGKILL)
    build(small_event, out, *FINE).fine()
    assert tree(out) == tree(fine)


def test_interrupted_by_hand_it_says_how_to_go_on(
    start_cube, build, asked, small_event, fine, tmp_path, tree
):
    for attempt in range(5):
        out = tmp_path / str(attempt) / "cube.zarr"
        process = start_cube("build", *asked(small_event, out, *NARROW))
        wait_for(process, lambda out=out: flags(out, "surface"))
        last = stop(process, signal.SIGINT).splitlines()[-1]
        if process.returncode:
            break  # else the machine was busy, and the build at its end before the signal came
    assert (process.returncode, last) == (
        1,
        "cube: interrupted; finished blocks are kept: run the same command again to go on",
    )
    assert not out.with_name("cube.zarr.lock").exists()
    build(small_event, out, *NARROW).fine()
    assert tree(out) == tree(fine)


def test_what_a_killed_writer_left_beside_its_chunks_is_removed(
    start_cube, build, asked, small_event, fine, tmp_path, tree
):
    out = tmp_path / "cube.zarr"
    process = start_cube("build", *asked(small_event, out, *NARROW))
    wait_for(process, lambda: flags(out, "backscatter_0"))
    stop(process, signal.SIGKILL)
    leftover = out / "vv" / "c" / "0" / "0" / "1.0123.partial"
    leftover.parent.mkdir(parents=True, exist_ok=True)
    leftover.write_bytes(b"half a chunk")
    build(small_event, out, *NARROW).fine()
    assert tree(out) == tree(fine)


def test_one_killed_while_it_forgets_its_journals_is_finished(
    build, small_event, own_cube, built, tree
):
    (own_cube / "progress" / "surface_512").mkdir(parents=True)
    assert "nothing" not in build(small_event, own_cube).fine().err
    assert tree(own_cube) == tree(built)


# --- disks


@dataclass
class Narrow:
    """A place where a cube of 10 m does not fit, until it is widened."""

    folder: Path
    options: dict[str, Any] = field(default_factory=dict)
    mounted: bool = False

    def widen(self) -> None:
        """Make room."""
        self.options.clear()
        if self.mounted:
            words = ["mount", "-o", "remount,size=64m", str(self.folder)]
            subprocess.run(words, check=True)


@pytest.fixture
def narrow_disk(tmp_path: Path) -> Iterator[Narrow]:
    """A small memory disk; where none can be mounted, a limit on the size of files."""
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(folder)]
    mount = shutil.which("mount")
    if mount and subprocess.run(words, capture_output=True, check=False).returncode == 0:
        yield Narrow(folder, mounted=True)
        subprocess.run(["umount", "-l", str(folder)], check=True)
    else:
        yield Narrow(folder, {"preexec_fn": file_limit})


def file_limit() -> None:
    """No file may grow beyond 200 kB: chunks of backscatter do not fit, all else does."""
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (200_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1])
    )


def test_a_full_disk_is_one_line_and_a_later_run_completes(
    run_cube, asked, small_event, built, narrow_disk, tree
):
    out = narrow_disk.folder / "cube.zarr"
    failed = run_cube("build", *asked(small_event, out), **narrow_disk.options)
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1].startswith(f"cube: {out}: no space left while writing")
    assert "Traceback" not in failed.stderr
    kept = (out / "dem" / "c" / "0" / "0").stat().st_mtime_ns
    narrow_disk.widen()
    again = run_cube("build", *asked(small_event, out))
    assert again.returncode == 0, again.stderr
    assert (out / "dem" / "c" / "0" / "0").stat().st_mtime_ns == kept
    assert tree(out) == tree(built)


def test_a_file_that_may_not_grow_is_one_line(run_cube, asked, small_event, tmp_path):
    out = tmp_path / "cube.zarr"
    failed = run_cube("build", *asked(small_event, out), preexec_fn=file_limit)
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1].startswith(f"cube: {out}: no space left while writing")
    assert not list(out.rglob("*.partial"))


@pytest.mark.parametrize("room", [0, 3000], ids=["lock", "template"])
def test_no_room_for_the_first_byte_leaves_nothing(run_cube, asked, small_event, tmp_path, room):
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))

    out = tmp_path / "cube.zarr"
    failed = run_cube(
        "build",
        *asked(small_event, out),
        preexec_fn=limit,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        capture_output=False,
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path.parent / "numba")},
    )
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1].startswith(f"cube: {out}: cannot be created")
    assert list(tmp_path.iterdir()) == []


# --- asked again


def test_a_finished_cube_answers_without_its_source(build, own_event, own_cube, tmp_path):
    shutil.rmtree(own_event / "safe")
    shutil.rmtree(own_event / "sentinel-1-grd")
    (own_event / "catalog.json").unlink()
    assert "nothing to do" in build(own_event, own_cube).fine().err


def test_a_finished_cube_answers_where_the_source_is_gone(build, small_event, own_cube, tmp_path):
    assert "nothing to do" in build(small_event, own_cube, "--source", tmp_path / "gone").fine().err


def test_a_finished_cube_is_not_written_again(build, small_event, own_cube):
    before = {path: path.stat().st_mtime_ns for path in own_cube.rglob("*")}
    build(small_event, own_cube).fine()
    assert {path: path.stat().st_mtime_ns for path in own_cube.rglob("*")} == before


@pytest.fixture
def stopped(start_cube, asked, small_event, tmp_path: Path) -> Path:
    """A cube at 40 m without water whose build was killed before its end."""
    out = tmp_path / "stopped.zarr"
    words = ("--source", small_event / "safe", "--resolution", 40, "--model", "none")
    process = start_cube("build", *asked(small_event, out, *words))
    wait_for(process, lambda: (out / "progress" / "surface_512").exists())
    stop(process, signal.SIGKILL)
    if not (out / "progress").exists():
        pytest.fail("the build ended before it could be stopped")
    return out


def coarse(build, source: Path, event: Path, out: Path):
    return build(event, out, "--source", source, "--resolution", 40, "--model", "none")


def test_going_on_does_not_search_again(build, own_event, small_event, stopped):
    plan = json.loads((stopped / "zarr.json").read_text())["attributes"]["floodcube"]
    later = sorted((own_event / "safe").iterdir())[0]
    later.rename(later.with_name(later.name.replace("20220708", "20220702")))
    other = own_event / "safe"
    shutil.copytree(sorted((small_event / "safe").iterdir())[0], other / later.name)
    coarse(build, other, small_event, stopped).fine()
    after = json.loads((stopped / "zarr.json").read_text())["attributes"]["floodcube"]
    assert after == plan


def test_going_on_names_a_product_that_is_gone(build, own_event, small_event, stopped):
    gone = sorted((own_event / "safe").iterdir())[0]
    shutil.rmtree(gone)
    error = coarse(build, own_event / "safe", small_event, stopped).error
    assert f"no longer holds {gone.stem}, which the cube needs" in error
