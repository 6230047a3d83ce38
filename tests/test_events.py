"""The events of Kuro Siwo: facts typed by hand from its repository, and what is not known."""

from __future__ import annotations

import json
import math
from collections import Counter
from datetime import UTC, date, datetime

import pytest

from cube.catalog import events, load_event
from cube.errors import CatalogError

SPLITS = {
    "train": "130 470 555 118 174 324 421 554 427 518 502 498 497 496 492 147 267 273 275 417 567"
    " 1111011 1111004 1111009 1111010 1111006 1111005",
    "val": "514 559 279 520 437 1111003 1111008",
    "test": "321 561 445 562 411 1111002 277 1111007 205 1111013",
}
"""``train_acts``, ``val_acts``, ``test_acts`` of configs/train/data_config.json."""

FACTS = [  # id, reference date, areas {aoiid: (name, zone)} of catalogue/catalogue.yaml
    (118, datetime(2015, 2, 2), {1: ("Zaragoza", 2), 2: ("Trespaderne", 3)}),
    (130, datetime(2015, 8, 1, 6, 30), {6: ("Pathein", 1)}),
    (
        205,
        datetime(2017, 5, 24, 18, 30),
        {1: ("Beruwala", 1), 3: ("Kuruwita", 1), 4: ("Kiriella", 1), 5: ("Rathnapura", 1)},
    ),
    (273, datetime(2018, 3, 10, 1), {2: None, 3: None, 4: None, 5: None}),
    (
        277,
        datetime(2018, 3, 27, 15),
        {1: ("Orestiada", 2), 2: ("Didimoticho", 3), 3: ("Feres", 3)},
    ),
    (279, datetime(2018, 4, 12, 11), {5: ("Zaragoza", 2), 6: ("Caspe", 2), 11: ("Tortosa", 2)}),
    (427, datetime(2020, 2, 18, 12), {3: ("Skaraborg", 3), 4: None, 7: None, 9: None, 10: None}),
    (445, datetime(2020, 6, 26, 8), {1: ("Prut", 2)}),
    (514, datetime(2021, 6, 6, 13), {1: ("Pomeroon River", 1), 2: None, 3: None}),
    (567, datetime(2022, 2, 26, 8), {8: ("Grafton", 3), 15: ("Singleton", 3)}),
    (1111007, datetime(2019, 9, 17, 8), {1: ("Patna", 1)}),
    (1111009, datetime(2022, 9, 10, 8), {1: ("Larkana", 3), 2: None, 3: None}),
]

PLACES = [  # id, area, longitude and latitude of a place inside it, from an atlas
    (118, "aoi01", -1.21, 41.85),  # Ebro above Alagón
    (130, "aoi06", 94.73, 16.78),  # Pathein
    (147, "aoi01", -2.93, 54.89),  # Carlisle
    (147, "aoi02", -3.36, 54.66),  # Cockermouth
    (174, "aoi01", 21.43, 42.00),  # Skopje
    (205, "aoi05", 80.40, 6.68),  # Ratnapura
    (267, "aoi01", 21.38, 55.30),  # Rusnė
    (277, "aoi01", 26.53, 41.50),  # Orestiada
    (279, "aoi11", 0.52, 40.81),  # Tortosa
    (321, "aoi02", -87.19, 13.30),  # Choluteca
    (324, "aoi01", 2.35, 43.21),  # Carcassonne
    (417, "aoi01", -8.43, 40.21),  # Coimbra
    (421, "aoi05", 2.87, 42.77),  # Rivesaltes
    (496, "aoi01", 12.86, 42.40),  # Rieti
    (502, "aoi01", -7.70, 52.355),  # Clonmel
    (518, "aoi01", 5.57, 50.63),  # Liège
    (520, "aoi01", 5.99, 51.19),  # Roermond
    (554, "aoi01", 151.08, -28.41),  # Inglewood
    (561, "aoi01", 34.80, -16.03),  # Chikwawa
    (562, "aoi13", 139.55, -17.74),  # Burketown
    (567, "aoi08", 152.93, -29.69),  # Grafton
    (567, "aoi15", 151.17, -32.57),  # Singleton
    (1111003, "aoi01", 43.15, 11.59),  # Djibouti
    (1111007, "aoi01", 85.14, 25.60),  # Patna, in Bihar
    (1111009, "aoi01", 68.21, 27.56),  # Larkana
    (1111010, "aoi01", -80.82, -5.56),  # Sechura
    (1111011, "aoi01", 121.73, 17.61),  # Tuguegarao
]

PUBLISHED = [  # WorldFloodsV2 metadata: longitudes, latitudes as printed
    (427, "aoi03", (13.04, 57.92, 14.33, 58.81), 0.005),
    (279, "aoi06", (-0.599, 41.129, 0.052, 41.530), 0.0005),
    (279, "aoi11", (0.271, 40.473, 0.956, 40.900), 0.0005),
]

REFUSAL = (
    "is not known; read it from Kuro Siwo's catalogue with cube events import"
    " --catalogue catalogue.gpkg"
)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CUBE_CATALOG", raising=False)
        return events()


@pytest.fixture(scope="module")
def of_kurosiwo(shipped):
    return {key: event for key, event in shipped.items() if event.kurosiwo is not None}


def test_the_ids_and_splits_are_those_of_the_data_set(of_kurosiwo):
    listed = {f"ks{actid}": split for split, ids in SPLITS.items() for actid in ids.split()}
    assert {key: event.kurosiwo.split for key, event in of_kurosiwo.items()} == listed
    assert Counter(listed.values()) == {"train": 27, "val": 7, "test": 10}


def test_an_id_is_the_number_of_the_activation(of_kurosiwo):
    assert {key: f"ks{event.kurosiwo.actid}" for key, event in of_kurosiwo.items()} == {
        key: key for key in of_kurosiwo
    }


def test_an_activation_of_copernicus_has_its_code_once(of_kurosiwo):
    codes = [event.activation for event in of_kurosiwo.values() if event.activation is not None]
    assert len(codes) == len(set(codes)) == 33
    for event in of_kurosiwo.values():
        if event.kurosiwo.actid < 1000:
            assert event.activation == f"EMSR{event.kurosiwo.actid}"


@pytest.mark.parametrize(("actid", "when", "areas"), FACTS, ids=lambda value: str(value)[:8])
def test_reference_date_and_areas_are_those_of_the_data_set(of_kurosiwo, actid, when, areas):
    event = of_kurosiwo[f"ks{actid}"]
    assert event.reference_date == when.replace(tzinfo=UTC)
    numbered = {aoi.number: aoi for aoi in event.aois if aoi.number is not None}
    assert set(numbered) == set(areas)
    for number, fact in areas.items():
        if fact is not None:
            assert (numbered[number].title, numbered[number].climate_zone) == fact


def test_one_event_alone_is_missing_from_the_slc_index(of_kurosiwo):
    missing = [key for key, event in of_kurosiwo.items() if not event.kurosiwo.in_slc_index]
    assert missing == ["ks514"]


def test_patch_grids_are_those_of_the_slc_index(of_kurosiwo):
    grids = {
        (event.kurosiwo.actid, aoi.number): aoi.patches
        for event in of_kurosiwo.values()
        for aoi in event.aois
        if aoi.patches is not None
    }
    assert len(grids) == 70
    assert grids[118, 1] == (10, 14)
    assert grids[427, 3] == (82, 53)
    assert grids[1111009, 2] == (105, 102)
    assert grids[1111013, 1] == (92, 97)


def test_every_area_has_a_climate_zone_and_a_source(of_kurosiwo):
    for event in of_kurosiwo.values():
        for aoi in event.aois:
            assert aoi.climate_zone in {1, 2, 3, 4, 5}, (event.id, aoi.name)
            assert aoi.source, (event.id, aoi.name)


def test_every_number_has_a_source(of_kurosiwo):
    for event in of_kurosiwo.values():
        text = " ".join(event.sources)
        wanted = {"reference date", "climate zones", "split", "before, during"}
        if event.activated is not None:
            wanted |= {"time of activation", "MMFlood"}
        if any(aoi.patches for aoi in event.aois):
            wanted.add("patch grids")
        if event.kurosiwo.before:
            wanted.add("days of acquisition")
        wanted |= {other.data for other in event.also_in}
        assert {word for word in wanted if word not in text} == set(), event.id
        if event.kurosiwo.centre is not None:
            assert event.kurosiwo.centre_source, event.id


def test_nothing_is_from_memory(of_kurosiwo):
    text = json.dumps([event.model_dump(mode="json") for event in of_kurosiwo.values()])
    assert "memory" not in text
    assert "unverified" not in text


def test_windows_surround_the_reference_date(of_kurosiwo):
    for event in of_kurosiwo.values():
        day = event.reference_date.date()
        assert (day - event.before[0]).days == 90, event.id
        assert (day - event.before[1]).days == 1, event.id
        assert event.during[0] == day, event.id
        assert (event.during[1] - day).days == (43 if event.id == "ks130" else 14), event.id
        assert event.source == "planetary-computer"


def test_the_images_of_the_data_set_lie_in_the_windows(of_kurosiwo):
    for event in of_kurosiwo.values():
        record = event.kurosiwo
        if event.id == "ks514":
            assert record.before == record.after == ()
            continue
        assert all(event.during[0] <= day <= event.during[1] for day in record.after), event.id
        assert event.references["kurosiwo-images"] == (record.before[0], record.before[-1]), (
            event.id
        )
        assert record.before[-1] < event.during[0], event.id


def test_pakistan_took_june_for_its_images_before():
    record = load_event("ks1111009").kurosiwo
    assert record.before == (date(2022, 6, 7), date(2022, 6, 19))
    assert record.after == (date(2022, 9, 11),)


@pytest.mark.parametrize(("actid", "name", "lon", "lat"), PLACES)
def test_an_area_holds_its_town(of_kurosiwo, actid, name, lon, lat):
    west, south, east, north = of_kurosiwo[f"ks{actid}"].box(name)
    assert west < lon < east
    assert south < lat < north


@pytest.mark.parametrize(("actid", "name", "box", "tolerance"), PUBLISHED)
def test_published_boxes_are_kept_and_count_as_verified(of_kurosiwo, actid, name, box, tolerance):
    aoi = of_kurosiwo[f"ks{actid}"].aoi(name)
    assert aoi.bbox == pytest.approx(box, abs=tolerance)
    assert aoi.verified
    assert "WorldFloodsV2" in aoi.source


def test_boxes_hold_the_patches_of_the_slc_index(of_kurosiwo):
    """A patch is 2240 m of Web Mercator; areas whose index numbers more say so in their notes."""
    too_small = set()
    for event in of_kurosiwo.values():
        for aoi in event.aois:
            if aoi.bbox is None or aoi.patches is None:
                continue
            west, south, east, north = aoi.bbox
            y = [math.asinh(math.tan(math.radians(lat))) * 6378137 / 2240 for lat in (south, north)]
            x = [math.radians(lon) * 6378137 / 2240 for lon in (west, east)]
            rows, columns = aoi.patches
            if rows > math.ceil(y[1] - y[0]) + 2 or columns > math.ceil(x[1] - x[0]) + 2:
                too_small.add(event.id)
                assert "The SLC index numbers more" in event.notes
    assert too_small == {"ks279", "ks520"}


def test_a_box_around_a_centre_is_marked(of_kurosiwo):
    marked = {
        (event.id, aoi.name): aoi
        for event in of_kurosiwo.values()
        for aoi in event.aois
        if aoi.default_box
    }
    assert set(marked) == {("ks514", "centre")}
    aoi = marked["ks514", "centre"]
    west, south, east, north = aoi.bbox
    lat, lon = load_event("ks514").kurosiwo.centre
    assert ((west + east) / 2, (south + north) / 2) == pytest.approx((lon, lat), abs=1e-4)
    assert (north - south) * 111.32 == pytest.approx(20, abs=0.05)
    assert not aoi.verified


def test_the_default_area_is_the_first_of_known_box(of_kurosiwo):
    known = [one for one in of_kurosiwo.values() if any(aoi.bbox for aoi in one.aois)]
    assert len(known) == 42
    for event in known:
        assert event.box(None) == event.aois[0].bbox


def test_pakistan_keeps_its_own_record_and_points_to_that_of_the_data_set(shipped):
    own, other = shipped["pakistan2022"], shipped["ks1111009"]
    assert own.same_as == other.id
    assert own.kurosiwo is None
    assert own.activation == "EMSR629"
    for event in (own, other):
        assert "never report this flood as held out" in event.notes


def test_nepal_is_in_india(of_kurosiwo):
    event = of_kurosiwo["ks1111007"]
    assert event.country == "India"
    assert 'Kuro Siwo names it "Nepal"; the area lies in Bihar, India.' in event.notes


def test_an_area_without_a_box_is_refused_with_the_remedy():
    with pytest.raises(CatalogError) as caught:
        load_event("ks514").box("aoi01")
    assert str(caught.value) == f"event ks514: the box of AOI aoi01 (Pomeroon River) {REFUSAL}"


def test_a_plan_of_an_area_without_a_box_is_one_line(cube_command):
    error = cube_command("plan", "--event", "ks427", "--aoi", "aoi07").error
    assert error == f"event ks427: the box of AOI aoi07 (Kristianstad) {REFUSAL}"


OWN = """
id = "mine2023"
title = "Mine"
during = [2022-08-21, 2022-09-20]
sources = ["a test"]
[[aois]]
name = "somewhere"
{more}
"""


def own(tmp_path, more=""):
    path = tmp_path / "mine2023.toml"
    path.write_text(OWN.format(more=more))
    return str(path)


def test_an_own_event_without_any_box_is_refused_too(tmp_path):
    event = load_event(own(tmp_path))
    assert event.aoi(None).name == "somewhere"
    with pytest.raises(CatalogError) as caught:
        event.box(None)
    assert str(caught.value) == (
        "event mine2023: the box of AOI somewhere is not known; add bbox = [W, S, E, N] to the"
        " event file"
    )


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("default_box = true", "default_box without bbox"),
        ("climate_zone = 6", "climate_zone"),
        ("number = 0", "number"),
        (
            "[kurosiwo]\nactid = 1\nsplit = 'dev'\nin_slc_index = true",
            "split: Input should be 'train', 'val' or 'test'",
        ),
        (
            "[kurosiwo]\nactid = 1\nsplit = 'val'\nin_slc_index = true\ncentre = [1, 2]",
            "centre without centre_source",
        ),
    ],
)
def test_a_record_that_makes_no_sense_is_refused(tmp_path, more, says):
    with pytest.raises(CatalogError, match=says):
        load_event(own(tmp_path, more))


def test_an_unknown_event_does_not_list_all_of_the_data_set():
    with pytest.raises(CatalogError) as caught:
        load_event("zzz")
    assert str(caught.value) == (
        "unknown event 'zzz'; known: demo, pakistan2022 and 44 of Kuro Siwo, see cube events list"
    )


def test_list_is_a_line_for_each_event(cube_command):
    lines = cube_command("events", "list").fine().out.splitlines()
    assert len(lines) == 46
    assert (
        "ks118        2015-02-02  train  2/2 areas  Ebro flood, Spain, February 2015"
        " (Kuro Siwo 118)" in lines
    )
    assert "ks514        2021-06-06  val    1/4 areas  Flood in Guyana" in "\n".join(lines)
    assert max(map(len, lines)) <= 120


def test_show_prints_all_with_sources(cube_command):
    printed = cube_command("events", "show", "ks118").fine().out
    for text in (
        "activation EMSR118, 2015-02-02 14:30 UTC",
        "reference date 2015-02-02 00:00 UTC",
        "Kuro Siwo 118: train, in the SLC index",
        "Kuro Siwo's images after: 2015-02-02, 2015-02-03",
        "centre lat 41.7475, lon -1.0527 [MMFlood",
        "aoi aoi01: -1.379165,41.751545,-1.098896,41.925574 (not verified)  Zaragoza, Arid,"
        " 10 x 14 patches [outline in Kuro Siwo's SLC data, third party]",
        "reference kurosiwo-images: 2014-10-17 to 2014-11-11",
        "also in MMFlood (train)",
        "source: split: configs/train/data_config.json",
    ):
        assert text in printed


def test_show_marks_a_default_and_an_unknown_box(cube_command):
    printed = cube_command("events", "show", "ks514").fine().out
    assert "(default box)  Centre of the activation" in printed
    assert "aoi aoi01: box not known  Pomeroon River, Tropical [" in printed


def test_show_points_to_the_same_flood(cube_command):
    printed = cube_command("events", "show", "pakistan2022").fine().out
    assert "same flood: ks1111009" in printed
    assert "also in Kuro Siwo 1111009 (train)" in printed


def test_check_lists_what_is_not_known(cube_command):
    printed = cube_command("events", "check").fine().out
    assert printed.startswith("46 events are well-formed\n")
    assert "problem" not in printed
    default, unknown = printed.split("boxes not known: ")
    assert "  ks514        centre" in default
    assert "  ks427        aoi07, aoi09, aoi10" in unknown
    assert "  ks514        aoi01, aoi02, aoi03" in unknown


def test_check_warns_where_data_sets_split_a_flood_differently(cube_command):
    found = json.loads(cube_command("events", "check", "--json").fine().out)
    assert found["events"] == 46
    conflicts = {one["event"]: one["other_split"] for one in found["overlaps"] if one["conflict"]}
    assert conflicts["ks147"] == "test"  # Kuro Siwo trains on it
    assert conflicts["ks437"] == "train"  # Kuro Siwo validates on it
    assert "ks118" not in conflicts
    printed = cube_command("events", "check").fine().out
    assert "ks147        MMFlood EMSR147 test - WARNING: Kuro Siwo train; never score on both" in (
        printed
    )


def test_check_knows_the_activations_of_other_data_sets(shipped):
    shared = {
        data: {
            key
            for key, event in shipped.items()
            if any(other.data == data and other.activation is None for other in event.also_in)
        }
        for data in ("MMFlood", "WorldFloodsV2")
    }
    assert len(shared["MMFlood"]) == 24
    assert shared["WorldFloodsV2"] == {"ks427", "ks279", "ks561", "ks567", "pakistan2022"}


def test_check_finds_what_contradicts_itself(tmp_path, cube_command):
    folder = tmp_path / "events"
    folder.mkdir()
    event = load_event("ks118")
    text = (
        'id = "{id}"\ntitle = "again"\nactivation = "EMSR118"\nsame_as = "gone"\n'
        'during = [2015-02-02, 2015-02-16]\nsources = ["a test"]\n'
        '[kurosiwo]\nactid = 99\nsplit = "val"\nin_slc_index = true\n'
        '[[aois]]\nname = "a"\nnumber = 1\n[[aois]]\nname = "b"\nnumber = 1\n'
    )
    (folder / "again.toml").write_text(text.format(id="again"))
    printed = cube_command("events", "check", "--catalog", tmp_path).fine().out
    assert event.activation == "EMSR118"
    assert "problem: again: same_as names gone, which is no event" in printed
    assert "problem: EMSR118: 2 events" in printed
    assert "problem: again: 2 areas of number 1" in printed
