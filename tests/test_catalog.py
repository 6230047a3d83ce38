"""Catalogs: what is shipped, what a user adds, and what is refused."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from cube.catalog import events, load_endpoint, load_event, load_preset
from cube.errors import CatalogError

EVENT = """
id = "{name}"
title = "{title}"
before = [2022-06-01, 2022-08-20]
during = [2022-08-21, 2022-09-20]
sources = ["a test"]
{more}
[[aois]]
name = "plain"
bbox = [68.1, 27.4, 68.3, 27.6]
[[aois]]
name = "hill-2"
bbox = [69.1, 27.4, 69.3, 27.6]
"""


def write(folder: Path, name: str, *, file: str | None = None, title: str = "", more: str = ""):
    """An event file in a catalog folder."""
    (folder / "events").mkdir(parents=True, exist_ok=True)
    path = folder / "events" / (file or f"{name}.toml")
    path.write_text(EVENT.format(name=name, title=title, more=more))
    return path


def test_a_folder_adds_an_event(tmp_path):
    write(tmp_path, "mine2023")
    assert {"mine2023", "pakistan2022"} <= set(events(str(tmp_path)))


def test_a_folder_replaces_an_event(tmp_path):
    write(tmp_path, "pakistan2022", title="mine")
    assert load_event("pakistan2022", str(tmp_path)).title == "mine"


def test_the_environment_names_a_folder_too(tmp_path, monkeypatch):
    write(tmp_path, "mine2023")
    monkeypatch.setenv("CUBE_CATALOG", str(tmp_path))
    assert "mine2023" in events()


def test_the_option_wins_over_the_environment(tmp_path, monkeypatch):
    write(tmp_path / "a", "mine2023", title="option")
    write(tmp_path / "b", "mine2023", title="environment")
    monkeypatch.setenv("CUBE_CATALOG", str(tmp_path / "b"))
    assert load_event("mine2023", str(tmp_path / "a")).title == "option"


def test_an_environment_that_names_nothing_is_refused(monkeypatch):
    monkeypatch.setenv("CUBE_CATALOG", "/nowhere")
    with pytest.raises(CatalogError, match=r"\$CUBE_CATALOG /nowhere: no such folder"):
        events()


def test_a_file_must_be_named_after_its_event(tmp_path):
    write(tmp_path, "mine2023", file="yours2023.toml")
    with pytest.raises(CatalogError, match="holds id 'mine2023'; name the file after it"):
        events(str(tmp_path))


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("durring = []", "durring: Extra inputs are not permitted"),
        ("tracks = ['a']", r"tracks\.0: "),
        ("after = [2022-10-02, 2022-10-01]", "after ends before it begins"),
        ("dem_datum = 'navd88'", "dem_datum: Input should be 'egm2008', 'egm96' or 'ellipsoid'"),
        ("[references]\nnow = [2022-01-01]", r"references\.now"),
    ],
)
def test_a_malformed_event_names_the_key(tmp_path, more, says):
    path = write(tmp_path, "mine2023", more=more)
    with pytest.raises(CatalogError, match=says) as caught:
        load_event(str(path))
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("during = [2022-08-21", "during = [2022-08-20", "before ends on 2022-08-20, during beg"),
        ("27.4, 68.3, 27.6", "27.4, 68.3, 27.4", "is empty or outside"),
        ('name = "plain"', 'name = "a plain"', r"aois\.0\.name"),
        ('sources = ["a test"]', "sources = []", "sources"),
        ('id = "mine2023"', 'id = "Mine 2023"', "id"),
        ('title = ""', "", "title: Field required"),
        ("during", "während", "not valid TOML"),
        ('title = ""', "title = ", "not valid TOML"),
    ],
)
def test_an_event_that_makes_no_sense_is_refused(tmp_path, old, new, says):
    path = write(tmp_path, "mine2023")
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(CatalogError, match=says):
        load_event(str(path))


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CatalogError, match="not valid TOML"):
        load_event(str(path))


def test_an_event_file_outside_a_catalog_is_read_by_its_path(tmp_path):
    assert load_event(str(write(tmp_path, "mine2023"))).id == "mine2023"


def test_paths_of_an_event_file_are_relative_to_it(tmp_path):
    path = write(tmp_path, "mine2023", more='dem = "dem.tif"')
    assert load_event(str(path)).dem == str(path.parent / "dem.tif")


def test_the_first_area_is_the_default(tmp_path):
    event = load_event(str(write(tmp_path, "mine2023")))
    assert event.aoi(None).name == "plain"
    assert event.aoi("hill-2").bbox[0] == 69.1


def test_an_unknown_area_lists_the_known(tmp_path):
    event = load_event(str(write(tmp_path, "mine2023")))
    with pytest.raises(CatalogError, match="has no AOI 'hil'; it has plain, hill-2"):
        event.aoi("hil")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("pakistan", "did you mean pakistan2022"),
        ("zzz", "known: demo, pakistan2022"),
    ],
)
def test_near_names_are_offered(name, says):
    with pytest.raises(CatalogError, match=f"unknown event '{name}'; {says}"):
        load_event(name)


def test_an_unknown_endpoint_lists_the_known():
    with pytest.raises(CatalogError, match="unknown endpoint 'planetary'; did you mean planetary-"):
        load_endpoint("planetary")


def test_only_local_endpoints_are_trusted_with_files():
    assert load_endpoint("demo").trust == "local"
    assert load_endpoint("planetary-computer").trust == "public"


def test_a_user_replaces_a_preset(tmp_path):
    shipped = Path(__file__).parent.parent / "catalogs" / "presets.toml"
    text = shipped.read_text().replace("version = 2", "version = 9")
    (tmp_path / "presets.toml").write_text(text)
    assert load_preset("flood", str(tmp_path)).name == "flood@9"


def test_a_malformed_preset_names_the_key(tmp_path):
    (tmp_path / "presets.toml").write_text("[flood]\nversion = 0\n")
    with pytest.raises(CatalogError, match=r"presets\.toml \[flood\]: "):
        load_preset("flood", str(tmp_path))


@pytest.mark.parametrize("text", ["flood = 1", "[[flood]]\nversion = 1"])
def test_a_preset_that_is_no_table_is_refused(tmp_path, text):
    (tmp_path / "presets.toml").write_text(text)
    with pytest.raises(CatalogError, match=r"presets\.toml"):
        load_preset("flood", str(tmp_path))


def test_every_shipped_number_has_a_source():
    for event in events().values():
        assert event.sources, event.id
        assert all(aoi.source for aoi in event.aois), event.id


def test_pakistan_is_the_flood_of_2022():
    event = load_event("pakistan2022")
    assert event.during == (date(2022, 8, 10), date(2022, 9, 23))
    west, south, east, north = event.aoi(None).bbox
    assert west < 68.21 < east  # Larkana
    assert south < 27.56 < north
