"""Whatever is wrong with a remote source: one line, and nothing on disk."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from loopback import Fault
from small_api import SmallApi, item

from cube.readers import api as api_module
from cube.readers import transport

BOX = "68.163,27.482,68.213,27.518"
DAYS = ("--before", "2022-07-01/2022-08-20", "--during", "2022-08-21/2022-09-30")
RING = [[68, 27], [69, 27], [69, 28], [68, 28], [68, 27]]
CATALOG = """
[mine]
title = "a small API on this machine"
kind = "api"
url = "{url}"
trust = "public"
credentials = ["MINE_KEY"]
collections.grd = "sentinel-1-grd"
collections.dem = "cop-dem-glo-30"
collections.permanent_water = "jrc-gsw"
assets.dem = "data"
assets.permanent_water = "occurrence"
dem_datum = "egm2008"
sources = ["a test"]

[bare]
title = "the same without more than GRD"
kind = "api"
url = "{url}"
trust = "public"
collections.grd = "sentinel-1-grd"
sources = ["a test"]

[buckets]
title = "as Earth Search is"
kind = "api"
url = "{url}"
trust = "public"
storage = {{ region = "eu-central-1", requester_pays = true }}
credentials = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]
collections.grd = "sentinel-1-grd"
sources = ["a test"]

[nowhere]
title = "an API without address"
kind = "api"
trust = "public"
collections.grd = "sentinel-1-grd"
sources = ["a test"]

[malformed]
title = "an unknown key"
kind = "api"
url = "{url}"
trust = "public"
colection = "sentinel-1-grd"
collections.grd = "sentinel-1-grd"
sources = ["a test"]

[mistyped]
title = "a list for a word"
kind = "api"
url = ["{url}"]
trust = "public"
collections.grd = "sentinel-1-grd"
sources = ["a test"]
"""


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallApi]:
    monkeypatch.setattr(transport, "RETRIES", 1)
    monkeypatch.setattr(transport, "BACKOFF_S", 0.001)
    monkeypatch.delenv("MINE_KEY", raising=False)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    with SmallApi() as served:
        served.items = [item("a", day="2022-08-25"), item("b", **{"s1:datatake_id": 7})]
        yield served


Refusal = Callable[..., str]


@pytest.fixture
def refused(api, cube_command, small_event, tmp_path_factory) -> Refusal:
    """The line that both plan and build say of a source; neither leaves anything behind."""
    folder = tmp_path_factory.mktemp("refused")
    catalog = folder / "catalog"
    catalog.mkdir()
    (catalog / "endpoints.toml").write_text(CATALOG.format(url=api.url))
    dem = small_event / "dem.tif"

    def run(*options: object, source: str = "mine", commands: tuple[str, ...] = ()) -> str:
        words: list[object] = ["--bbox", BOX, *DAYS, "--source", source, "--catalog", catalog]
        words += ["--hand", "none", "--scratch", folder / "scratch", "--out", folder / "a.zarr"]
        if "--dem" not in options and source != "asf":
            words += ["--dem", dem]
        if "--permanent-water" not in options:
            words += ["--permanent-water", "none"]
        said = set()
        for command in commands or ("plan", "build"):
            done = cube_command(command, *words, *options)
            assert done.error.isprintable(), done.error
            assert done.out == ""
            said.add(done.error)
            if command == "plan" or not commands:
                assert len(done.err.splitlines()) == 1, done.err
            assert [path.name for path in folder.iterdir()] == ["catalog"]
        assert len(said) == 1, said
        return said.pop()

    return run


# --- the API


def test_an_api_that_is_down_is_one_line(api, refused):
    api.stop()
    line = refused()
    assert line.startswith(f"{api.url}: search failed (")
    assert line.endswith("; check the address and the network, or use --source FOLDER")


@pytest.mark.parametrize("path", ["^/$", "^/search$"])
@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"html": True}, "search failed (a web page came instead of JSON)"),
        ({"status": 500}, "search failed (HTTP 500: 500 Internal Server Error)"),
        ({"status": 429}, "search failed (HTTP 429: 429 Too Many Requests)"),
        ({"drop": True}, "search failed ("),
        ({"status": 401}, "refused, HTTP 401; credentials come from MINE_KEY (MINE_KEY not set)"),
        ({"status": 403}, "refused, HTTP 403; credentials come from MINE_KEY (MINE_KEY not set)"),
        ({"redirect": "file:///etc/passwd", "status": 307}, "leads to file:, refused"),
        ({"redirect": "http://127.0.0.1:9/", "status": 307}, "only endpoints with trust = 'local'"),
        ({"redirect": "http://169.254.169.254/", "status": 307}, "points into this machine or net"),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, dict) else "",
)
def test_an_api_that_does_not_answer_as_one_is_one_line(api, refused, path, fault, says):
    api.faults = [Fault(path=path, times=None, **fault)]
    assert says in refused()


def test_an_api_that_hangs_is_one_line(api, refused, monkeypatch):
    monkeypatch.setattr(api_module, "TIMEOUT_S", (0.1, 0.1))
    api.faults = [Fault(path="^/search$", delay=30, times=None)]
    assert "timed out" in refused()


def test_pages_that_come_round_are_one_line(api, refused):
    api.pages = lambda count: {"features": [], "links": [api.next_link({})]}
    assert "its pages repeat from the 2. on" in refused()


def test_a_server_without_item_search_is_one_line(api, refused):
    api.conforms = None
    assert "it offers no item search" in refused()


@pytest.mark.parametrize("strict", [True, False])
def test_a_wrong_collection_offers_those_there_are(api, refused, strict):
    api.collections, api.strict = ["sentinel-1-grd", "sentinel-1-rtc", "naip"], strict
    api.pages = None if strict else lambda _: {"features": [], "links": []}
    assert (
        refused("--collection", "sentinel-1-grdd")
        == (
            f"{api.url} has no collection 'sentinel-1-grdd'; it has sentinel-1-grd, sentinel-1-rtc;"
            " name one with --collection"
        )
        or not strict
    )
    assert "has no collection 'nonsense'; it has " in refused("--collection", "nonsense")


# --- Items


def spoilt(record: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**record, **changes}


def metres() -> dict[str, Any]:
    ring = [[4e5, 3e6], [5e5, 3e6], [5e5, 3.1e6], [4e5, 3.1e6], [4e5, 3e6]]
    return {"type": "Polygon", "coordinates": [ring]}


def asset(key: str, href: str | None) -> dict[str, Any]:
    record = item("a", day="2022-08-25")
    if href is None:
        del record["assets"][key]
    else:
        record["assets"][key]["href"] = href
    return record


ITEMS: dict[str, tuple[dict[str, Any], str]] = {
    "no geometry": (item("a", geometry=None), "a: Item without geometry"),
    "a point": (
        item("a", geometry={"type": "Point", "coordinates": [68.2, 27.5]}),
        "a: geometry is an empty Point, not an area",
    ),
    "metres": (
        item("a", geometry=metres()),
        "a: geometry 400000,3e+06,500000,3.1e+06 is not in degrees",
    ),
    "no measurement": (
        asset("vv", None),
        "a: no vv, vh, hh or hv asset; assets: schema-prod",
    ),
    "no noise": (asset("schema-noise-vv", None), "a: no asset 'schema-noise-vv'; assets: vv, sche"),
    "no calibration": (asset("schema-calibration-vv", None), "a: no asset 'schema-calibration-vv'"),
    "no properties": (spoilt(item("a"), properties=None), "a: Item without properties"),
    "no assets": (spoilt(item("a"), assets=None), "a: no vv, vh, hh or hv asset; assets: none"),
    "no id": (spoilt(item("a"), id=None), "search failed (an Item without id: {'type': 'Feature'"),
    "an SLC": (item("a", **{"sar:product_type": "SLC"}), "a: is an SLC product, not GRD"),
    "no time": (
        item("a", start_datetime=None, datetime=None),
        "a: start_datetime None is not",
    ),
    "two lines": (spoilt(item("a"), id="a\nb\x1b[2J"), "a b [2J: an Item without a proper id"),
}


@pytest.mark.parametrize("case", ITEMS)
def test_an_item_that_cannot_be_used_is_one_line(api, refused, case):
    api.items = [ITEMS[case][0]]
    assert ITEMS[case][1] in refused()


@pytest.mark.parametrize("key", ["vv", "schema-noise-vv"])
@pytest.mark.parametrize(
    "href",
    [
        "file:///etc/passwd",
        "/etc/passwd",
        "http://127.0.0.1:9/a.tiff",
        "http://localhost/a.tiff",
        "http://127.0.0.1\\@example.com/a.tiff",
    ],
)
def test_an_href_into_this_machine_is_refused_though_others_are_fine(api, refused, key, href):
    bad = asset(key, href)
    name = "iw-vv.tiff" if key == "vv" else "noise-iw-vv.xml"
    bad["assets"][key]["href"] = href.replace("a.tiff", name).replace("passwd", name)
    api.items = [bad, item("b")]
    line = refused()
    assert line.startswith(f"a: asset '{key}' points into this machine or network (")
    assert line.endswith(", which only endpoints with trust = 'local' may do")


def test_a_broken_item_among_good_ones_is_a_note_of_the_plan(
    api, cube_command, small_event, tmp_path
):
    api.items.append(item("broken", geometry=None))
    (tmp_path / "endpoints.toml").write_text(CATALOG.format(url=api.url))
    words = ("--bbox", BOX, *DAYS, "--source", "mine", "--catalog", tmp_path)
    maps = ("--dem", small_event / "dem.tif", "--permanent-water", "none", "--hand", "none")
    done = cube_command("plan", *words, *maps).fine()
    assert "left out broken: Item without geometry" in done.out
    found = json.loads(cube_command("plan", *words, *maps, "--json").fine().out)
    assert "left out broken: Item without geometry" in found["notes"]
    assert [one["scenes"] for one in found["passes"]] == [["a"], ["b"]]


# --- credentials of files


@pytest.fixture
def earth_search(data_dir: Path) -> list[dict[str, Any]]:
    """The recorded Item of Earth Search, at the place and days asked for, in VV and VH."""
    path = data_dir / "stac/earth_search/earthsearch-s1-grd.json"
    text = path.read_text()
    for old, new in (("hh", "vv"), ("hv", "vh"), ("EW", "IW"), ("ew-", "iw-")):
        text = text.replace(old, new)
    found = []
    for day in ("2022-08-25", "2022-09-18"):
        record = json.loads(text.replace("2024-03-25", day))
        record |= {"id": f"earth-{day}", "geometry": {"type": "Polygon", "coordinates": [RING]}}
        record["properties"]["s1:datatake_id"] = str(int(day[-2:]))
        found.append(record)
    return found


def test_files_that_need_credentials_name_the_variables(api, refused, earth_search):
    api.items = earth_search
    line = refused(source="buckets", commands=("build",))
    assert line.startswith("s3://sentinel-s1-l1c/GRD/2024/3/25/IW/DH/S1A_IW_GRDM_1SDH_")
    assert line.endswith(
        ": needs credentials; credentials come from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY"
        " (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY not set)"
    )


# --- layers


def test_tiles_that_are_nowhere_are_one_line(api, refused):
    api.collections = ["sentinel-1-grd", "cop-dem-glo-30", "jrc-gsw"]
    api.items = []
    scenes = [item("a", day="2022-08-25"), item("b")]
    api.pages = lambda _: {
        "features": scenes if api.asked[-1]["collections"] == ["sentinel-1-grd"] else []
    }
    assert refused("--dem", "mine").startswith("no tile of cop-dem-glo-30 over 67.9")
    assert refused("--permanent-water", "mine").startswith("no tile of jrc-gsw over 67.9")


@pytest.mark.parametrize(
    ("tile", "says"),
    [
        (
            {"assets": {"dem": {"href": "https://example.com/a.tif"}}},
            "tile: no asset 'data'; ",
        ),
        ({"assets": {"data": {"href": "file:///etc/passwd"}}}, "points into this machine or netwo"),
        ({"geometry": None}, "tile: Item without geometry"),
        ({"geometry": metres()}, "tile: geometry 400000,3e+06,500000,3.1e+06 is not in degrees"),
        ({"assets": None}, "tile: no asset 'data'; assets: none"),
    ],
)
def test_a_tile_that_cannot_be_used_is_one_line(api, refused, tile, says):
    scenes = [item("a", day="2022-08-25"), item("b")]
    bad = spoilt(item("tile"), **tile)
    api.pages = lambda _: {
        "features": scenes if api.asked[-1]["collections"] == ["sentinel-1-grd"] else [bad]
    }
    assert says in refused("--dem", "mine")


# --- endpoints and options

OPTIONS: dict[str, tuple[list[str], str]] = {
    "archives": (["--source", "asf"], "endpoint asf delivers whole archives behind a login"),
    "no dem": (["--dem", "bare"], "endpoint bare holds no dem, its layers: none; give a file"),
    "no water": (
        ["--permanent-water", "bare"],
        "endpoint bare holds no permanent_water, its layers: none; give a file",
    ),
    "misspelt": (["--source", "earth-serch"], "did you mean earth-search or "),
    "misspelt dem": (["--dem", "planetary-computr"], "did you mean planetary-computer?"),
    "no url": (["--source", "nowhere"], "endpoint nowhere has no url; give --source FOLDER"),
    "unknown key": (
        ["--source", "malformed"],
        "endpoints.toml [malformed]: colection: Extra inputs are not permitted",
    ),
    "wrong type": (
        ["--source", "mistyped"],
        "endpoints.toml [mistyped]: url: Input should be a valid string",
    ),
    "malformed dem": (["--dem", "malformed"], "endpoints.toml [malformed]: colection: Extra in"),
    "no rtc": (["--product", "rtc"], "endpoint mine has no rtc products, it has grd; give --col"),
    "ftp": (["--source", "ftp://example.com/"], "ftp://example.com/: search failed (an API has an"),
    "too long": (["--source", "a" * 400], "is neither a folder, a URL nor a known endpoint"),
}


def test_archives_are_refused_before_a_dem_is_asked_for(refused):
    assert refused(source="asf").startswith("endpoint asf delivers whole archives behind a login")


@pytest.mark.parametrize("case", OPTIONS)
def test_an_endpoint_that_cannot_serve_is_refused_before_anything_is_asked(api, refused, case):
    options, says = OPTIONS[case]
    assert says in refused(*options)
    assert api.requests == []
