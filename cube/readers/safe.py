"""SAFE products on disk: folders, zips, and plain folders of either.

Layout: Sentinel-1 Product Specification (S1-RS-MDA-52-7441), section 4; manifest: section 6.2.
"""

from __future__ import annotations

import lzma
import re
import struct
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from xml.etree.ElementTree import Element

import numpy as np
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry

from cube.errors import SourceError
from cube.readers import xml
from cube.readers.scene import Files, Scene

__all__ = ["DAMAGED", "NAME", "extract", "find_products", "open_safe", "order_polarisations"]

NAME = re.compile(
    r"^(?P<platform>S1[A-Z])_(?P<mode>IW|EW|WV|S[1-6])_(?P<product>GRD|SLC|OCN|RAW)[A-Z_]"
    r"_\d[A-Z]{3}_(?P<start>\d{8}T\d{6})_(?P<stop>\d{8}T\d{6})"
    r"_(?P<orbit>\d{6})_(?P<datatake>[0-9A-F]{6})(_(?P<crc>[0-9A-F]{4}))?"
)
"""Product name (Sentinel-1 Product Specification, section 4.2)."""
_ANNOTATION = re.compile(
    r"^(?P<stem>s1[a-z]-(?P<swath>[a-z0-9]+)-(?P<kind>[a-z]{3})-(?P<pol>[hv]{2})-.*)\.xml$"
)
_MAX_MANIFEST = 64 * 2**20  # real ones hold 20 to 60 kB
DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError, struct.error)
"""What reading a damaged zip may raise."""
_MAX_EXTRACTED = 40 * 2**30  # the largest products hold under 10 GB; more is a zip bomb


def order_polarisations(names: list[str]) -> list[str]:
    """Co-polarised before cross-polarised: vv, vh or hh, hv."""
    return sorted(names, key=lambda name: (name[0] != name[1], name))


def find_products(folder: Path) -> list[Path]:
    """SAFE folders and zips directly in `folder`, or `folder` itself; sorted by name.

    A zip beside the folder of the same product is left out.

    Raises
    ------
    SourceError
        Neither a folder nor a product.
    """
    if folder.name.endswith(".SAFE") or folder.suffix == ".zip":
        return [folder]
    if not folder.is_dir():
        raise SourceError(f"{folder}: neither a folder nor a Sentinel-1 product (SAFE or zip)")
    found = sorted(
        path
        for path in folder.iterdir()
        if NAME.match(path.name)
        and ((path.suffix == ".SAFE" and path.is_dir()) or path.suffix == ".zip")
    )
    folders = {path.stem for path in found if path.suffix == ".SAFE"}
    return [path for path in found if path.suffix == ".SAFE" or _stem(path) not in folders]


def _stem(path: Path) -> str:
    return path.name.removesuffix(".zip").removesuffix(".SAFE")


def extract(archive: Path, scratch: Path) -> Path:
    """Unpack a zipped product into `scratch`, once, and return its SAFE folder.

    The product appears there by one rename, so that an interrupted run leaves nothing half done.

    Raises
    ------
    SourceError
        Not a zip, damaged, a member that would leave the folder, a link, or absurdly large.
    """
    target = scratch / f"{_stem(archive)}.SAFE"
    if target.is_dir():
        return target
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(archive) as content:
            members = [_checked(archive, member) for member in content.infolist()]
            if sum(member.file_size for member in members) > _MAX_EXTRACTED:
                raise SourceError(f"{archive}: would unpack to more than {_MAX_EXTRACTED:,} bytes")
            tops = {PurePosixPath(member.filename).parts[0] for member in members}
            if len(tops) != 1 or not next(iter(tops)).endswith(".SAFE"):
                raise SourceError(f"{archive}: holds {sorted(tops)[:3]}, expected one NAME.SAFE")
            with tempfile.TemporaryDirectory(dir=scratch, prefix=".extract-") as temporary:
                content.extractall(temporary, members=members)
                try:
                    (Path(temporary) / next(iter(tops))).rename(target)
                except OSError:
                    if not target.is_dir():  # else another process was faster: the same bytes
                        raise
    except DAMAGED as error:
        raise SourceError(f"{archive}: not a readable zip ({error}); download it again") from error
    except (OSError, RuntimeError) as error:
        raise SourceError(f"{archive}: cannot be unpacked into {scratch} ({error})") from error
    return target


def _checked(archive: Path, member: zipfile.ZipInfo) -> zipfile.ZipInfo:
    name = member.filename
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\\" in name:
        raise SourceError(f"{archive}: member {name!r} would leave its folder; the zip is refused")
    if (member.external_attr >> 16) & 0o170000 == 0o120000:
        raise SourceError(f"{archive}: member {name!r} is a link; the zip is refused")
    return member


class _Content:
    """File names and sizes of a product, in a folder or a zip, and its manifest."""

    def __init__(self, product: Path, scratch: Path) -> None:
        self.name = _stem(product)
        self.archive: str | None = None
        if product.suffix == ".zip":
            self.archive = str(product)
            self.folder = scratch / f"{self.name}.SAFE"
            try:
                with zipfile.ZipFile(product) as content:
                    self.sizes = {
                        "/".join(PurePosixPath(_checked(product, member).filename).parts[1:]): (
                            member.file_size
                        )
                        for member in content.infolist()
                    }
                    inside = [
                        member
                        for member in content.infolist()
                        if member.filename.endswith(".SAFE/manifest.safe")
                    ]
                    if inside and inside[0].file_size > _MAX_MANIFEST:
                        raise SourceError(
                            f"{product}: manifest of {inside[0].file_size:,} bytes, at most"
                            f" {_MAX_MANIFEST:,} are read"
                        )
                    self.manifest = content.read(inside[0]) if inside else None
            except (*DAMAGED, OSError, RuntimeError) as error:
                raise SourceError(
                    f"{product}: not a readable zip ({error}); download it again"
                ) from error
        else:
            self.folder = product
            found = (path for path in product.rglob("*") if path.is_file())
            self.sizes = {
                path.relative_to(product).as_posix(): path.stat().st_size for path in found
            }
            manifest = product / "manifest.safe"
            self.manifest = manifest.read_bytes() if manifest.is_file() else None


def open_safe(product: Path, scratch: Path) -> Scene:
    """Read a product's manifest and list the files of each polarisation, without unpacking.

    Parameters
    ----------
    product : Path
        SAFE folder or zip.
    scratch : Path
        Where `extract` would put a zip; its files are named there.

    Raises
    ------
    SourceError
        Manifest missing or malformed, no annotation, or a file of a polarisation missing.
    """
    content = _Content(product, scratch)
    href = f"{product}/manifest.safe"
    if content.manifest is None:
        raise SourceError(f"{product}: no manifest.safe; not a complete SAFE product")
    manifest = xml.parse_bytes(content.manifest, href, "XFDU")
    by_name: dict[str, list[Element]] = {}
    for element in manifest.iter():
        by_name.setdefault(xml.local_name(element), []).append(element)

    def value(tag: str) -> str:
        for element in by_name.get(tag, []):
            if element.text and element.text.strip():
                return element.text.strip()
        raise SourceError(f"{href}: lacks {tag}; the manifest is incomplete")

    files = _files(content)
    return Scene(
        id=content.name,
        platform=f"sentinel-1{value('number').lower()}",
        datatake=_integer(value("missionDataTakeID"), href),
        relative_orbit=_integer(value("relativeOrbitNumber"), href),
        orbit_direction=value("pass").lower(),
        mode=value("mode"),
        product=value("productType"),
        start=_moment(value("startTime"), href),
        stop=_moment(value("stopTime"), href),
        footprint=_footprint(value("coordinates"), href),
        files=tuple((name, paths) for name, paths, _ in files),
        archive=content.archive,
        size=sum(size for _, _, size in files),
    )


def _moment(content: str, href: str) -> np.datetime64:
    try:
        return np.datetime64(content.rstrip("Z"), "us")
    except ValueError as error:
        raise SourceError(f"{href}: {content!r} is not a time") from error


def _integer(content: str, href: str) -> int:
    try:
        return int(content)
    except ValueError as error:
        raise SourceError(f"{href}: {content!r} is not a whole number") from error


def _footprint(content: str, href: str) -> BaseGeometry:
    try:
        corners = [tuple(map(float, pair.split(","))) for pair in content.split()]
        lons = [lon for _, lon in corners]
        if max(lons) - min(lons) > 180:  # across the antimeridian: keep it in one piece
            corners = [(lat, lon + 360 if lon < 0 else lon) for lat, lon in corners]
        return Polygon([(lon, lat) for lat, lon in corners])
    except ValueError as error:
        raise SourceError(f"{href}: footprint {content[:60]!r} is not lat,lon pairs") from error


def _files(content: _Content) -> list[tuple[str, Files, int]]:
    """Polarisation, files and measurement size; every annotation must have its other files."""
    found: dict[tuple[str, str], tuple[Files, int]] = {}
    for name in sorted(content.sizes):
        path = PurePosixPath(name)
        match = _ANNOTATION.match(path.name)
        if match is None or path.parent != PurePosixPath("annotation"):
            continue
        needed = {
            "measurement": f"measurement/{match['stem']}.tiff",
            "calibration": f"annotation/calibration/calibration-{path.name}",
            "noise": f"annotation/calibration/noise-{path.name}",
        }
        single_look = match["kind"] == "slc"
        for kind, file in needed.items():
            if single_look and kind == "noise":
                continue  # what is no power has no noise taken from it
            if not content.sizes.get(file):
                state = "empty" if file in content.sizes else "missing"
                raise SourceError(
                    f"{content.folder.name}: {kind} file {PurePosixPath(file).name} is {state};"
                    " download the product again"
                )
        files = Files(
            measurement=str(content.folder / needed["measurement"]),
            annotation=str(content.folder / name),
            calibration=str(content.folder / needed["calibration"]),
            noise=str(content.folder / needed["noise"]),
            swath=match["swath"] if single_look else "",
        )
        found[match["pol"], files.swath] = files, content.sizes[needed["measurement"]]
    if not found:
        raise SourceError(f"{content.folder}: no annotation/*.xml; not a complete SAFE product")
    names = order_polarisations(list({name for name, _ in found}))
    return [(name, *found[key]) for name in names for key in sorted(found) if key[0] == name]
