"""Pairs of passes: which they are, their baselines, and coherence of a cube with them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS

import cube
from cube.errors import PlanError
from cube.readers.window import Window
from cube.steps.pair_layers import PairSource, pair_change, pair_coherence
from cube.steps.pairs import (
    change_of_pairs,
    choose_pairs,
    coherence_change,
    coherence_pairs,
    images_in,
    perpendicular_baseline,
)

# --- which

DAYS = np.array(
    ["2023-09-04", "2023-09-09", "2023-09-16", "2023-09-21", "2023-09-28", "2023-10-10"],
    "datetime64[us]",
)
TRACKS = [52, 147, 52, 147, 52, 52]


def test_consecutive_passes_are_those_of_one_track():
    assert choose_pairs(DAYS, TRACKS) == [(0, 2), (1, 3), (2, 4), (4, 5)]


def test_passes_in_any_order_give_the_same_pairs():
    order = [3, 0, 5, 2, 4, 1]
    found = choose_pairs(DAYS[order], np.array(TRACKS)[order])
    assert [(order[one], order[other]) for one, other in found] == [(0, 2), (1, 3), (2, 4), (4, 5)]


@pytest.mark.parametrize(
    ("days", "pairs"),
    [
        ("12", [(0, 2), (1, 3), (2, 4), (4, 5)]),
        ("24", [(0, 2), (0, 4), (1, 3), (2, 4), (2, 5), (4, 5)]),
        ("36.5", [(0, 2), (0, 4), (0, 5), (1, 3), (2, 4), (2, 5), (4, 5)]),
    ],
)
def test_pairs_within_days(days, pairs):
    assert choose_pairs(DAYS, TRACKS, f"within:{days}") == pairs


def test_a_cycle_may_be_seconds_longer():
    later = np.array(["2023-09-04T06:37:31", "2023-09-16T06:38:01"], "datetime64[us]")
    assert choose_pairs(later, [52, 52], "within:12") == [(0, 1)]


@pytest.mark.parametrize("day", ["2023-09-16", "2023-09-16T00:00"])
def test_pairs_with_a_reference_have_the_earlier_first(day):
    assert choose_pairs(DAYS, TRACKS, f"reference:{day}") == [(0, 2), (2, 4), (2, 5)]


@pytest.mark.parametrize(
    ("strategy", "says"),
    [
        ("all", r"unknown pairs 'all'; choose consecutive, within:DAYS or reference:TIME$"),
        ("consecutive:3", "unknown pairs 'consecutive:3'; choose"),
        ("", "unknown pairs ''; choose"),
        ("within", r"pairs within:: give days, for example within:24$"),
        ("within:a month", "pairs within:a month: give days"),
        ("within:-3", "pairs within:-3: give days"),
        ("within:1e3", "pairs within:1e3: give days"),
        ("within:nan", "pairs within:nan: give days"),
        ("within:6", r"no pairs 'within:6' among the passes \(4 on orbit 52, 2 on orbit 147\)$"),
        (
            "reference:",
            "pairs reference:: 0 passes are of that time; the passes are of 2023-09-04T",
        ),
        ("reference:2023-09", "pairs reference:2023-09: 5 passes are of that time"),
        ("reference:2024", r"2024: 0 passes are of that time; .*, 2023-10-10T00:00:00$"),
    ],
)
def test_strategies_that_give_nothing_are_one_line(strategy, says):
    with pytest.raises(PlanError, match=says) as caught:
        choose_pairs(DAYS, TRACKS, strategy)
    assert "\n" not in str(caught.value)


def test_passes_of_tracks_of_their_own_have_no_pairs():
    says = r"no pairs 'consecutive' among the passes \(1 on orbit 52, 1 on orbit 147\)"
    with pytest.raises(PlanError, match=says):
        choose_pairs(DAYS[:2], TRACKS[:2])
    with pytest.raises(PlanError, match=r"among the passes \(none\)"):
        choose_pairs([], [])


@st.composite
def stacks(draw):
    """Passes of up to three tracks, at times that differ, in any order."""
    hours = draw(st.lists(st.integers(0, 2000), min_size=2, max_size=12, unique=True))
    tracks = draw(st.lists(st.sampled_from([7, 52, 147]), min_size=len(hours), max_size=len(hours)))
    return np.datetime64("2023-09-04", "us") + np.array(hours) * np.timedelta64(1, "h"), tracks


def loops(times, tracks, keep):
    """All pairs (earlier, later) of one track that are to be kept, by their times."""
    found = [
        (times[a], times[b], a, b)
        for a in range(len(times))
        for b in range(len(times))
        if tracks[a] == tracks[b] and times[a] < times[b] and keep(a, b)
    ]
    return [pair[2:] for pair in sorted(found)]


@given(stacks(), st.sampled_from(["consecutive", "within:12", "within:40", "reference"]))
@settings(max_examples=150)
def test_pairs_are_those_of_plain_loops(stack, strategy):
    times, tracks = stack

    def between(a, b):
        return [
            c
            for c, track in enumerate(tracks)
            if track == tracks[a] and times[a] < times[c] < times[b]
        ]

    if strategy == "consecutive":
        wanted = loops(times, tracks, lambda a, b: not between(a, b))
    elif strategy == "reference":
        strategy = f"reference:{times[0]}"
        wanted = loops(times, tracks, lambda a, b: 0 in (a, b))
    else:
        days = int(strategy[7:])
        # whole hours: one more than the days is still a cycle
        most = np.timedelta64(24 * days + 1, "h")
        wanted = loops(times, tracks, lambda a, b: times[b] - times[a] <= most)
    if not wanted:
        with pytest.raises(PlanError, match="no pairs"):
            choose_pairs(times, tracks, strategy)
        return
    found = choose_pairs(times, tracks, strategy)
    assert found == wanted
    assert all(tracks[a] == tracks[b] for a, b in found)
    assert all(times[a] < times[b] for a, b in found)
    assert len(set(found)) == len(found)


# --- before the event and since


def test_change_is_counted_from_pairs_before_the_event():
    roles = ["before", "before", "before", "during", "during", "after"]
    found = change_of_pairs(DAYS, TRACKS, roles)
    # track 147 has one pass before the event only
    assert found == {4: ((2, 4), [(0, 2)]), 5: ((4, 5), [(0, 2)])}


def test_tracks_are_held_to_their_own_past():
    days = DAYS[0] + np.arange(8) * np.timedelta64(6, "D")
    tracks, roles = [1, 2] * 4, ["before"] * 5 + ["during", "during", "after"]
    found = change_of_pairs(days, tracks, roles)
    assert found == {6: ((4, 6), [(0, 2), (2, 4)]), 5: ((3, 5), [(1, 3)]), 7: ((5, 7), [(1, 3)])}
    assert list(found) == [5, 6, 7]


@pytest.mark.parametrize(
    "roles",
    [["before"] * 6, ["during"] * 6, ["before", "before", "during", "during", "after", "after"]],
)
def test_without_a_past_or_an_event_there_is_no_change(roles):
    says = (
        "no change of coherence: it takes two passes of one track before the event and one during"
    )
    with pytest.raises(PlanError, match=says):
        change_of_pairs(DAYS, TRACKS, roles)


# --- baselines

RADIUS, RANGE = 7.07e6, 8.4e5


def seen_at(look):
    """A satellite over the x axis that flies along z, and a point that it looks at towards y."""
    above = np.array([RADIUS, 0.0, 0.0])
    return above, above + RANGE * np.array([-math.cos(look), math.sin(look), 0.0])


@given(st.floats(0.2, 1.0), st.floats(-5e3, 5e3))
def test_a_shift_to_the_side_counts_by_the_cosine_of_the_look_angle(look, shift):
    above, point = seen_at(look)
    found = perpendicular_baseline(above, above + np.array([0, shift, 0]), point)
    assert found == pytest.approx(shift * math.cos(look), abs=1e-6)


@given(st.floats(0.2, 1.0), st.floats(-5e3, 5e3))
def test_a_shift_upwards_counts_by_its_sine(look, shift):
    above, point = seen_at(look)
    found = perpendicular_baseline(above, above + np.array([shift, 0, 0]), point)
    assert found == pytest.approx(shift * math.sin(look), abs=1e-6)


@given(st.floats(0.2, 1.0), st.floats(-5e3, 5e3), st.floats(-5e3, 5e3))
def test_shifts_along_the_sight_and_along_the_track_do_not_count(look, near, along):
    above, point = seen_at(look)
    sight = (point - above) / RANGE
    found = perpendicular_baseline(above, above + near * sight + [0, 0, along], point)
    assert found == pytest.approx(0, abs=1e-6)


def test_many_pairs_are_as_each_of_them():
    above, point = seen_at(0.6)
    rng = np.random.default_rng(1)
    ones, others = above + rng.normal(0, 100, (2, 5, 3))
    found = perpendicular_baseline(ones, others, point)
    assert found.shape == (5,)
    alone = [perpendicular_baseline(*pair, point) for pair in zip(ones, others, strict=True)]
    np.testing.assert_allclose(found, alone, rtol=0, atol=1e-9)
    back = perpendicular_baseline(others, ones, point)
    # the axis turns by the baseline over the distance: 100 m in 840 km
    np.testing.assert_allclose(back, -found, rtol=0, atol=0.1)


# --- a cube

SHAPE, CENTRE = (41, 53), (-9.0, 31.0)
ROLES = ["before", "before", "before", "before", "during", "after"]
WINDOW = 5, 7
ATTRS = {
    "grid_mapping": "spatial_ref",
    "pixel_steps": [[0.7, 0.1], [-0.4, 2.4]],
    "spectrum": [[0.672, 0.70], [0.878, 0.75]],
}
CRS_UTM = CRS("EPSG:32629")
MIDDLE = 500_000.0, 3_430_000.0  # 9 degrees west, 31 north


def noise(rng):
    return rng.normal(size=SHAPE) + 1j * rng.normal(size=SHAPE)


def stack(seed=0) -> xr.Dataset:
    """Six passes of two tracks in two polarisations, some pixels missing; places are made up."""
    rng = np.random.default_rng(seed)
    layers = {}
    for name, share in (("vv", 0.8), ("vh", 0.4)):
        shared = {track: noise(rng) for track in set(TRACKS)}
        images = np.stack([share * shared[track] + (1 - share) * noise(rng) for track in TRACKS])
        images[2, 10:14, 20:30] = np.nan
        images[4, :3] = 0
        layers[f"slc_{name}"] = (
            ("time", "y", "x"), images.astype("complex64"), {**ATTRS, "polarisation": name}
        )  # fmt: skip
    above, _ = seen_at(0.6)
    places = above + rng.normal(0, 100, (len(DAYS), 3))
    coords = {
        "time": DAYS.astype("datetime64[ns]"),
        "y": MIDDLE[1] + 10.0 * (SHAPE[0] // 2 - np.arange(SHAPE[0])),
        "x": MIDDLE[0] + 10.0 * (np.arange(SHAPE[1]) - SHAPE[1] // 2),
        "spatial_ref": ((), 0, CRS_UTM.to_cf()),
        "sensor_position": (("time", "axis"), places),
        "role": ("time", ROLES),
        "relative_orbit": ("time", np.array(TRACKS, "int16")),
    }
    return xr.Dataset(layers, coords)


def plain(a, b, window, least=0.5):
    """Coherence by its definition, a window at a time."""
    out = np.full(a.shape, np.nan)
    tall, wide = window[0] // 2, window[1] // 2
    there = np.isfinite(a) & np.isfinite(b) & (a != 0) & (b != 0)
    for y, x in np.ndindex(a.shape):
        part = slice(max(y - tall, 0), y + tall + 1), slice(max(x - wide, 0), x + wide + 1)
        kept = there[part]
        if there[y, x] and kept.sum() >= least * window[0] * window[1]:
            one, other = (image[part][kept].astype("complex128") for image in (a, b))
            power = (abs(one) ** 2).sum() * (abs(other) ** 2).sum()
            out[y, x] = abs((one * other.conj()).sum()) / math.sqrt(power)
    return out


PAIRS = [(0, 2), (1, 3), (2, 4), (4, 5)]


@pytest.mark.parametrize("lazy", [False, True])
def test_coherence_of_pairs_is_that_of_its_definition(lazy):
    ds = stack()
    found = coherence_pairs(ds.chunk(y=17, x=20) if lazy else ds, window=WINDOW)
    assert set(found.data_vars) == {"coherence_vv", "coherence_vh"}
    for name in ("vv", "vh"):
        layer = found[f"coherence_{name}"]
        assert isinstance(layer.data, da.Array) == lazy
        assert layer.dims == ("pair", "y", "x")
        assert layer.dtype == "float32"
        images = ds[f"slc_{name}"].values
        for number, (first, later) in enumerate(PAIRS):
            wanted = plain(images[first], images[later], WINDOW)
            # float32 sums of 35 products
            np.testing.assert_allclose(layer.values[number], wanted, rtol=0, atol=2e-6)
    assert np.isnan(found.coherence_vv.values[0, 10:14, 20:30]).all()


@given(st.integers(3, 41), st.integers(3, 53), st.integers(1, 6))
@settings(max_examples=6)
def test_no_coherence_of_a_pair_depends_on_chunks(rows, cols, times):
    ds = stack()
    whole = coherence_pairs(ds, window=WINDOW)
    found = coherence_pairs(ds.chunk(y=rows, x=cols, time=times), window=WINDOW).compute()
    for name in whole.data_vars:
        assert found[name].values.tobytes() == whole[name].values.tobytes()


def test_pairs_have_times_baselines_and_tracks():
    ds = stack()
    found = coherence_pairs(ds, window=WINDOW)
    first, later = (list(one) for one in zip(*PAIRS, strict=True))
    np.testing.assert_array_equal(found.primary_time, ds.time[first])
    np.testing.assert_array_equal(found.secondary_time, ds.time[later])
    np.testing.assert_array_equal(found.temporal_baseline, [12, 12, 12, 12])
    np.testing.assert_array_equal(found.pair_orbit, [52, 147, 52, 52])
    for axis in ("y", "x"):
        np.testing.assert_array_equal(found[axis], ds[axis])
    assert found.spatial_ref.attrs["crs_wkt"] == CRS_UTM.to_wkt()
    lon, lat = (math.radians(at) for at in CENTRE)
    e2 = (2 - 1 / 298.257223563) / 298.257223563
    normal = 6_378_137 / math.sqrt(1 - e2 * math.sin(lat) ** 2)
    point = normal * np.array(
        [math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), (1 - e2) * math.sin(lat)]
    )
    places = ds.sensor_position.values
    for number, (one, other) in enumerate(PAIRS):
        sight = (point - places[one]) / np.linalg.norm(point - places[one])
        # away from the Earth's centre, perpendicular to the sight
        up = np.cross(np.cross(sight, places[one]), sight)
        wanted = (places[other] - places[one]) @ up / np.linalg.norm(up)
        # the middle of the grid is 31 degrees north to a kilometre: 1e-3 of some 100 m
        assert float(found.perpendicular_baseline[number]) == pytest.approx(wanted, abs=1.0)
    assert found.perpendicular_baseline.attrs["units"] == "m"


def test_layers_say_what_they_are_and_how_many_looks_they_have():
    found = coherence_pairs(stack(), window=WINDOW)
    for name in ("vv", "vh"):
        attrs = found[f"coherence_{name}"].attrs
        assert attrs["polarisation"] == name
        assert (attrs["grid_mapping"], attrs["units"]) == ("spatial_ref", "1")
        assert attrs["window"] == list(WINDOW)
        assert attrs["looks"] == pytest.approx(looks(), abs=0.06)  # to one decimal


def looks():
    """Samples of the window over the sum of their squared correlations, pair by pair."""
    rows, cols = np.mgrid[: WINDOW[0], : WINDOW[1]]
    total = np.ones((rows.size, rows.size))
    for (down, right), (bandwidth, weight) in zip(
        ATTRS["pixel_steps"], ATTRS["spectrum"], strict=True
    ):
        place = (down * rows + right * cols).ravel()
        frequency = (np.arange(999) + 0.5) / 999 * bandwidth - bandwidth / 2
        power = (weight + (1 - weight) * np.cos(2 * np.pi * frequency / bandwidth)) ** 2
        waves = np.exp(2j * np.pi * np.outer(place, frequency))
        total *= np.abs((waves * power) @ waves.conj().T / power.sum()) ** 2
    return rows.size**2 / total.sum()


def test_images_that_do_not_say_how_they_are_sampled_have_no_looks():
    ds = stack()
    del ds.slc_vv.attrs["pixel_steps"]
    found = coherence_pairs(ds, window=WINDOW)
    assert "looks" not in found.coherence_vv.attrs
    assert "looks" in found.coherence_vh.attrs


def test_pairs_may_be_given():
    ds = stack()
    found = coherence_pairs(ds, [(5, 0), (2, 4)], WINDOW)
    np.testing.assert_array_equal(found.temporal_baseline, [-36, 12])
    wanted = coherence_pairs(ds, "within:40", WINDOW)
    same = (wanted.primary_time == DAYS[0].astype("datetime64[ns]")) & (
        wanted.secondary_time == DAYS[5].astype("datetime64[ns]")
    )
    np.testing.assert_allclose(
        found.coherence_vv[0], wanted.coherence_vv.values[same.values][0], rtol=0, atol=1e-6
    )


def test_a_stack_of_one_track_needs_no_tracks_nor_positions():
    ds = stack().isel(time=[0, 2, 4]).drop_vars(["relative_orbit", "sensor_position", "role"])
    found = coherence_pairs(ds, window=WINDOW)
    assert set(found.coords) >= {"primary_time", "secondary_time", "temporal_baseline"}
    assert not {"perpendicular_baseline", "pair_orbit"} & set(found.coords)
    assert found.sizes["pair"] == 2


# --- what is refused


def test_a_pair_of_two_tracks_is_one_line():
    says = "primary is of relative orbit 52, secondary of 147; give two dates of one track"
    with pytest.raises(PlanError, match=says):
        coherence_pairs(stack(), [(0, 1)], WINDOW)


def test_two_polarisations_are_one_line():
    ds = stack()
    with pytest.raises(PlanError, match="primary is vv, secondary vh; give one polarisation"):
        cube.coherence(ds.slc_vv.isel(time=0), ds.slc_vh.isel(time=2), WINDOW)


def test_two_sub_swaths_are_one_line():
    ds = stack()
    one, other = (
        ds.slc_vv.isel(time=at).assign_coords(swath=name) for at, name in ((0, "IW1"), (2, "IW2"))
    )
    with pytest.raises(PlanError, match="primary is of sub-swath IW1, secondary of IW2"):
        cube.coherence(one, other, WINDOW)


def test_a_cube_without_complex_images_is_one_line():
    ds = stack().drop_vars(["slc_vv", "slc_vh"]).assign(vv=("time", np.zeros(6)))
    says = r"the cube holds no complex images \(slc_vv, …\); build one with --product slc$"
    for ask in (images_in, coherence_pairs, coherence_change):
        with pytest.raises(PlanError, match=says):
            ask(ds)
    assert images_in(stack()) == ["slc_vv", "slc_vh"]


def test_windows_and_strategies_that_are_none_are_one_line():
    with pytest.raises(PlanError, match="window of 4 by 3 pixels; give odd numbers"):
        coherence_pairs(stack(), window=(4, 3))
    with pytest.raises(PlanError, match="unknown pairs 'some'"):
        coherence_pairs(stack(), "some")
    with pytest.raises(PlanError, match="least share 0; give more than 0"):
        coherence_pairs(stack(), least=0)


# --- change


@pytest.mark.parametrize("lazy", [False, True])
def test_change_is_coherence_less_its_mean_before_the_event(lazy):
    """Passes 4 and 5 of track 52, which has the pair 0, 2 before; of 147 nothing follows."""
    ds = stack()
    found = coherence_change(ds.chunk(y=17, x=20) if lazy else ds, WINDOW)
    np.testing.assert_array_equal(found.time, ds.time[[4, 5]])
    assert found.role.values.tolist() == ["during", "after"]
    assert found.relative_orbit.values.tolist() == [52, 52]
    for name in ("vv", "vh"):
        layer = found[f"coherence_change_{name}"]
        assert isinstance(layer.data, da.Array) == lazy
        assert (layer.dims, layer.dtype) == (("time", "y", "x"), np.dtype("float32"))
        assert layer.attrs["units"] == "1"
        images = ds[f"slc_{name}"].values
        before = plain(images[0], images[2], WINDOW)
        for number, pair in enumerate(((2, 4), (4, 5))):
            wanted = plain(*(images[at] for at in pair), WINDOW) - before
            # of two float32 sums of 35 products
            np.testing.assert_allclose(layer.values[number], wanted, rtol=0, atol=4e-6)


def test_the_past_is_the_mean_of_all_its_pairs():
    ds = stack().isel(time=[0, 2, 4, 5])
    ds = ds.assign_coords(role=("time", ["before", "before", "before", "during"]))
    ds.slc_vv.values[0, 30:34, 5:15] = np.nan
    found = coherence_change(ds, WINDOW)
    images = ds.slc_vv.values
    past = [plain(images[at], images[at + 1], WINDOW) for at in (0, 1)]
    wanted = plain(images[2], images[3], WINDOW) - (past[0] + past[1]) / 2
    np.testing.assert_allclose(found.coherence_change_vv.values[0], wanted, rtol=0, atol=4e-6)
    unknown = np.isnan(past[0][30:34, 5:15]), np.isfinite(past[1][30:34, 5:15])
    assert np.logical_and(*unknown).all(), "in one pair of the past"
    assert np.isnan(found.coherence_change_vv.values[0, 30:34, 5:15]).all()


def test_what_is_as_coherent_as_before_has_not_changed():
    ds = stack().isel(time=[0, 2, 5])
    ds = ds.assign_coords(role=("time", ["before", "before", "during"]))
    ds["slc_vv"] = ds.slc_vv.copy(data=np.repeat(ds.slc_vv.values[:1], 3, axis=0))
    found = coherence_change(ds, WINDOW, least=0.1).coherence_change_vv  # in the corners too
    np.testing.assert_array_equal(found, np.zeros((1, *SHAPE), "float32"))


# --- blocks


@dataclass(frozen=True)
class Held:
    """An image in memory that is read in windows."""

    values: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        return self.values.shape[0], self.values.shape[1]

    def read(self, window: Window) -> np.ndarray:
        assert 0 <= window.line < window.line_stop <= self.shape[0]
        assert 0 <= window.sample < window.sample_stop <= self.shape[1]
        return self.values[window.line : window.line_stop, window.sample : window.sample_stop]


@pytest.mark.parametrize("block", [1, 7, 16, 64])
@pytest.mark.filterwarnings("ignore::dask.array.PerformanceWarning")
def test_blocks_of_a_pair_have_the_bits_of_the_whole(block):
    ds = stack()
    layers = tuple(
        (Held(ds[name].values[0]), Held(ds[name].values[2])) for name in ("slc_vv", "slc_vh")
    )
    lazy = pair_coherence(PairSource(layers, WINDOW), SHAPE, block)
    assert lazy.chunks[1][0] == min(block, SHAPE[0])
    whole = coherence_pairs(ds, [(0, 2)], WINDOW)
    found = lazy.compute(scheduler="threads")
    for number, name in enumerate(("coherence_vv", "coherence_vh")):
        assert found[number].tobytes() == whole[name].values[0].tobytes()


@pytest.mark.parametrize("block", [13, 64])
def test_blocks_of_a_change_are_those_of_the_whole(block):
    ds = stack()
    found = coherence_pairs(ds, [(4, 5), (0, 2), (2, 4)], WINDOW)
    held = [
        tuple(Held(found[name].values[at]) for name in ("coherence_vv", "coherence_vh"))
        for at in range(3)
    ]
    change = pair_change(held[0], (held[1], held[2]), SHAPE, block).compute()
    for number, name in enumerate(("coherence_vv", "coherence_vh")):
        now, *past = found[name].values.astype("float64")
        # one rounding to float32 of a mean, one of a difference
        np.testing.assert_allclose(change[number], now - (past[0] + past[1]) / 2, atol=2e-7)


def test_a_pair_of_blocks_needs_a_window_with_a_centre():
    source = PairSource(((Held(np.ones(SHAPE, "complex64")),) * 2,), (4, 3))
    with pytest.raises(PlanError, match="window of 4 by 3 pixels; give odd numbers"):
        pair_coherence(source, SHAPE, 16)


@pytest.mark.parametrize(
    ("pairs", "says"),
    [
        ([], "no pair: give pairs of two passes, counted 0 to"),
        ([(0, 99)], r"pair \(0, 99\): give pairs"),
        ([(0, -1)], r"pair \(0, -1\): give pairs"),
        ([(1, 1)], r"pair \(1, 1\): give pairs"),
    ],
)
def test_indices_that_are_no_pair_are_one_line(pairs, says):
    with pytest.raises(PlanError, match=says):
        cube.coherence_pairs(stack(), pairs)
