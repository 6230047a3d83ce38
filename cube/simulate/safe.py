"""SAFE folders of GRD products: written anew, or a real one with other pixels."""

from __future__ import annotations

import binascii
import hashlib
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.control import GroundControlPoint
from rasterio.windows import Window

from cube.simulate.annotation import product_xml
from cube.simulate.annotation_general import ads_header
from cube.simulate.luts import calibration_table, calibration_xml, noise_table, noise_xml
from cube.simulate.manifest import DataObject, data_object, manifest_xml
from cube.simulate.product import ProductSpec
from cube.simulate.xmltree import write_xml

__all__ = ["rewrite_pixels", "write_grd"]

Pixels = NDArray[np.uint16]
RowSource = Callable[[int, int], Pixels]
"""Digital numbers, uint16 (n, samples), of lines ``first .. first + n - 1``."""

BLOCK_LINES = 512


def write_grd(directory: Path, spec: ProductSpec, pixels: Mapping[str, Pixels]) -> Path:
    """Write one product as ``directory/NAME.SAFE`` and return that folder.

    Parameters
    ----------
    directory : Path
        Existing folder.
    spec : ProductSpec
    pixels : {polarisation: uint16 (lines, samples)}
        Digital numbers; 0 marks no data.

    Raises
    ------
    ValueError
        Polarisations or shapes do not fit the specification.
    FileExistsError
        The product is already there.
    """
    shape = (spec.geometry.lines, spec.geometry.samples)
    found = {name: values.shape for name, values in pixels.items()}
    if found != dict.fromkeys(spec.polarisations, shape):
        raise ValueError(f"pixels are {found}, expected {spec.polarisations} of {shape}")
    part = Path(tempfile.mkdtemp(prefix=f".{spec.stem}.", dir=directory))
    try:
        checksum = _fill(part, spec, pixels)
        return _publish(part, directory / f"{spec.stem}_{checksum}.SAFE")
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _publish(part: Path, target: Path) -> Path:
    """Give a finished folder its name."""
    if target.exists():
        raise FileExistsError(f"{target} is already there; remove it or write elsewhere")
    part.chmod(0o755)
    return part.rename(target)


def _fill(part: Path, spec: ProductSpec, pixels: Mapping[str, Pixels]) -> str:
    """Write all files of a product into `part`; return the checksum that ends its name."""
    for folder in ("annotation/calibration", "measurement"):
        (part / folder).mkdir(parents=True)
    calibration = calibration_table(spec)
    grid = spec.grid()
    gcps = [
        GroundControlPoint(
            row=float(grid.line[at]),
            col=float(grid.col[at]),
            x=float(grid.lon[at]),
            y=float(grid.lat[at]),
            z=float(grid.height_m[at]),
        )
        for at in np.ndindex(grid.line.shape)
    ]
    objects: list[DataObject] = []
    for polarisation in spec.polarisations:
        stem = spec.file_stem(polarisation)
        header = ads_header(spec, polarisation)
        noise = noise_table(spec, polarisation)
        documents = {
            ("product", f"annotation/{stem}.xml"): product_xml(
                spec, polarisation, pixels[polarisation], grid
            ),
            ("noise", f"annotation/calibration/noise-{stem}.xml"): noise_xml(spec, header, noise),
            ("calibration", f"annotation/calibration/calibration-{stem}.xml"): calibration_xml(
                spec, header, calibration
            ),
        }
        for (kind, href), document in documents.items():
            objects.append(data_object(kind, href, write_xml(part / href, document)))
        href = f"measurement/{stem}.tiff"
        _write_tiff(part / href, pixels[polarisation], gcps)
        objects.append(_file_object(part, href))
    corner = (grid.lat, grid.lon)
    ends = ((-1, 0), (-1, -1), (0, -1), (0, 0))
    footprint = [(float(corner[0][at]), float(corner[1][at])) for at in ends]
    order = ("product", "noise", "calibration", "measurement")
    objects.sort(key=lambda item: order.index(item.kind) // 3)
    content = write_xml(part / "manifest.safe", manifest_xml(spec, objects, footprint))
    # A CRC-16 of the manifest, as in ESA's names.
    return f"{binascii.crc_hqx(content, 0xFFFF):04X}"


def _open_tiff(path: Path, shape: tuple[int, int], gcps: list[GroundControlPoint]) -> Any:
    """Uncompressed strips of one line with ground control points, as ESA writes them."""
    return rasterio.open(
        path,
        "w",
        driver="GTiff",
        dtype="uint16",
        count=1,
        height=shape[0],
        width=shape[1],
        blockysize=1,
        gcps=gcps,
        crs="EPSG:4326",
    )


def _write_tiff(path: Path, values: Pixels, gcps: list[GroundControlPoint]) -> None:
    with _open_tiff(path, (values.shape[0], values.shape[1]), gcps) as file:
        file.write(values, 1)
        file.update_tags(TIFFTAG_IMAGEDESCRIPTION="Sentinel-1 IW GRD HR L1, simulated")


def _file_object(folder: Path, href: str) -> DataObject:
    digest = hashlib.md5(usedforsecurity=False)
    with (folder / href).open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    size = (folder / href).stat().st_size
    return DataObject("measurement", href, digest.hexdigest(), size)


def rewrite_pixels(
    real_safe: Path, out_dir: Path, pixels: Mapping[str, Pixels | RowSource]
) -> Path:
    """Copy a product and give it other pixels, of the size that its annotation states.

    The annotation stays byte for byte; the manifest is copied too, so that size and checksum of
    the measurements in it are those of the original.

    Parameters
    ----------
    real_safe : Path
        SAFE folder or zip archive of one.
    out_dir : Path
        Existing folder to write ``NAME.SAFE`` to.
    pixels : {polarisation: uint16 (lines, samples) or callable}
        Polarisations left out get no measurement file. A callable is asked for blocks of whole
        lines in order, so that a full scene needs little memory.

    Returns
    -------
    Path
        The new SAFE folder.

    Raises
    ------
    ValueError
        No annotation of a polarisation, or pixels of another size.
    FileExistsError
        The folder is already there.
    """
    target = _copy_without_pixels(real_safe, out_dir)
    try:
        _measure(target, pixels)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise
    return target


def _measure(target: Path, pixels: Mapping[str, Pixels | RowSource]) -> None:
    """Write the measurement files of a SAFE folder that has none."""
    (target / "measurement").mkdir(exist_ok=True)
    for polarisation, source in pixels.items():
        found = sorted((target / "annotation").glob(f"*-grd-{polarisation.lower()}-*.xml"))
        if len(found) != 1:
            raise ValueError(f"{target.name} has {len(found)} annotations of {polarisation}, not 1")
        root = ET.parse(found[0]).getroot()
        size = [
            int(root.findtext(f".//imageInformation/numberOf{axis}", "0"))
            for axis in ("Lines", "Samples")
        ]
        path = target / "measurement" / f"{found[0].stem}.tiff"
        _write_blocks(path, (size[0], size[1]), source, _annotated_points(root))


def _annotated_points(root: ET.Element) -> list[GroundControlPoint]:
    """Ground control points of a product annotation."""
    names = {"row": "line", "col": "pixel", "x": "longitude", "y": "latitude", "z": "height"}
    return [
        GroundControlPoint(
            **{axis: float(item.findtext(name, "nan")) for axis, name in names.items()}
        )
        for item in root.iter("geolocationGridPoint")
    ]


def _copy_without_pixels(real_safe: Path, out_dir: Path) -> Path:
    if zipfile.is_zipfile(real_safe):
        with zipfile.ZipFile(real_safe) as archive:
            names = [name for name in archive.namelist() if "/measurement/" not in name]
            target = out_dir / names[0].split("/", 1)[0]
            if target.exists():
                raise FileExistsError(f"{target} is already there")
            archive.extractall(out_dir, names)
        return target
    target = out_dir / real_safe.name
    shutil.copytree(
        real_safe,
        target,
        ignore=shutil.ignore_patterns("*.tiff"),
        copy_function=shutil.copyfile,  # originals may be read-only; the copy must not be
    )
    for folder in (target, *(path for path in target.rglob("*") if path.is_dir())):
        folder.chmod(folder.stat().st_mode | 0o700)
    return target


def _write_blocks(
    path: Path, shape: tuple[int, int], source: Pixels | RowSource, gcps: list[GroundControlPoint]
) -> None:
    rows = source if callable(source) else _array_rows(source)
    lines, samples = shape
    with _open_tiff(path, shape, gcps) as file:
        for first in range(0, lines, BLOCK_LINES):
            count = min(BLOCK_LINES, lines - first)
            block = rows(first, count)
            if block.shape != (count, samples) or block.dtype != np.uint16:
                raise ValueError(
                    f"pixels {block.dtype} {block.shape} for lines {first}..{first + count - 1} of"
                    f" {path.name}, expected uint16 {(count, samples)}"
                )
            file.write(block, 1, window=Window(0, first, samples, count))


def _array_rows(values: Pixels) -> RowSource:
    return lambda first, count: values[first : first + count]
