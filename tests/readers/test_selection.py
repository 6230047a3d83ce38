"""Which scenes make a pass, which passes make a triplet: pure functions of what Items say."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import box

from cube.readers.passes import Windows, group_passes, latest_products, triplets
from cube.readers.scene import Files, Scene

LARKANA = (68.0727, 27.4560, 68.4402, 27.6986)
INDUS = {
    # relative orbit: time of day, absolute orbit and day of one pass; the next is 12 days later
    78: ("01:25:26", 44775, date(2022, 8, 30)),
    5: ("01:16:43", 44702, date(2022, 8, 25)),
    42: ("13:36:09", 44739, date(2022, 8, 27)),
    144: ("13:28:25", 45016, date(2022, 9, 15)),
}


def scene(track: int, day: date, slice_number: int = 0, **changes: object) -> Scene:
    """A slice over the Indus as the passes of 2022 were: 25 s, abutting."""
    at, absolute, known = INDUS[track]
    cycles = (day - known).days / 12
    assert cycles == int(cycles), (track, day)
    start = np.datetime64(f"{day}T{at}", "us") + np.timedelta64(25 * slice_number, "s")
    orbit = absolute + 175 * int(cycles)
    assert (orbit - 73) % 175 + 1 == track
    found = Scene(
        id=f"S1A_IW_GRDH_1SDV_{str(start).replace('-', '').replace(':', '')[:15]}_{orbit:06d}",
        platform="sentinel-1a",
        datatake=orbit * 8,
        relative_orbit=track,
        orbit_direction="descending" if track in (78, 5) else "ascending",
        mode="IW",
        product="GRD",
        start=start,
        stop=start + np.timedelta64(25, "s"),
        footprint=box(67, 26.5 - 1.5 * slice_number, 69.5, 28 - 1.5 * slice_number),
        files=(("vv", Files("vv.tiff")), ("vh", Files("vh.tiff"))),
    )
    return replace(found, **changes)  # type: ignore[arg-type]


def season(*tracks: int) -> list[Scene]:
    """All passes of tracks from June to October 2022."""
    found = []
    for track in tracks:
        day = INDUS[track][2]
        while day > date(2022, 6, 1):
            day -= timedelta(days=12)
        while day < date(2022, 10, 5):
            found += [scene(track, day, number) for number in range(2)]
            day += timedelta(days=12)
    return found


def days(triplet) -> tuple[str, str, str]:
    return tuple(
        str(one.time.astype("datetime64[D]"))
        for one in (triplet.earlier, triplet.later, triplet.after)
    )


def test_triplets_of_the_indus_are_those_of_the_acquisition_calendar():
    found = triplets(season(78, 5, 42, 144), date(2022, 8, 25), LARKANA)
    assert {one.track: days(one) for one in found} == {
        5: ("2022-08-01", "2022-08-13", "2022-08-25"),
        42: ("2022-08-03", "2022-08-15", "2022-08-27"),
        78: ("2022-08-06", "2022-08-18", "2022-08-30"),
        144: ("2022-08-10", "2022-08-22", "2022-09-03"),
    }
    assert [one.track for one in found] == [5, 42, 78, 144]  # the soonest first


def test_a_late_reference_day_takes_flooded_passes_as_before():
    # Kuro Siwo's own day for this flood: its rule then takes 30 August, under water, as before
    (found,) = triplets(season(78), date(2022, 9, 10), LARKANA)
    assert days(found) == ("2022-08-18", "2022-08-30", "2022-09-11")


def test_all_slices_of_a_pass_belong_to_the_triplet():
    (found,) = triplets(season(78), date(2022, 8, 25), LARKANA)
    assert [len(one.scenes) for one in (found.earlier, found.later, found.after)] == [2, 2, 2]


def test_a_pass_that_misses_the_area_is_passed_over():
    given = [
        one
        for one in season(78)
        if one.start.astype("datetime64[D]") != np.datetime64("2022-08-30")
    ]
    half = scene(78, date(2022, 8, 30), footprint=box(67, 27.6, 69.5, 28))
    (found,) = triplets([*given, half], date(2022, 8, 25), LARKANA)
    assert days(found)[2] == "2022-09-11"
    (found,) = triplets([*given, half], date(2022, 8, 25), LARKANA, least_cover=0.3)
    assert days(found)[2] == "2022-08-30"


def test_no_triplet_without_two_passes_before():
    given = [one for one in season(78) if one.start >= np.datetime64("2022-08-18")]
    assert triplets(given, date(2022, 8, 25), LARKANA) == []
    assert triplets(season(78), date(2022, 10, 1), LARKANA) == []


def test_tracks_are_not_mixed():
    given = [
        one
        for one in season(78, 5)
        if one.relative_orbit == 78 or one.start > np.datetime64("2022-08-24")
    ]
    assert [one.track for one in triplets(given, date(2022, 8, 24), LARKANA)] == [78]


# --- processed again


def test_the_product_made_last_stays():
    first = scene(
        78, date(2022, 8, 30), id="z_nrt", processed=np.datetime64("2022-08-30T03:00", "us")
    )
    again = replace(
        first,
        id="a_fast24",
        start=first.start + np.timedelta64(3, "ms"),
        processed=np.datetime64("2022-08-31T03:00", "us"),
    )
    kept, notes = latest_products([again, first])
    assert [one.id for one in kept] == ["a_fast24"]
    assert notes == ["left out z_nrt: processed again as a_fast24"]


def test_without_a_date_of_processing_the_last_by_name_stays():
    first, again = scene(78, date(2022, 8, 30), id="a"), scene(78, date(2022, 8, 30), id="b")
    assert [one.id for one in latest_products([again, first])[0]] == ["b"]


def test_a_slice_framed_otherwise_is_the_same_slice():
    first = scene(78, date(2022, 8, 30), id="a")
    shifted = replace(
        first,
        id="b",
        start=first.start + np.timedelta64(9, "s"),
        stop=first.stop + np.timedelta64(9, "s"),
    )
    assert [one.id for one in latest_products([first, shifted])[0]] == ["b"]


def test_neighbours_that_overlap_a_little_are_two_slices():
    first = scene(78, date(2022, 8, 30), id="a")
    following = replace(
        first,
        id="b",
        start=first.stop - np.timedelta64(2, "s"),
        stop=first.stop + np.timedelta64(23, "s"),
    )
    assert len(latest_products([first, following])[0]) == 2


def test_tiles_of_one_pass_on_a_map_are_all_kept():
    first = scene(78, date(2022, 8, 30), id="42RVR", footprint=box(67.0, 27.0, 68.1, 28.0))
    second = replace(first, id="42RWR", footprint=box(68.0, 27.0, 69.1, 28.0))
    assert len(latest_products([first, second])[0]) == 2


def test_other_satellites_datatakes_and_products_are_kept():
    one = scene(78, date(2022, 8, 30))
    others = [
        replace(one, id="b", platform="sentinel-1b"),
        replace(one, id="c", datatake=1),
        replace(one, id="d", product="RTC"),
    ]
    assert len(latest_products([one, *others])[0]) == 4


@given(st.permutations(range(6)))
def test_the_order_of_items_changes_nothing(order):
    products = [
        scene(
            78, date(2022, 8, 30), number % 3, id=f"p{number}", processed=np.datetime64(number, "D")
        )
        for number in range(6)
    ]
    kept, notes = latest_products([products[at] for at in order])
    assert [one.id for one in kept] == ["p3", "p4", "p5"]
    assert len(notes) == 3


def test_a_dry_season_is_a_window_of_days():
    windows = Windows((date(2022, 5, 1), date(2022, 6, 30)), (date(2022, 8, 10), date(2022, 9, 23)))
    passes, _, _ = group_passes(season(78), windows)
    assert [str(one.time)[:10] for one in passes if one.role == "before"] == [
        "2022-05-26",
        "2022-06-07",
        "2022-06-19",
    ]


@pytest.mark.parametrize("count", [1, 200])
def test_many_slices_cost_little(count):
    given = [scene(78, date(2022, 8, 30), number) for number in range(count)]
    assert len(latest_products(given)[0]) == count
