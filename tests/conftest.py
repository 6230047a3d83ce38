"""Shared ground: real data, one small simulated event, and the command line."""

from __future__ import annotations

import contextlib
import io
import ipaddress
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from cube.cli import main
from cube.simulate import simulate_event

ROOT = Path(__file__).resolve().parent.parent
# the first call compiles, and a shared machine pauses: no ordinary test is timed
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

CLI = [sys.executable, "-c", "from cube.cli import main; main()"]


@pytest.fixture(scope="session", autouse=True)
def no_network() -> Iterator[None]:
    """Refuse every connection that leaves this machine."""
    connect = socket.socket.connect

    def refuse(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host = address[0]
            with contextlib.suppress(ValueError):
                if ipaddress.ip_address(host).is_loopback:
                    return connect(self, address)
            if host != "localhost":
                raise AssertionError(f"a test reached for the network: {address}")
        return connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        yield


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of real data."""
    folder = Path(os.environ.get("CUBE_TEST_DATA", ROOT / "../shared/data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set CUBE_TEST_DATA")
    return folder.resolve()


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scratch folder of all builds."""
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="session")
def small_event(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a simulated event of 5 by 4 km and four passes; read only by agreement."""
    return simulate_event(tmp_path_factory.mktemp("small") / "event", small=True).directory


@pytest.fixture
def own_event(small_event: Path, tmp_path: Path) -> Path:
    """A copy of the small event that a test may damage."""
    return Path(shutil.copytree(small_event, tmp_path / "event"))


@dataclass(frozen=True)
class Outcome:
    """What a run of the command line left behind."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line of an expected failure."""
        assert self.code == 1, f"exit {self.code}: {self.out}{self.err}"
        assert "Traceback" not in self.err, self.err
        lines = self.err.splitlines()
        assert lines, "no word of explanation"
        assert lines[-1].startswith("cube: "), lines
        assert sum(line.startswith("cube: ") for line in lines) == 1, lines
        return lines[-1].removeprefix("cube: ")

    def fine(self) -> Outcome:
        """Itself, if all went well."""
        assert self.code == 0, f"exit {self.code}: {self.out}{self.err}"
        return self


Command = Callable[..., Outcome]


@pytest.fixture(scope="session")
def cube_command() -> Command:
    """The command line in this process: fast, and warnings are errors."""

    def run(*words: object) -> Outcome:
        out, err, code = io.StringIO(), io.StringIO(), 0
        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            patch.setattr(sys, "argv", ["cube", *map(str, words)])
            try:
                main()
            except SystemExit as stop:
                code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        return Outcome(code, out.getvalue(), err.getvalue())

    return run


@pytest.fixture(scope="session")
def run_cube() -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command line as a process of its own."""

    def run(*words: object, **options: Any) -> subprocess.CompletedProcess[str]:
        settings = {"capture_output": True, "text": True, "timeout": 180, "check": False, **options}
        return subprocess.run([*CLI, *map(str, words)], **settings)

    return run


@pytest.fixture(scope="session")
def start_cube() -> Callable[..., subprocess.Popen[str]]:
    """The command line as a process that a test stops as it likes."""

    def start(*words: object, **options: Any) -> subprocess.Popen[str]:
        settings = {
            "stdout": subprocess.DEVNULL,
            "stderr": subprocess.PIPE,
            "text": True,
            # a job in the background of a script is deaf to Ctrl-C, and so is what it starts
            "preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            **options,
        }
        return subprocess.Popen([*CLI, *map(str, words)], **settings)

    return start


@pytest.fixture(scope="session")
def asked(scratch: Path) -> Callable[..., list[object]]:
    """Words of a build of an event's folder, without HAND."""

    def words(event: Path, out: Path, *more: object) -> list[object]:
        base = ["--event", event / "event.toml", "--source", event, "--hand", "none"]
        return [*base, "--scratch", scratch, "--out", out, *more]

    return words


Build = Callable[..., Outcome]


@pytest.fixture(scope="session")
def build(cube_command: Command, asked: Callable[..., list[object]]) -> Build:
    """``cube build`` of an event's folder in this process."""

    def run(event: Path, out: Path, *more: object) -> Outcome:
        return cube_command("build", *asked(event, out, *more))

    return run


@pytest.fixture(scope="session")
def built(small_event: Path, tmp_path_factory: pytest.TempPathFactory, build: Build) -> Path:
    """A finished cube of the small event at 10 m, one block."""
    path = tmp_path_factory.mktemp("built") / "cube.zarr"
    build(small_event, path).fine()
    return path


@pytest.fixture
def own_cube(built: Path, tmp_path: Path) -> Path:
    """A copy of the finished cube that a test may damage."""
    return Path(shutil.copytree(built, tmp_path / "own.zarr"))


@pytest.fixture(scope="session")
def tree() -> Callable[[Path], dict[str, bytes]]:
    """Every file below a folder with its bytes."""

    def read(folder: Path) -> dict[str, bytes]:
        return {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    return read


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the benchmarks out unless they are named: they measure, and take their time.

    Files such as this one hold no tests, and all have one name.
    """
    if collection_path.name == "conftest.py":
        return True
    named = any("benchmarks" in str(argument) for argument in config.args)
    return True if "benchmarks" in collection_path.parts and not named else None


_WANT_OF_DATA: list[str] = []


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count the tests that were skipped for want of data."""
    if report.skipped and "CUBE_TEST_DATA" in str(report.longrepr):
        _WANT_OF_DATA.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where the data folder exists, a test skipped for want of it is a failure."""
    folder = Path(os.environ.get("CUBE_TEST_DATA", ROOT / "../shared/data"))
    if _WANT_OF_DATA and folder.is_dir():
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many tests were skipped for want of data."""
    terminalreporter.write_line(f"skipped for want of data: {len(_WANT_OF_DATA)}")


@dataclass(frozen=True)
class Demo:
    """The demo as a stranger gets it."""

    cube: Path
    truth: Path
    cache: Path
    out: str


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """``cube build --event demo`` in an empty folder with an empty cache."""
    folder, cache = tmp_path_factory.mktemp("demo"), tmp_path_factory.mktemp("cache")
    done = subprocess.run(
        [*CLI, "build", "--event", "demo"],
        cwd=folder,
        env={**os.environ, "XDG_CACHE_HOME": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    truth = next((cache / "floodcube").glob("simulated-demo-*/truth.tif"))
    return Demo(folder / "demo.zarr", truth, cache, done.stdout)
