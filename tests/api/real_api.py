"""A STAC API as others run it: PostgreSQL, PostGIS, pgstac, stac-fastapi; on this machine only."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["RealApi", "missing", "running_api"]

DEADLINE_S = 60.0
USER = "postgres"
HOW = "; .ci/run does it"


def missing() -> str | None:
    """What has to be installed before a server can run, or None."""
    if binaries() is None:
        return "install postgresql and its PostGIS (Debian: postgresql-NN-postgis-3)" + HOW
    names = ("pypgstac", "stac_fastapi.pgstac", "uvicorn")
    with contextlib.suppress(ModuleNotFoundError):
        if all(importlib.util.find_spec(name) for name in names):
            return None
    return 'pip install -e ".[api]"' + HOW


def binaries() -> Path | None:
    """Folder of the newest PostgreSQL that has PostGIS."""
    found = [
        folder
        for folder in Path("/usr/lib/postgresql").glob("*/bin")
        if (folder / "initdb").is_file()
        and Path("/usr/share/postgresql", folder.parent.name, "extension/postgis.control").is_file()
    ]
    return max(found, key=lambda folder: float(folder.parent.name), default=None)


@dataclass(frozen=True)
class RealApi:
    """A running API.

    Attributes
    ----------
    url : str
    dsn : str
        Of the database behind it.
    """

    url: str
    dsn: str

    def load(self, collections: Iterable[dict[str, Any]], items: Iterable[dict[str, Any]]) -> None:
        """Put collections and Items in, over those of the same id."""
        from pypgstac.load import Loader, Methods

        with database(self.dsn) as db:
            loader = Loader(db=db)
            loader.load_collections(iter(collections), Methods.upsert)
            loader.load_items(iter(items), Methods.upsert)


@contextlib.contextmanager
def database(dsn: str) -> Iterator[Any]:
    """Connection of pgstac's own tools; their warnings are not ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pypgstac.db import PgstacDB

        db = PgstacDB(dsn=dsn)
        try:
            yield db
        finally:
            db.disconnect()


def free_port() -> int:
    """A port of this machine that nobody listens to."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def as_child(*words: str, user: str | None = None) -> list[str]:
    """Command that ends with this process, as another user where that is asked for."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        if user:
            raise RuntimeError("PostgreSQL refuses root: install util-linux (setpriv)")
        return list(words)
    who = ["--reuid", user, "--regid", user, "--clear-groups"] if user else []
    return [setpriv, *who, "--pdeathsig", "INT", *words]


def wait_for(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    """Return when a server answers; say what it logged where it ends or takes too long."""
    end = time.monotonic() + DEADLINE_S
    while not ready():
        if process.poll() is not None or time.monotonic() > end:
            state = f"ended with {process.returncode}" if process.poll() is not None else "is late"
            raise RuntimeError(f"{process.args[-1]} {state}: {log.read_text()[-2000:]}")
        time.sleep(0.05)


@contextlib.contextmanager
def child(
    words: list[str], log: Path, folder: Path, ready: Callable[[], bool], **settings: str
) -> Iterator[None]:
    """A server that runs as long as the context, stopped by its pid."""
    env = {name: text for name, text in os.environ.items() if not name.startswith("PG")}
    with log.open("wb") as out:
        process = subprocess.Popen(
            words, stdout=out, stderr=subprocess.STDOUT, cwd=folder, env=env | settings
        )
    try:
        wait_for(ready, process, log)
        yield
    finally:
        process.send_signal(signal.SIGINT)  # for PostgreSQL: without waiting for clients
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def postgres(folder: Path) -> Iterator[tuple[int, str]]:
    """A new cluster that listens on loopback only; its port and password."""
    found = binaries()
    assert found is not None
    user = USER if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user, user)
    data, port, password = folder / "data", free_port(), secrets.token_hex(16)
    secret = folder / "password"
    secret.write_text(password)
    if user:
        shutil.chown(secret, user, user)
    options = ["--auth=scram-sha-256", f"--pwfile={secret}", "--no-sync", "--no-instructions"]
    made = subprocess.run(
        as_child(
            str(found / "initdb"), "-D", str(data), "-U", USER, "-E", "UTF8", *options, user=user
        ),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise RuntimeError(f"initdb failed: {made.stderr[-2000:]}")
    settings = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "max_connections": "30",
    }
    flags = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    words = as_child(str(found / "postgres"), "-D", str(data), "-p", str(port), *flags, user=user)
    log = folder / "postgres.log"
    with child(words, log, folder, lambda: accepts(port, password)):
        yield port, password


def accepts(port: int, password: str) -> bool:
    """Whether the database answers."""
    import psycopg

    try:
        psycopg.connect(location(port, password), connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def location(port: int, password: str) -> str:
    return f"postgresql://{USER}:{password}@127.0.0.1:{port}/postgres"


def healthy(url: str) -> bool:
    """Whether the API answers and reaches its database."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/_mgmt/health", timeout=5) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@contextlib.contextmanager
def running_api() -> Iterator[RealApi]:
    """A new API with nothing in it; everything is stopped and removed at the end."""
    # Not below pytest's own folder, which only its owner may pass through
    folder = Path(tempfile.mkdtemp(prefix="stac-api-"))
    try:
        with postgres(folder) as (port, password):
            dsn = location(port, password)
            with database(dsn) as db:
                from pypgstac.migrate import Migrate

                Migrate(db).run_migration()
            with web_server(folder, port, password) as url:
                yield RealApi(url, dsn)
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def web_server(folder: Path, port: int, password: str) -> Iterator[str]:
    """stac-fastapi over a migrated database; its URL."""
    settings = {
        "PGHOST": "127.0.0.1",
        "PGPORT": str(port),
        "PGUSER": USER,
        "PGPASSWORD": password,
        "PGDATABASE": "postgres",
    }
    own = free_port()
    url = f"http://127.0.0.1:{own}"
    app = ["stac_fastapi.pgstac.app:create_app", "--factory"]
    place = ["--host", "127.0.0.1", "--port", str(own), "--no-access-log"]
    words = as_child(sys.executable, "-m", "uvicorn", *place, *app)
    with child(words, folder / "uvicorn.log", folder, lambda: healthy(url), **settings):
        yield url
