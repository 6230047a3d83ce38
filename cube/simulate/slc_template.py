"""Made-up SLC products without echoes: exact geometry on an analytic orbit, ESA's schema."""

from __future__ import annotations

import binascii
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree as ET

import numpy as np

from cube.simulate.annotation_general import STEERING_DEG_S
from cube.simulate.geometry import ImageGeometry
from cube.simulate.manifest import DataObject, data_object, manifest_xml
from cube.simulate.orbit import orbit_over
from cube.simulate.product import ProductSpec
from cube.simulate.slc_documents import documents
from cube.simulate.slc_files import (
    MANIFEST,
    SparseTiff,
    document,
    edit_manifest,
    ground_control,
    publish,
)
from cube.simulate.slc_layout import LINE_STEP_S, REAL_LINES, Layout, lay_out
from cube.simulate.slc_rewrite import place_bursts, state_header, state_period
from cube.simulate.slc_scene import Field, value_of
from cube.simulate.xmltree import write_xml

__all__ = ["make_slc_template"]

BETA_GAIN = 237.0
"""Digital number of unit beta nought, in real calibration annotations of 2023."""


def make_slc_template(
    directory: Path,
    *,
    lon: float,
    lat: float,
    start: np.datetime64 | str = "2023-09-04T06:37:31",
    orbit_direction: Literal["ascending", "descending"] = "descending",
    incidence: float = 38.0,
    swaths: Sequence[str] = ("IW1", "IW2", "IW3"),
    bursts: int = 3,
    lines_per_burst: int = REAL_LINES,
    samples_per_burst: int | None = None,
    polarisations: tuple[str, ...] = ("VV", "VH"),
    height: Field = 0.0,
    mission: str = "S1A",
    absolute_orbit: int = 50174,
    datatake: int = 395747,
    label: str = "simulated",
) -> Path:
    """Write a SAFE folder of a made-up SLC product whose pixels are 0, and return it.

    Parameters
    ----------
    directory : Path
        Existing folder.
    lon, lat : float
        Middle of the middle burst of the middle swath (the later one of two), degrees.
    start : datetime64 or str
        Zero-Doppler time of that place, UTC.
    orbit_direction : {"ascending", "descending"}
    incidence : float
        Incidence angle there, degrees.
    swaths : sequence of {"IW1", "IW2", "IW3"}
    bursts : int
        Of each swath.
    lines_per_burst : int
        The burst period is proportional to it. Identifiers of bursts count on from the first
        one, and so follow the time for bursts of the real size only.
    samples_per_burst : int, optional
        One number for all swaths; the real ones where left out. Swaths share 2 km, or a fifth of
        their samples where that is less.
    polarisations : tuple of str
    height : callable (lon, lat) or float
        Ellipsoidal height in metres, of the geolocation grid.
    mission, absolute_orbit, datatake
        Of the name and the identifiers; S1A or S1B.
    label : str
        What the manifest says of the product.

    Raises
    ------
    ValueError
        The orbit cannot see the place, or bursts are too small.
    FileExistsError
        The product is already there.
    """
    if lines_per_burst < 64 or bursts < 1 or (samples_per_burst or 64) < 64:
        raise ValueError("a burst has at least 64 lines and 64 samples, a swath at least 1 burst")
    if not swaths or not set(swaths) <= set(STEERING_DEG_S):
        raise ValueError(f"swaths {tuple(swaths)} are none of {tuple(STEERING_DEG_S)}")
    centre = float(value_of(height, np.array([lon]), np.array([lat]))[0])
    orbit = orbit_over(
        lon,
        lat,
        time=np.datetime64(str(start), "us"),
        direction=orbit_direction,
        incidence_deg=incidence,
        height_m=centre,
    )

    spec = ProductSpec(
        ImageGeometry(orbit, 0.0, LINE_STEP_S, 1, 1, 0.0, 0.0, centre, ()),
        orbit_direction,
        (),
        lambda at_lat, at_lon: value_of(height, at_lon, at_lat),
        polarisations=polarisations,
        mission=mission,
        absolute_orbit=absolute_orbit,
        datatake=datatake,
        beta_gain=BETA_GAIN,
        label=label,
    )
    layouts = lay_out(
        spec,
        (lon, lat),
        swaths,
        bursts=bursts,
        lines=lines_per_burst,
        samples=samples_per_burst,
    )
    part = Path(tempfile.mkdtemp(prefix=".slc.", dir=directory))
    try:
        return publish(part, directory / _fill(part, layouts))
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _compact(time: np.datetime64) -> str:
    return str(time.astype("datetime64[s]")).replace("-", "").replace(":", "")


def _fill(part: Path, layouts: Sequence[Layout]) -> str:
    """Write all files of a product into `part`; return its name."""
    for folder in ("annotation/calibration", "measurement"):
        (part / folder).mkdir(parents=True)
    objects: list[DataObject] = []
    images: list[tuple[str, str]] = []
    periods = []
    spec = layouts[0].spec
    for kind in sorted(spec.polarisations):
        for layout in layouts:
            number = len(images) + 1
            roots = documents(layout, kind, f"{number:03d}")
            periods.append(state_period(roots["product"]))
            images.append((layout.name, kind))
            stem = "-".join(
                [
                    spec.mission.lower(),
                    layout.name.lower(),
                    "slc",
                    kind.lower(),
                    *[_compact(time).lower() for time in periods[-1]],
                    f"{spec.absolute_orbit:06d}-{spec.datatake:06x}-{number:03d}",
                ]
            )
            objects.extend(_write_image(part, stem, roots, periods[-1]))
    period = (min(first for first, _ in periods), max(last for _, last in periods))
    objects.sort(key=lambda item: item.kind == "measurement")
    text = ET.tostring(manifest_xml(spec, objects, _footprint(layouts)), encoding="unicode")
    # The manifest of a detected product differs in these words alone.
    text = text.replace("GRD", "SLC").replace("/grd/", "/slc/")
    one = "<s1sarl1:swath>{}</s1sarl1:swath>"
    text = text.replace(one.format("IW"), "".join(one.format(item.name) for item in layouts))
    files = {item.href: (item.size, item.content_md5) for item in objects}
    root = ET.fromstring(edit_manifest(text, files, images, period))
    ET.indent(root, space="  ")
    content = document(root)
    (part / MANIFEST).write_bytes(content)
    # A CRC-16 of the manifest, as in ESA's names.
    checksum = f"{binascii.crc_hqx(content, 0xFFFF):04X}"
    times = "_".join(_compact(time) for time in period)
    code = f"{spec.mission}_IW_SLC__1S{spec.polarisation_code}_{times}"
    return f"{code}_{spec.absolute_orbit:06d}_{spec.datatake:06X}_{checksum}.SAFE"


def _write_image(
    part: Path,
    stem: str,
    roots: dict[str, ET.Element],
    period: tuple[np.datetime64, np.datetime64],
) -> list[DataObject]:
    """Write the files of one swath and polarisation."""
    root = roots["product"]
    information = "imageAnnotation/imageInformation"
    lines, samples = (
        int(root.findtext(f"{information}/numberOf{axis}", "0")) for axis in ("Lines", "Samples")
    )
    tiff = SparseTiff(lines, samples, ground_control(root))
    place_bursts(root, tiff.first_byte)
    found = []
    for kind, item in roots.items():
        state_header(item, *period)
        name = f"{stem}.xml" if kind == "product" else f"calibration/{kind}-{stem}.xml"
        href = f"annotation/{name}"
        found.append(data_object(kind, href, write_xml(part / href, item)))
    href = f"measurement/{stem}.tiff"
    size, digest = tiff.write(part / href, [])
    return [*found, DataObject("measurement", href, digest, size)]


def _footprint(layouts: Sequence[Layout]) -> list[tuple[float, float]]:
    """Corners of the first and last swath: last line near and far, first line far and near."""
    corners = []
    for layout, last, far in (
        (layouts[0], True, False),
        (layouts[-1], True, True),
        (layouts[-1], False, True),
        (layouts[0], False, False),
    ):
        line = float(layout.spec.geometry.lines - 1) if last else 0.0
        sample = float(layout.spec.geometry.samples - 1) if far else 0.0
        at = layout.points(np.array([line]), np.array([sample]))
        corners.append((float(at.lat[0]), float(at.lon[0])))
    return corners
