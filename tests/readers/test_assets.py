"""Assets of Items: what a file is, where it lies, and that nothing in an Item breaks the reader."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cube.errors import SourceError, TrustError
from cube.readers.access import Access
from cube.readers.assets import asset_href
from cube.readers.items import scene_from_item
from cube.readers.scene import Files, Scene

PUBLIC = Access()
BASE = "https://example.com/grd"
LONG = "20220830t012526-20220830t012551-044779-0558c7"
SELF = "https://example.com/stac/items/S1A_1"


def item(assets: dict[str, Any], *links: dict[str, Any]) -> dict[str, Any]:
    """An Item of a GRD product; assets are hrefs, or whole."""
    ring = [[68, 27], [69, 27], [69, 28], [68, 28], [68, 27]]
    return {
        "type": "Feature",
        "id": "S1A_1",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "links": list(links),
        "properties": {
            "datetime": "2022-08-30T01:25:26Z",
            "platform": "sentinel-1a",
            "s1:datatake_id": 0x558C7,
            "sat:relative_orbit": 78,
            "sar:product_type": "GRD",
        },
        "assets": {
            key: {"href": asset} if isinstance(asset, str) else asset
            for key, asset in assets.items()
        },
    }


METADATA = {
    "schema-product-vv": f"{BASE}/annotation/iw-vv.xml",
    "schema-calibration-vv": f"{BASE}/annotation/calibration/calibration-iw-vv.xml",
    "schema-noise-vv": f"{BASE}/annotation/calibration/noise-iw-vv.xml",
}


def files(assets: dict[str, Any], access: Access = PUBLIC) -> dict[str, Files]:
    return dict(scene_from_item(item(assets), access).files)


@pytest.mark.parametrize(
    "name",
    [
        "iw-vv.tiff",
        "IW-VV.TIFF",
        "vv.tif",
        f"s1a-iw-grd-vv-{LONG}-001.tiff",
        f"s1a-iw-grd-vv-{LONG}-001-cog.tiff",
        f"S1A-IW-GRD-VV-{LONG.upper()}-001.TIFF",
        "iw-vv.rtc.tiff",
        "Gamma0_VV.tif",
        "iw-vv.tiff?sv=2020&sig=a%2Fb.png",
        "iw-vv.tiff#vh",
    ],
)
@pytest.mark.parametrize("key", ["vv", "measurement", "vh", "thumbnail"])
def test_a_measurement_is_known_by_its_name(name, key):
    found = files({key: f"{BASE}/measurement/{name}", **METADATA})
    assert {pol: one.measurement for pol, one in found.items()} == {
        "vv": f"{BASE}/measurement/{name}"
    }


PICTURES: dict[str, Any] = {
    "thumbnail-vv.tiff": "thumbnail-vv.tiff",
    "quicklook": "iw-vv-quicklook.tif",
    "quick-look": "quick-look-vv.tif",
    "preview folder": "preview/iw-vv.tiff",
    "thumbnail role": {"href": f"{BASE}/iw-vv.tiff", "roles": ["thumbnail"]},
    "overview role": {"href": f"{BASE}/iw-vv.tiff", "roles": ["data", "overview"]},
    "png": "iw-vv.png",
    "jpeg": "iw-vv.jpg",
    "json": "tilejson-vv.json",
    "ratio": "iw-vv-vh-ratio.tif",
    "composite": "vv_vh.tif",
    "incidence": "incidence_angle_vv.tif",
    "sidecar": "iw-vv.tiff.aux.xml",
}


@pytest.mark.parametrize("case", PICTURES)
@pytest.mark.parametrize("key", ["vv", "aaa", "thumbnail"])
@pytest.mark.parametrize("first", [True, False])
def test_a_picture_is_no_measurement(case, key, first):
    picture = PICTURES[case]
    picture = {key: f"{BASE}/{picture}" if isinstance(picture, str) else picture}
    right = {"right": f"{BASE}/measurement/iw-vv.tiff", **METADATA}
    found = files(picture | right if first else right | picture)
    assert [one.measurement for one in found.values()] == [f"{BASE}/measurement/iw-vv.tiff"]
    with pytest.raises(SourceError, match="S1A_1: no vv, vh, hh or hv asset"):
        scene_from_item(item(picture | METADATA), PUBLIC)


@pytest.mark.parametrize("name", ["17RMJ", "band1.tif", "a/VV/image.tiff"])
def test_a_key_is_believed_where_the_name_says_nothing(name):
    found = files({"vv": f"{BASE}/{name}", **METADATA})
    assert found["vv"].measurement == f"{BASE}/{name}"


@pytest.mark.parametrize("first", [True, False])
def test_a_name_is_believed_before_a_key(first):
    keyed = {"vv": f"{BASE}/band1.tif", "schema-noise-vv": f"{BASE}/noise.xml"}
    named = {"a": f"{BASE}/iw-vv.tiff", "b": METADATA["schema-noise-vv"]}
    rest = {key: href for key, href in METADATA.items() if key != "schema-noise-vv"}
    (one,) = files(rest | (keyed | named if first else named | keyed)).values()
    assert (one.measurement, one.noise) == (f"{BASE}/iw-vv.tiff", METADATA["schema-noise-vv"])


def test_metadata_is_known_by_its_name_whatever_its_key():
    folder = f"{BASE}/annotation"
    found = files(
        {
            "products": f"{folder}/calibration/noise-s1a-iw-grd-vv-{LONG}-001.xml",
            "noises": f"{folder}/s1a-iw-grd-vv-{LONG}-001.xml",
            "schema-noise-vv": f"{folder}/calibration/calibration-s1a-iw-grd-vv-{LONG}-001.xml",
            "schema-product-vh": f"{BASE}/iw-vv.tiff",
            "extra": f"{BASE}/iw-vv.tiff.aux.xml",
        }
    )
    (one,) = found.values()
    assert one.annotation == f"{folder}/s1a-iw-grd-vv-{LONG}-001.xml"
    assert one.calibration == f"{folder}/calibration/calibration-s1a-iw-grd-vv-{LONG}-001.xml"
    assert one.noise == f"{folder}/calibration/noise-s1a-iw-grd-vv-{LONG}-001.xml"


@pytest.mark.parametrize(
    ("calibration", "annotation"),
    [
        ("annotation/calibration/calibration-iw-vv.xml", "annotation/iw-vv.xml"),
        ("annotation/calibration/calibration-iw-vv.xml?sig=a/b", "annotation/iw-vv.xml?sig=a/b"),
        ("ANNOTATION/CALIBRATION/CALIBRATION-IW-VV.XML", "ANNOTATION/IW-VV.XML"),
        ("flat/calibration-iw-vv.xml", "flat/iw-vv.xml"),
    ],
)
@pytest.mark.parametrize("rfi", ["annotation/rfi/rfi-iw-vv.xml", "elsewhere/rfi-iw-vv.xml"])
def test_annotation_lies_beside_calibration_where_rfi_is_listed(calibration, annotation, rfi):
    listed = {
        "schema-product-vv": f"{BASE}/{rfi}",
        "schema-calibration-vv": f"{BASE}/{calibration}",
    }
    found = files({"vv": f"{BASE}/iw-vv.tiff", **METADATA, **listed})
    assert found["vv"].annotation == f"{BASE}/{annotation}"


@pytest.mark.parametrize("gone", METADATA)
def test_metadata_that_is_missing_is_named(gone):
    rest = {key: href for key, href in METADATA.items() if key != gone}
    with pytest.raises(SourceError, match=f"S1A_1: no asset '{gone}'; assets: vv, schema-"):
        files({"vv": f"{BASE}/iw-vv.tiff", **rest})


# --- where hrefs lead


@pytest.mark.parametrize(
    ("own", "href", "found"),
    [
        (SELF, "../data/iw-vv.tiff", "https://example.com/stac/data/iw-vv.tiff"),
        (SELF, "/iw-vv.tiff", "https://example.com/iw-vv.tiff"),
        (SELF, "https://other.example/iw-vv.tiff", "https://other.example/iw-vv.tiff"),
        (SELF, "s3://bucket/iw-vv.tiff", "s3://bucket/iw-vv.tiff"),
        ("s3://bucket/a/item.json", "./iw-vv.tiff", "s3://bucket/a/iw-vv.tiff"),
        ("s3://bucket/a/item.json", "/b/iw-vv.tiff", "s3://bucket/b/iw-vv.tiff"),
    ],
)
def test_relative_hrefs_start_from_the_items_own(own, href, found):
    record = item({"vv": href}, {"rel": "parent", "href": BASE}, {"rel": "self", "href": own})
    assert asset_href(record, "vv", PUBLIC) == found


@pytest.mark.parametrize(
    ("own", "href"),
    [
        ("file:///stac/item.json", "iw-vv.tiff"),
        ("http://127.0.0.1/item.json", "iw-vv.tiff"),
        (SELF, "//127.0.0.1/iw-vv.tiff"),
        (SELF, "file:iw-vv.tiff"),
    ],
)
def test_relative_hrefs_lead_no_further_than_others(own, href):
    with pytest.raises(TrustError, match="S1A_1: asset 'vv' points into this machine or network"):
        asset_href(item({"vv": href}, {"rel": "self", "href": own}), "vv", PUBLIC)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1\\@example.com",  # requests goes to what is before the backslash
        "%31%32%37.0.0.1",  # and decodes a host
        "127.0.0.1%20",
        "\uff11\uff12\uff17.0.0.1",
        "me:secret@127.0.0.1",
        "LOCALHOST",
    ],
)
def test_a_host_in_disguise_is_seen(scheme, host):
    with pytest.raises(TrustError, match="points into this machine or network") as caught:
        asset_href(item({"vv": f"{scheme}://{host}/iw-vv.tiff"}), "vv", PUBLIC)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("href", ["http://[", "http://[::1", "http://exa\ud800mple.com/a"])
def test_an_href_that_is_none_is_one_line(href):
    with pytest.raises(SourceError, match=r"^S1A_1: "):
        files({"vv": href, **METADATA})


@pytest.mark.parametrize("asset", [None, "a.tiff", [], {}, {"href": None}, {"href": 7}])
def test_an_asset_without_href_counts_as_missing(asset):
    record = item(METADATA)
    record["assets"]["vv"] = asset
    with pytest.raises(SourceError, match="S1A_1: no asset 'vv'; assets: schema-product-vv, "):
        asset_href(record, "vv", PUBLIC)
    with pytest.raises(SourceError, match="S1A_1: no vv, vh, hh or hv asset"):
        scene_from_item(record, PUBLIC)


# --- whatever an Item holds

odd = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**400), 10**400),
    st.floats(allow_nan=True, allow_infinity=True),
    st.text(max_size=8),
    st.sampled_from(["http://[", "file:///etc/passwd", "now", "NaT", "\x00", "a\nb", "EPSG:1"]),
    st.lists(st.none() | st.integers() | st.text(max_size=3), max_size=3),
    st.dictionaries(st.text(max_size=4), st.none() | st.integers(), max_size=2),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place within a JSON value."""
    inner = value.items() if isinstance(value, dict) else ()
    inner = enumerate(value) if isinstance(value, list) else inner
    below = [place for key, one in inner for place in places(one, (*path, key))]
    return [path, *below] if path else below


def spoil(record: dict[str, Any], place: tuple[Any, ...], value: Any, drop: bool) -> None:
    """Replace or take out what is at a place, if it is still there."""
    *outer, last = place
    holder: Any = record
    try:
        for key in outer:
            holder = holder[key]
        if drop:
            del holder[last]
        else:
            holder[last] = value
    except (LookupError, TypeError):
        return


@pytest.mark.parametrize(
    ("name", "product"),
    [
        ("planetary_computer/mspc-s1-grd", "grd"),
        ("planetary_computer/mspc-s1-rtc", "rtc"),
        ("cdse/sentinel-1-grd-ew", "grd"),
    ],
)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_an_item_becomes_a_scene_or_one_line(data_dir: Path, name, product, data):
    real = json.loads((data_dir / "stac" / f"{name}.json").read_text())
    record = deepcopy(real)
    known = st.sampled_from(places(real))
    for place in data.draw(st.lists(known, min_size=1, max_size=4)):
        spoil(record, place, data.draw(odd), data.draw(st.booleans()))
    try:
        found: Scene | SourceError = scene_from_item(record, PUBLIC, product=product)
    except SourceError as error:
        found = error
    if isinstance(found, Scene):
        assert 1 <= found.relative_orbit <= 175
        assert found.start <= found.stop
        assert found.footprint.is_valid
        assert not found.footprint.is_empty
        assert all("127." not in one.measurement for _, one in found.files)
    else:
        line = str(found)
        assert line.isprintable()
        if record.get("id") == real["id"]:
            assert line.startswith(f"{real['id']}: ")
