"""What changes on land between two dates."""

from __future__ import annotations

import numpy as np

from cube.simulate import examples
from cube.simulate.examples import example
from cube.simulate.landscapes import landscape
from cube.simulate.seasons import Change, draw_change
from cube.simulate.speckles import Speckles
from cube.simulate.world import PARCELS, Cover


def drawn(worked: bool, seed: int = 0) -> Change:
    rng = np.random.default_rng(seed)
    return draw_change(landscape(64, rng, 0.0, 0.0), rng.normal(0, 1, PARCELS), worked, rng)


def of_fields(seed: int) -> np.ndarray:
    """What is done to fields alone, decibels (polarisation, parcel)."""
    parcels = drawn(True, seed).parcels
    return parcels[:, Cover.CROP] - parcels[:, Cover.FOREST]


def test_where_nothing_is_worked_it_is_the_common_change_alone():
    change = drawn(False)
    assert np.ptp(change.parcels, axis=(0, 1)).max() == 0
    assert change.parcels.std() > 0.9
    assert not change.patches.any()


def test_fields_change_and_woods_do_not():
    """What is done to fields comes on top of what all parcels share."""
    assert max(of_fields(seed).std() for seed in range(20)) > 1
    for seed in range(3):
        parcels = drawn(True, seed).parcels
        np.testing.assert_array_equal(parcels[:, Cover.FOREST], parcels[:, Cover.URBAN])
        assert abs(parcels[1, Cover.FOREST] - parcels[0, Cover.FOREST]).std() > 0.05


def test_polarisations_change_by_unlike_amounts():
    """Alike on some dates and against one another on others, so not told as stems in water."""
    found = []
    for seed in range(60):
        fields = of_fields(seed)
        moved = fields[:, abs(fields[0]) > 1]
        if moved.shape[1] > 50:
            found.append(np.corrcoef(moved)[0, 1])
    assert len(found) > 20
    assert min(found) < 0 < 0.6 < max(found)
    assert 0.1 < np.mean(found) < 0.6


def test_what_one_date_shows_does_not_depend_on_the_other(monkeypatch):
    speckles = Speckles(np.random.default_rng(0), count=4, size=64)
    lands = [landscape(48, np.random.default_rng(seed), 0.0, 0.5) for seed in range(6)]

    def draws():
        for seed, land in enumerate(lands):
            yield example(land, speckles, np.random.default_rng(seed), worked=1.0)

    plain = list(draws())
    none = Change(np.zeros((2, len(Cover), PARCELS)), np.zeros((2, 1, 1), "float32"))
    monkeypatch.setattr(examples, "draw_change", lambda *given: none)
    others = list(draws())
    for one, other in zip(plain, others, strict=True):
        np.testing.assert_array_equal(one.vv, other.vv)
        np.testing.assert_array_equal(one.classes, other.classes)
    assert any((a.reference_vh != b.reference_vh).any() for a, b in zip(plain, others, strict=True))
