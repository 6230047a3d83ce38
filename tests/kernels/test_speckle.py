"""Filters against plain Python, blocks against the whole, and what filters are for."""

from __future__ import annotations

import numpy as np
import pytest
import speckle_references as references
from hypothesis import given, settings
from hypothesis import strategies as st
from speckle_references import images, same_bits, speckled

from cube.kernels import speckle

SINGLE = ["boxcar", "lee", "refined-lee", "lee-sigma"]
LIMIT = 0.25  # what is bright in the tests of all filters

windows = st.sampled_from([3, 5, 7, 9])
patient = settings(deadline=None)  # the first call compiles


def apply(name, image, **options):
    chosen = speckle.FILTERS[name]
    extra = {"z98": LIMIT} if chosen.needs_z98 else {}
    return chosen.apply(image, **extra, **options)


def close(found, wanted, image, half):
    """Equal but for rounding, which is measured by the largest power in the window."""
    assert found.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(found), np.isnan(image))
    valid = ~np.isnan(image)
    error = np.abs(found - wanted)[valid]
    return error <= 2e-5 * references.scale(image, half)[valid]


@patient
@given(images(), windows)
def test_boxcar_is_the_mean_of_the_valid(image, window):
    found = speckle.boxcar(image, window)
    # float64 sums rounded once to float32; what cancels is measured by what was added
    assert (
        np.abs(found - references.boxcar(image, window))[~np.isnan(image)]
        <= 1e-7 * references.scale(image, window // 2)[~np.isnan(image)]
    ).all()
    assert np.array_equal(np.isnan(found), np.isnan(image))


@patient
@given(images(), windows, st.sampled_from([1, 4.4, 30]))
def test_lee_equals_its_formula(image, window, looks):
    found = speckle.lee(image, window, looks)
    assert close(found, references.lee(image, window, looks), image, window // 2).all()


@patient
@given(images(), st.sampled_from([1, 4.4]))
def test_refined_lee_equals_its_rules(image, looks):
    wanted, sure = references.refined_lee(image, looks)
    found = speckle.refined_lee(image, looks)
    assert close(found, wanted, image, 3)[sure[~np.isnan(image)]].all()


def test_most_sides_of_edges_are_sure():
    _, sure = references.refined_lee(speckled(np.random.default_rng(0), (30, 30)), 1)
    assert sure.mean() > 0.99


@patient
@given(images(leading=(3,), most=12), windows)
def test_quegan_equals_its_formula(stack, window):
    found = speckle.quegan(stack, window)
    assert found.dtype == np.float32
    wanted = references.quegan(stack, window)
    # local means that nearly cancel have large ratios, right to as many digits
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6 * np.nanmax([0, *stack.flat]))


def test_quegan_counts_the_dates_that_a_pixel_has():
    stack = np.full((3, 5, 5), 2.0, "float32")
    stack[1, 2, 2] = np.nan
    stack[2] = 6.0
    found = speckle.quegan(stack, 3)
    assert found[0] == pytest.approx(np.full((5, 5), 2.0))
    assert np.isnan(found[1, 2, 2])
    assert found[2] == pytest.approx(np.full((5, 5), 6.0))


def test_quegan_without_any_positive_local_mean_is_the_local_mean():
    stack = np.zeros((2, 4, 4), "float32")
    stack[1] = -1.0
    assert np.array_equal(speckle.quegan(stack, 3), stack)


@pytest.mark.parametrize("name", SINGLE)
@pytest.mark.parametrize("value", [0.0, 0.1, -3e-4, 1e4])
def test_a_constant_field_is_unchanged(name, value):
    image = np.full((70, 530), value, "float32")  # beyond one tile both ways
    # sums of 49 equal numbers in float32
    np.testing.assert_allclose(apply(name, image), image, rtol=1e-5)
    np.testing.assert_allclose(speckle.quegan(np.stack([image] * 2)), [image] * 2, rtol=1e-6)


@pytest.mark.parametrize("name", SINGLE)
def test_missing_samples_stay_missing_and_harm_no_others(name):
    image = speckled(np.random.default_rng(1), (40, 40))
    image[::3, ::2] = np.nan
    image[10:25, 10:25] = np.nan
    image[17, 17] = 0.1  # alone
    found = apply(name, image)
    assert np.array_equal(np.isnan(found), np.isnan(image))
    assert found[17, 17] == image[17, 17]


@pytest.mark.parametrize("name", speckle.FILTERS)
def test_nothing_gives_nothing(name):
    lead = (2,) if speckle.FILTERS[name].needs_time else ()
    assert apply(name, np.empty((*lead, 0, 5))).shape == (*lead, 0, 5)
    assert np.isnan(apply(name, np.full((*lead, 4, 4), np.nan))).all()


# Speckle of one look has ENL 1; a window of 49 samples can bring 49, half a window 28. What stands
# out of a window is taken for signal, which costs some of it, and choosing sides or a range that
# cuts the tail of the distribution costs 1 to 2 % of the mean.
@pytest.mark.parametrize(
    ("name", "enl", "bias"),
    [("boxcar", 45, 0.005), ("lee", 30, 0.005), ("refined-lee", 14, 0.03), ("lee-sigma", 15, 0.03)],
)
def test_looks_rise_and_the_mean_is_kept(name, enl, bias):
    image = speckled(np.random.default_rng(2), (600, 600))
    options = {"z98": 0.1 * np.log(50)} if name == "lee-sigma" else {}
    found = speckle.FILTERS[name].apply(image, **options).astype("float64")
    assert (found.mean() / found.std()) ** 2 > enl
    assert found.mean() == pytest.approx(0.1, rel=bias)


def test_quegan_gains_looks_by_dates_and_keeps_the_level_of_each():
    stack = speckled(np.random.default_rng(3), (8, 300, 300))
    stack[4:] *= 10
    found = speckle.quegan(stack).astype("float64")
    looks = found.mean(axis=(1, 2)) ** 2 / found.var(axis=(1, 2))
    np.testing.assert_allclose(looks, 49 * 8 / (49 + 8 - 1), rtol=0.1)  # of independent dates
    levels = [0.1] * 4 + [1.0] * 4
    np.testing.assert_allclose(found.mean(axis=(1, 2)), levels, rtol=0.03)


def test_refined_lee_keeps_edges_between_calm_fields():
    step = np.where(np.arange(40) < 20, 0.01, 0.2).astype("float32")
    for image in (np.tile(step, (40, 1)), np.tile(step, (40, 1)).T):
        np.testing.assert_allclose(speckle.refined_lee(image), image, rtol=1e-5)
    y, x = np.mgrid[:40, :40]
    beside = (abs(y + x - 38.5) < 2) & (np.minimum(y, x) > 3)  # where windows are whole
    image = np.where(y + x < 39, 0.01, 0.2).astype("float32")
    for turned in (image, image[:, ::-1], image[::-1], image[::-1, ::-1]):
        found = speckle.refined_lee(turned)
        same = beside[:, ::-1] if turned[0, 0] == turned[-1, -1] else beside
        np.testing.assert_allclose(found[same], turned[same], rtol=1e-5)


@pytest.mark.parametrize("name", ["refined-lee", "lee-sigma"])
def test_edges_blur_less_than_in_a_box(name):
    step = np.tile(np.where(np.arange(40) < 20, 0.01, 0.2).astype("float32"), (40, 1))
    blur = np.abs(speckle.boxcar(step) - step).sum()
    assert np.abs(apply(name, step) - step).sum() < 0.5 * blur


@pytest.fixture(scope="module")
def wide():
    """Beyond two tiles both ways, with everything in it that an image may have."""
    rng = np.random.default_rng(4)
    image = speckled(rng, (2, 140, 1100)) - np.float32(0.02)
    image[rng.random(image.shape) < 0.05] = np.nan
    image[rng.random(image.shape) < 0.05] = 0
    image[:, 60:63, 510:514] = 9
    image[:, 100:, 300:500] = np.nan
    return image


OPTIONS = {
    "boxcar": [{}, {"window": 3}, {"window": 11}],
    "lee": [{}, {"window": 5, "looks": 4.4}],
    "refined-lee": [{"looks": 4.4}],
    "lee-sigma": [{}, {"window": 5, "target": 5}, {"window": 9, "looks": 4, "sigma": 0.8}],
    "quegan": [{}, {"window": 5}],
}


@settings(deadline=None, max_examples=25)
@given(st.data())
@pytest.mark.parametrize(
    ("name", "which"), [(n, k) for n in OPTIONS for k in range(len(OPTIONS[n]))]
)
def test_a_block_with_halo_has_the_bits_of_the_whole(wide, name, which, data):
    options = OPTIONS[name][which]
    image = wide if speckle.FILTERS[name].needs_time else wide[0]
    reach = speckle.halo(name, **options)
    y0, x0 = data.draw(st.integers(0, 139)), data.draw(st.integers(0, 1099))
    y1, x1 = data.draw(st.integers(y0 + 1, 140)), data.draw(st.integers(x0 + 1, 1100))
    top, left = max(0, y0 - reach), max(0, x0 - reach)
    block = apply(name, image[..., top : y1 + reach, left : x1 + reach], **options)
    inner = block[..., y0 - top : y1 - top, x0 - left : x1 - left]
    assert same_bits(inner, apply(name, image, **options)[..., y0:y1, x0:x1])


@pytest.mark.parametrize("name", OPTIONS)
def test_a_halo_of_nothing_is_the_border(wide, name):
    image = wide if speckle.FILTERS[name].needs_time else wide[0]
    reach = speckle.halo(name)
    around = [(0, 0)] * (image.ndim - 2) + [(reach, reach)] * 2
    grown = apply(name, np.pad(image, around, constant_values=np.nan))
    assert same_bits(grown[..., reach:-reach, reach:-reach], apply(name, image))


@pytest.mark.parametrize("name", OPTIONS)
def test_a_halo_is_no_wider_than_it_must_be(name):
    rng = np.random.default_rng(5)
    lead = (2,) if speckle.FILTERS[name].needs_time else ()
    image = speckled(rng, (*lead, 41, 41))
    found = []
    for _ in range(30):
        other = image.copy()
        other[..., 20, 20] = 10 ** rng.uniform(-3, 1)
        changed = apply(name, other) != apply(name, image)
        *_, rows, columns = np.nonzero(changed)
        found += [*abs(rows - 20), *abs(columns - 20)]
    assert max(found) == speckle.halo(name)


def test_inputs_are_not_changed(wide):
    for name, chosen in speckle.FILTERS.items():
        image = wide.copy() if chosen.needs_time else wide[0].copy()
        before = image.copy()
        apply(name, image)
        assert same_bits(image, before)


@pytest.mark.parametrize("window", [0, 1, 4, -3, 7.5])
def test_a_window_needs_a_centre(window):
    for name in ("boxcar", "lee", "lee-sigma", "quegan"):
        image = np.ones((2, 3, 3)) if name == "quegan" else np.ones((3, 3))
        with pytest.raises(ValueError, match="give an odd size of at least 3"):
            apply(name, image, window=window)


@pytest.mark.parametrize("looks", [0, -1, np.nan, np.inf])
def test_looks_are_above_zero(looks):
    for name in ("lee", "refined-lee"):
        with pytest.raises(ValueError, match="looks; give a number above 0"):
            apply(name, np.ones((3, 3)), looks=looks)


@pytest.mark.parametrize("name", SINGLE)
def test_only_images_are_filtered(name):
    with pytest.raises(ValueError, match=r"image has shape \(2, 3, 4\); expected two axes"):
        apply(name, np.ones((2, 3, 4)))


def test_only_stacks_are_filtered_over_time():
    with pytest.raises(ValueError, match=r"shape \(3, 4\); expected three axes \(time, y, x\)"):
        speckle.quegan(np.ones((3, 4)))


def test_unknown_names_and_options_are_refused():
    with pytest.raises(ValueError, match="no speckle filter 'frost'; known are boxcar, lee, refin"):
        speckle.halo("frost")
    with pytest.raises(ValueError, match="no option damping; known are looks, window"):
        speckle.halo("lee", damping=2)
    with pytest.raises(ValueError, match="target window of 4 samples; give 3 or 5"):
        speckle.halo("lee-sigma", target=4)


@pytest.mark.parametrize("name", speckle.FILTERS)
def test_the_table_names_what_a_filter_takes(name):
    chosen = speckle.FILTERS[name]
    image = speckled(np.random.default_rng(6), (3, 30, 30))
    image = image if chosen.needs_time else image[0]
    assert same_bits(apply(name, image, **chosen.options({})), apply(name, image))
