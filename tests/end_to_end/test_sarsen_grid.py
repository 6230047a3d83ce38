"""Where sarsen finds the pixels of a map in a real product's image, and where we do.

Both get one grid with its heights. The image's numbers are ramps, along the samples in VV and along
the lines in VH, so that what comes out tells the place that was looked at.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import rasterio
import tifffile
from pyproj import Transformer
from references import read_product, seconds

from cube.kernels.ellipsoid import to_ecef
from cube.kernels.geocode import image_coordinates
from cube.readers.annotation import read_annotation
from cube.readers.calibration import read_radiometry
from cube.readers.safe import open_safe
from cube.readers.window import Window
from cube.simulate import rewrite_pixels
from cube.steps.heights import node_lonlat
from pipelines.benchmark_scene import hills, open_scene

pytestmark = pytest.mark.peers

SIZE = 256
AROUND = 900  # lines of the image before and after the middle
LEVEL = 20_000

SARSEN = """
import json, sys, warnings
warnings.simplefilter("ignore")
import sarsen
words = json.loads(sys.argv[1])
for name in ("VV", "VH"):
    product = sarsen.Sentinel1SarProduct(words["safe"], f"IW/{name}")
    sarsen.terrain_correction(
        product, dem_urlpath=words["dem"], output_urlpath=words[name], interp_method="linear"
    )
"""


def ramps(safe: Path) -> tuple[int, int]:
    """Write numbers that grow by one with each sample (VV) and line (VH) around the middle."""
    annotations = sorted((safe / "annotation").glob("*.xml"))
    lines, samples = read_annotation(str(annotations[0])).image.shape
    across = LEVEL - samples // 2 + np.arange(samples)
    for path in annotations:
        image = tifffile.memmap(
            safe / "measurement" / f"{path.stem}.tiff", shape=(lines, samples), dtype="uint16",
            rowsperstrip=1, photometric="minisblack",
        )  # fmt: skip
        for line in range(lines // 2 - AROUND, lines // 2 + AROUND):
            image[line] = across if "-vv-" in path.name else LEVEL - lines // 2 + line
        image.flush()
    return lines, samples


class Places(NamedTuple):
    """Lines and samples of a map's pixels: ours, sarsen's and by plain formulas."""

    ours: tuple[np.ndarray, np.ndarray]
    theirs: tuple[np.ndarray, np.ndarray]
    plain: tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def places(data_dir, tmp_path_factory):
    """Line and sample of the map's pixels by us and by sarsen, and their slant ranges."""
    folder = tmp_path_factory.mktemp("sarsen")
    source = next((data_dir / "safe").glob("S1A_IW_GRDH_1SDV_20210809*.SAFE"))
    safe = rewrite_pixels(source, folder, {})
    lines, samples = ramps(safe)
    scene = open_scene(safe)
    grid = scene.grid(SIZE)
    height = hills(Window(0, 0, SIZE, SIZE))
    words = {"safe": str(safe), "dem": str(folder / "dem.tif")}
    words |= {name: str(folder / f"{name}.tif") for name in ("VV", "VH")}
    with rasterio.open(
        words["dem"], "w", driver="GTiff", dtype="float32", count=1, height=SIZE, width=SIZE,
        crs=str(grid.crs), transform=grid.affine,
    ) as file:  # fmt: skip
        file.write(height, 1)
    subprocess.run([sys.executable, "-c", SARSEN, json.dumps(words)], check=True)

    theirs = {}
    for (_, files), middle in zip(open_safe(safe, folder).files, (samples, lines), strict=True):
        gain = read_radiometry(files.calibration, files.noise, "beta0").gain.values
        assert np.ptp(gain) == 0
        name = "VV" if "-vv-" in files.measurement else "VH"
        with rasterio.open(words[name]) as file:
            power = file.read(1)[::-1].astype(float)  # it writes the south first
            theirs[name] = np.sqrt(power) * gain[0, 0] - LEVEL + middle // 2
    annotation = read_annotation(scene.files.annotation)
    part = slice(0, SIZE), slice(0, SIZE)
    nodes = node_lonlat(grid, *part)
    ours = image_coordinates(annotation.orbit, annotation.image, *nodes, height)
    x, y = grid.affine * np.meshgrid(np.arange(SIZE) + 0.5, np.arange(SIZE) + 0.5)
    lon, lat = Transformer.from_crs(str(grid.crs), 4326, always_xy=True).transform(x, y)
    content = Path(scene.files.annotation).read_bytes()
    shutil.rmtree(safe)
    plain = by_sarsens_rules(content, to_ecef(lon, lat, height))
    return Places(ours, (theirs["VH"], theirs["VV"]), plain)


def by_sarsens_rules(content: bytes, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Line and sample by plain formulas with what sarsen does otherwise.

    The orbit is a polynomial of degree 5 through all positions; a line's time is that of zero
    Doppler; coefficients from slant to ground range are means of the two records around a time.
    """
    product, root = read_product(content), ET.fromstring(content)
    at = np.array([time for time, _, _ in product.orbit])
    middle = (at[0] + at[-1]) / 2
    fits = [
        np.polynomial.Polynomial.fit(at - middle, [place[axis] for _, place, _ in product.orbit], 5)
        for axis in range(3)
    ]
    time = np.full(points.shape[:-1], 12.0 - middle)
    for _ in range(8):
        sight = points - np.stack([fit(time) for fit in fits], axis=-1)
        speed = np.stack([fit.deriv()(time) for fit in fits], axis=-1)
        turn = np.stack([fit.deriv(2)(time) for fit in fits], axis=-1)
        time -= (sight * speed).sum(-1) / ((sight * turn).sum(-1) - (speed**2).sum(-1))
    slant = np.linalg.norm(points - np.stack([fit(time) for fit in fits], axis=-1), axis=-1)
    time += middle
    epoch = root.findtext(".//productFirstLineUtcTime")
    records = [one for one in root.iter("coordinateConversion") if one.find("sr0") is not None]
    when = [seconds(one.findtext("azimuthTime"), epoch) for one in records]
    terms = np.array([one.findtext("srgrCoefficients").split() for one in records], "float64")
    first = np.interp(time, when, [float(one.findtext("sr0")) for one in records])
    ground = sum(
        np.interp(time, when, terms[:, k]) * (slant - first) ** k for k in range(terms.shape[1])
    )
    return time / product.line_step, ground / product.sample_step


def test_sarsens_places_are_those_of_its_own_rules(places):
    """Nothing else differs: no geoid is in play, and grid and heights are the same."""
    inner = slice(4, -4), slice(4, -4)
    line, sample = (a - b for a, b in zip(places.theirs, places.plain, strict=True))
    # its search ends within a metre of zero Doppler, and a line is ten
    assert np.abs(line[inner]).max() < 0.1
    assert np.abs(sample[inner]).max() < 0.005


def test_ours_differ_by_those_rules_alone(places):
    """The nearest record, as the processor writes them, the whole orbit, and the bistatic term.

    `tests/pipelines/test_benchmark_sar.py` shows that ESA's grids follow ours.
    """
    inner = slice(4, -4), slice(4, -4)
    line, sample = (a - b for a, b in zip(places.ours, places.theirs, strict=True))
    # 0.01 line of bistatic term so near the middle of the swath, 0.04 of degree 5
    assert np.abs(line[inner]).max() < 0.1
    # records are 670 lines apart, and half of what two of them differ by is lost in between
    assert 0.1 < np.abs(sample[inner]).max() < 1.0
    assert np.abs(sample[inner]).min() < 0.005, "at a record there is nothing between"
