"""``cube build --event pakistan2022`` from a real STAC API, signed blobs and all, on this machine.

The products are simulated, at the place and times of the event; the Items have the structure of
recorded ones and name the real hosts, for which a server here stands as proxy.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr
from publish import Publication, publish
from publish_rtc import publish_rtc
from real_api import RealApi
from servers import AssetServer, Fault

from cube.simulate import SCENARIOS, simulate_event

SMALL = "68.163,27.482,68.213,27.518"
DAYS = ("--before", "2022-07-01/2022-08-20", "--during", "2022-08-21/2022-09-30")
CATALOG = """
[planetary-computer]
title = "Planetary Computer, as this machine stands for it"
kind = "api"
url = "{url}"
trust = "public"
signing = "planetary-computer"
credentials = ["PC_SDK_SUBSCRIPTION_KEY"]
collections.grd = "{grd}"
collections.rtc = "{prefix}sentinel-1-rtc"
collections.dem = "{prefix}cop-dem-glo-30"
collections.permanent_water = "{prefix}jrc-gsw"
assets.dem = "data"
assets.permanent_water = "occurrence"
dem_datum = "egm2008"
sources = ["a test"]
"""
HOSTS = ("sentinel1euwest", "sentinel1euwestrtc", "elevationeuwest", "ai4edataeuwest")


@dataclass
class Cloud:
    """An API and the store that its Items name."""

    api: str
    store: AssetServer
    run: Callable[..., subprocess.CompletedProcess[str]]
    folder: Path
    prefix: str

    def catalog(self, url: str = "", grd: str = "") -> Path:
        """Catalog folder in which Planetary Computer is this machine."""
        folder = self.folder / "catalogs" / re.sub(r"\W+", "-", f"at-{url}{grd}")
        folder.mkdir(exist_ok=True, parents=True)
        grd = grd or f"{self.prefix}sentinel-1-grd"
        text = CATALOG.format(url=url or self.api, grd=grd, prefix=self.prefix)
        (folder / "endpoints.toml").write_text(text)
        return folder

    def cube(self, *words: object) -> subprocess.CompletedProcess[str]:
        """The command line in a process of its own, all hosts reached through the store."""
        environment = {
            **os.environ,
            "http_proxy": self.store.url,
            "no_proxy": "127.0.0.1",
            "PC_SDK_SAS_URL": f"{self.store.url}/sas/token",
        }
        return self.run(*words, env=environment, timeout=900)


@contextlib.contextmanager
def opened(
    api: RealApi, made: Publication, folder: Path, run: Callable[..., Any], prefix: str
) -> Iterator[Cloud]:
    """A publication served and listed, its collections under names of their own."""
    for one in made.collections:
        one["id"] = prefix + one["id"]
    for one in made.items:
        one["collection"] = prefix + one["collection"]
    api.load(made.collections, made.items)
    with AssetServer(made.root) as store:
        store.signed = True
        store.hosts = {f"{name}.blob.core.windows.net": made.root for name in HOSTS}
        yield Cloud(api.url, store, run, folder, prefix)


@pytest.fixture(scope="module")
def cloud(stac_api, data_dir, run_cube, tmp_path_factory) -> Iterator[Cloud]:
    """The Indus, published."""
    folder = tmp_path_factory.mktemp("indus")
    event = simulate_event(folder / "event", scenario=SCENARIOS["indus"]).directory
    made = publish(event, folder / "blobs", data_dir / "stac")
    with opened(stac_api, made, folder, run_cube, "indus-") as started:
        yield started


@pytest.fixture(scope="module")
def town(stac_api, small_event, data_dir, run_cube, tmp_path_factory) -> Iterator[Cloud]:
    """The small event, published with terrain-corrected products."""
    folder = tmp_path_factory.mktemp("town")
    made = publish(small_event, folder / "blobs", data_dir / "stac")
    publish_rtc(made, SCENARIOS["small"])
    with opened(stac_api, made, folder, run_cube, "town-") as started:
        yield started


@pytest.fixture(scope="module")
def pakistan(cloud: Cloud) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The cube of the event's first area, as anyone would ask for it."""
    out = cloud.folder / "pakistan2022.zarr"
    scratch = cloud.folder / "scratch"
    words = ("--event", "pakistan2022", "--catalog", cloud.catalog())
    done = cloud.cube("build", *words, "--scratch", scratch, "--out", out)
    assert done.returncode == 0, done.stderr
    return out, done


def test_the_event_is_built_from_the_api(pakistan, cloud):
    cube, done = pakistan
    ds = xr.open_zarr(cube)
    assert bool(ds.complete.all())
    assert set(ds.relative_orbit.values.tolist()) <= {78, 42, 5, 144}
    assert ds.sizes["time"] >= 6
    assert {"before", "during"} <= set(ds.role.values.tolist())
    assert float(np.isfinite(ds.vv).mean()) > 0.9
    assert "SIMULATED" in done.stdout


def test_flood_is_found_where_it_was_simulated(pakistan, cloud):
    cube, _ = pakistan
    found = cloud.cube("verify", cube, "--truth", cloud.folder / "event" / "truth.tif", "--json")
    assert found.returncode == 0, found.stderr
    verdict = json.loads(found.stdout)
    assert verdict["simulated"] is True
    # half of the simulated flood lies under plants or between houses, hard to see in C band
    assert verdict["flood"]["iou"] > 0.25, verdict
    assert verdict["flood"]["precision"] > 0.8, verdict


def test_dem_and_permanent_water_come_from_the_endpoint(pakistan, cloud):
    cube, _ = pakistan
    plan = json.loads((cube / "zarr.json").read_text())["attributes"]["floodcube"]
    assert plan["identity"]["dem"]["name"] == "indus-cop-dem-glo-30"
    names = [f"Copernicus_DSM_COG_10_N27_00_E0{east}_00_DEM" for east in (67, 68)]
    assert plan["tiles"]["dem"] == names, "with the margin that drainage needs"
    assert plan["identity"]["permanent_water"]["name"] == "indus-jrc-gsw"
    ds = xr.open_zarr(cube)
    with rasterio.open(cloud.folder / "event" / "permanent_water.tif") as file:
        truth = float((file.read(1) == 1).mean())
    assert 0.5 * truth < float((ds.permanent_water == 1).mean()) < 2 * truth + 0.01


def test_nothing_of_how_it_was_fetched_is_stored(pakistan, tree):
    for name, content in tree(pakistan[0]).items():
        for secret in (b"sig=", b"blob.core", b"127.0.0.1", b"http://", b"token"):
            assert secret not in content or name.endswith("c/0/0"), (name, secret)


def test_bytes_over_the_network_stay_near_the_plan(cloud):
    scratch = cloud.folder / "counted"
    words = ("--event", "pakistan2022", "--catalog", cloud.catalog(), "--scratch", scratch)
    plan = json.loads(cloud.cube("plan", *words, "--json").stdout)
    before = cloud.store.bytes_sent
    out = cloud.folder / "counted.zarr"
    more = ("--model", "none", "--hand", "none", "--permanent-water", "none", "--out", out)
    assert cloud.cube("build", *words, *more).returncode == 0
    pixels = np.prod(plan["identity"]["shape"]) * len(plan["passes"]) * 2
    fetched = cloud.store.bytes_sent - before
    tables = 5e6 * len(plan["passes"])  # annotations of every slice, and the DEM
    assert fetched - tables <= 1.6 * pixels * 1.5, "edges of a small area cost half as much again"


def test_a_finished_build_asks_nobody(pakistan, cloud):
    cube, _ = pakistan
    before = len(cloud.store.requests)
    words = ("--event", "pakistan2022", "--catalog", cloud.catalog(url="http://127.0.0.1:9"))
    again = cloud.cube("build", *words, "--scratch", cloud.folder / "scratch", "--out", cube)
    assert again.returncode == 0, again.stderr
    assert "nothing to do" in again.stderr
    assert len(cloud.store.requests) == before


# --- the same in small, where something goes wrong


def small_words(town: Cloud, out: Path, *more: object) -> list[object]:
    base = ["--bbox", SMALL, *DAYS, "--source", "planetary-computer", "--hand", "none"]
    return [*base, "--scratch", out.parent / "scratch", "--out", out, *more]


@pytest.fixture
def small(town: Cloud, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """A small build; without a catalog of its own, that of the town."""

    def build(*more: object, name: str = "cube.zarr") -> subprocess.CompletedProcess[str]:
        words = small_words(town, tmp_path / name, *more)
        if "--catalog" not in words:
            words += ["--catalog", town.catalog()]
        return town.cube("build", *words)

    return build


@pytest.fixture(autouse=True)
def well(town: Cloud) -> Iterator[None]:
    yield
    town.store.faults = []


def test_busy_and_broken_answers_change_nothing(town, small, tmp_path, tree):
    assert small(name="a.zarr").returncode == 0
    town.store.faults = [
        Fault(path="iw-vv", status=429, headers={"Retry-After": "0"}, times=2),
        Fault(path="iw-vh", status=500, after=3),
        Fault(path="tiff", cut=1000, after=1),
        Fault(path="noise", drop=True),
    ]
    done = small(name="b.zarr")
    assert done.returncode == 0, done.stderr
    assert not any(fault.times for fault in town.store.faults), "every fault was met"
    assert tree(tmp_path / "a.zarr") == tree(tmp_path / "b.zarr")


def test_signatures_that_expire_during_a_build_are_renewed(town, small, tmp_path):
    town.store.faults = [Fault(path="iw-vv.tiff", status=403, after=2)]
    done = small()
    assert done.returncode == 0, done.stderr
    tokens = [
        one for one in town.store.requests if one.path.startswith("/sas/token/sentinel1euwest/")
    ]
    assert len(tokens) >= 2


def test_a_refusal_is_one_line_and_leaves_nothing(town, small, tmp_path):
    town.store.faults = [Fault(path="iw-vv.tiff", status=403, times=None)]
    done = small()
    assert done.returncode == 1
    line = done.stderr.strip().splitlines()[-1]
    assert re.search(r"^cube: http://sentinel1euwest\S+iw-vv\.tiff: refused \(HTTP 403\)", line)
    assert "PC_SDK_SUBSCRIPTION_KEY" in line
    assert "sig=" not in done.stderr
    assert not (tmp_path / "cube.zarr").exists()


def test_a_store_that_leads_inside_is_not_followed(town, small):
    town.store.faults = [Fault(path="iw-vv.tiff", redirect="http://127.0.0.1:9/x", times=None)]
    done = small()
    assert done.returncode == 1
    line = done.stderr.strip().splitlines()[-1]
    assert "redirected" in line
    assert "trust = 'local'" in line


def test_a_build_goes_on_after_the_store_was_down(town, small, tmp_path, tree):
    assert small(name="whole.zarr").returncode == 0
    town.store.faults = [Fault(path="iw-vh.tiff", status=503, after=6, times=None)]
    stopped = small()
    assert stopped.returncode == 1
    assert "a build goes on where it stopped" in stopped.stderr
    town.store.faults = []
    resumed = small()
    assert resumed.returncode == 0, resumed.stderr
    assert tree(tmp_path / "cube.zarr") == tree(tmp_path / "whole.zarr")


def test_a_wrong_collection_offers_those_there_are(town, small):
    done = small("--catalog", town.catalog(grd="sentinel1-grd"))
    assert done.returncode == 1
    line = done.stderr.strip().splitlines()[-1]
    assert "has no collection 'sentinel1-grd'; it has " in line


def test_an_api_that_is_down_is_one_line(town, small):
    done = small("--catalog", town.catalog(url="http://127.0.0.1:9"))
    assert done.returncode == 1
    assert re.search(r"^cube: http://127\.0\.0\.1:9: search failed", done.stderr.strip(), re.M)


@pytest.mark.parametrize("engine", ["stackstac", "odc-stac"])
def test_terrain_corrected_products_are_built_too(town, small, tmp_path, engine):
    done = small("--product", "rtc", "--engine", engine)
    assert done.returncode == 0, done.stderr
    ds = xr.open_zarr(tmp_path / "cube.zarr")
    assert ds.vv.attrs["backscatter"] == "gamma0_rtc"
    assert "incidence_angle" not in ds
    assert float(np.isfinite(ds.vv).mean()) > 0.9
    assert "km2 flooded" in done.stdout


@pytest.mark.parametrize("scheduler", ["threads", "processes"])
def test_what_is_said_holds_no_token_and_no_noise(town, small, scheduler):
    done = small("--scheduler", scheduler)
    assert done.returncode == 0, done.stderr
    for noise in ("sig=", "Exception ignored", "Traceback", "ERROR", "Warning"):
        assert noise not in done.stderr + done.stdout, done.stderr
