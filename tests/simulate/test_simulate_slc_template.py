"""Made-up SLC annotations beside real ones."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
import zipfile
from itertools import pairwise

import numpy as np
import pytest
from slc_measures import (
    EMPTY,
    LAT,
    LON,
    C,
    annotation,
    deramp,
    span,
    starts,
    time,
    value,
)

from cube.simulate.slc import make_slc_template, simulate_slc
from cube.simulate.slc_layout import burst_number

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def sensing_misfit(root: ET.Element) -> np.ndarray:
    """Sensing time less what the steered beam predicts for line 0 at mid swath, seconds."""
    lines, step = int(value(root, "linesPerBurst")), value(root, "azimuthTimeInterval")
    tau = value(root, "imageInformation/slantRangeTime")
    tau += value(root, "numberOfSamples") / value(root, "rangeSamplingRate") / 2
    found = []
    for at, burst in enumerate(root.iter("burst")):
        law, eta = deramp(root, at, tau), -lines * step / 2
        seen = (law["k_a"] * eta + law["f_dc"]) / (law["k_a"] - law["k_s"])
        later = span(time(burst.findtext("sensingTime")), time(burst.findtext("azimuthTime")))
        found.append(later - (seen - eta))
    return np.array(found)


@pytest.mark.parametrize("swath", ["iw1", "iw2", "iw3"])
def test_sensing_follows_the_beam(template, pair, tmp_path, swath):
    assert np.abs(sensing_misfit(annotation(template, swath))).max() < 0.005
    bare = EMPTY
    safe = simulate_slc(
        tmp_path, pair[0], bare, swaths=(swath.upper(),), polarisations=("VV",), bursts=[4]
    )
    # Real ones count from the first echo whose line is valid, some twenty lines earlier.
    assert np.abs(sensing_misfit(annotation(safe, swath)) + 0.047).max() < 0.02


def test_burst_numbers_of_real_products(data_dir):
    """The number of a cycle, by the time of its burst in IW2."""
    lead, checked = {"iw1": 0.833, "iw2": 0.0, "iw3": -1.078}, 0
    for path in sorted((data_dir / "safe").glob("S1A_IW_SLC__1SDV_2023*.zip")):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                match = re.search(r"annotation/s1a-(iw\d)-slc-vv", name)
                if not match:
                    continue
                root = ET.fromstring(archive.read(name))
                node = time(root.findtext(".//ascendingNodeTime"))
                half = value(root, "linesPerBurst") * value(root, "azimuthTimeInterval") / 2
                orbit = (int(value(root, "absoluteOrbitNumber")) - 73) % 175 + 1
                for burst in root.iter("burst"):
                    middle = span(time(burst.findtext("sensingTime")), node) + half
                    number = burst_number(middle + lead[match[1]], orbit)
                    assert number == int(burst.findtext("burstId"))
                    checked += 1
    assert checked == 54


def test_full_size_bursts_look_real(tmp_path):
    safe = make_slc_template(
        tmp_path, lon=LON, lat=LAT, orbit_direction="ascending", bursts=2, polarisations=("VV",)
    )
    assert re.fullmatch(
        r"S1A_IW_SLC__1SSV_\d{8}T\d{6}_\d{8}T\d{6}_050174_0609E3_[0-9A-F]{4}\.SAFE", safe.name
    )
    roots = {name: annotation(safe, name) for name in ("iw1", "iw2", "iw3")}
    numbers = set()
    edges = []
    for name, root in roots.items():
        begin, step = starts(root), value(root, "azimuthTimeInterval")
        valid = np.array(root.findtext(".//firstValidSample").split(), int) >= 0
        period = span(begin[1], begin[0])
        assert abs(period - 2.758277) < 0.01
        assert abs(period / step - round(period / step)) < 0.0006
        assert 110 < valid.sum() - period / step < 135
        rate = deramp(root, 0, value(root, "imageInformation/slantRangeTime"))["k_a"]
        assert -2400 < rate < -1900, name
        tau = value(root, "imageInformation/slantRangeTime")
        ends = [root.findtext(f".//{x}ValidSample").split()[700] for x in ("first", "last")]
        edges.append([tau + int(x) / value(root, "rangeSamplingRate") for x in ends])
        numbers.add(tuple(burst.text for burst in root.iter("burstId")))
        assert {value(root, "azimuthFmRate/t0"), value(root, "dcEstimate/t0")}.isdisjoint({tau})
        assert next((safe / "measurement").glob(f"*{name}*")).stat().st_size > 2.7e8
    assert len(numbers) == 1
    for one, two in pairwise(edges):
        ground = (one[1] - two[0]) * C / 2 / np.sin(np.radians(38))
        assert 1500 < ground < 2500
    # Lines are bistatic: 0 at the middle of IW2, as the grids of all swaths tell.
    mid = value(roots["iw2"], "imageInformation/slantRangeTime")
    mid += value(roots["iw2"], "numberOfSamples") / value(roots["iw2"], "rangeSamplingRate") / 2
    for root in roots.values():
        for point in root.iter("geolocationGridPoint"):
            if value(point, "line") == 0:
                delay = span(time(point.findtext("azimuthTime")), starts(root)[0])
                assert abs(delay - (value(point, "slantRangeTime") - mid) / 2) < 1e-6
