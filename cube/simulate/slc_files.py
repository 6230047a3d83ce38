"""Files of an SLC product: what a template has, complex GeoTIFFs with holes, the manifest."""

from __future__ import annotations

import hashlib
import re
import struct
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray

from cube.simulate.xmltree import time_text

__all__ = [
    "SparseTiff",
    "Template",
    "document",
    "edit_manifest",
    "ground_control",
    "publish",
    "read_template",
]

MANIFEST = "manifest.safe"
_NAME = re.compile(
    r"annotation/(?:calibration/(?P<kind>calibration|noise)-)?"
    r"s1\w-(?P<swath>iw\d)-slc-(?P<pol>\w\w)-[^/]+\.xml"
)
_SPACES = {
    "xsi": "http://www.w3.org/2001/XMLSchema-instance",
    "gml": "http://www.opengis.net/gml",
    "xfdu": "urn:ccsds:schema:xfdu:1",
    "safe": "http://www.esa.int/safe/sentinel-1.0",
    "s1": "http://www.esa.int/safe/sentinel-1.0/sentinel-1",
    "s1sar": "http://www.esa.int/safe/sentinel-1.0/sentinel-1/sar",
    "s1sarl1": "http://www.esa.int/safe/sentinel-1.0/sentinel-1/sar/level-1",
}


class Template:
    """Texts of a product, its pixels left aside.

    Parameters
    ----------
    name : str
        Name of the SAFE folder.
    texts : {path inside the folder: text}
    """

    def __init__(self, name: str, texts: Mapping[str, str]) -> None:
        self.name, self.texts = name, dict(texts)

    def images(self) -> dict[tuple[str, str], dict[str, str]]:
        """Paths of each (swath, polarisation): product, calibration, and noise if there is one."""
        found: dict[tuple[str, str], dict[str, str]] = {}
        for path in sorted(self.texts):
            match = _NAME.fullmatch(path)
            if match:
                key = (match["swath"].upper(), match["pol"].upper())
                found.setdefault(key, {})[match["kind"] or "product"] = path
        return found


def read_template(path: Path) -> Template:
    """Read manifest and annotations of a SAFE folder or a zip archive of one.

    Raises
    ------
    ValueError
        There is no manifest.
    """
    if path.is_dir():
        names = [path / MANIFEST, *sorted((path / "annotation").rglob("*.xml"))]
        texts = {
            item.relative_to(path).as_posix(): item.read_text() for item in names if item.exists()
        }
        name = path.name
    else:
        with zipfile.ZipFile(path) as archive:
            texts = {
                item.split("/", 1)[1]: archive.read(item).decode()
                for item in archive.namelist()
                if item.endswith((".xml", f"/{MANIFEST}")) and "/preview/" not in item
            }
            name = archive.namelist()[0].split("/", 1)[0]
    if MANIFEST not in texts:
        raise ValueError(f"{path} is no SAFE product: it has no {MANIFEST}")
    return Template(name, texts)


def publish(part: Path, target: Path) -> Path:
    """Give a finished folder its name.

    Raises
    ------
    FileExistsError
        There is one of that name.
    """
    if target.exists():
        raise FileExistsError(f"{target} is already there; remove it or write elsewhere")
    part.chmod(0o755)
    return part.rename(target)


def document(root: ET.Element) -> bytes:
    """Bytes of an XML document, its line breaks as they are."""
    for prefix, space in _SPACES.items():
        ET.register_namespace(prefix, space)
    text = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode()


def ground_control(root: ET.Element) -> NDArray[np.float64]:
    """Ground control points (n, 6) of a product annotation: sample, line, 0, lon, lat, height."""
    names = ("pixel", "line", "", "longitude", "latitude", "height")
    return np.array(
        [
            [float(point.findtext(name, "0")) if name else 0.0 for name in names]
            for point in root.iter("geolocationGridPoint")
        ]
    )


class SparseTiff:
    """GeoTIFF of complex int16, one line a strip, uncompressed, the strips side by side.

    Pixel (line, sample) is at byte ``first_byte + 4 (line width + sample)``. What is not written
    is a hole in the file, which reads as zeros and takes no room on disk.

    Parameters
    ----------
    lines, samples : int
    points : float64, shape (n, 6)
        Ground control points.
    """

    def __init__(self, lines: int, samples: int, points: NDArray[np.float64]) -> None:
        self.lines, self.samples = lines, samples
        tie, keys = points.ravel(), (1, 1, 0, 3, 1024, 0, 1, 2, 1025, 0, 1, 1, 2048, 0, 1, 4326)
        text = b"Sentinel-1 IW SLC L1, simulated\0"
        tags = [
            (256, "I", [samples]),
            (257, "I", [lines]),
            (258, "H", [32]),
            (259, "H", [1]),  # no compression
            (262, "H", [1]),
            (270, "s", text),
            (273, "I", None),  # offsets of the strips
            (277, "H", [1]),
            (278, "I", [1]),
            (279, "I", [4 * samples] * lines),
            (284, "H", [1]),
            (339, "H", [5]),  # complex integers
            (33922, "d", tie),
            (34735, "H", keys),
        ]
        codes = {"H": (3, 2), "I": (4, 4), "s": (2, 1), "d": (12, 8)}
        counts = [lines if values is None else len(values) for _, _, values in tags]
        sizes = [codes[kind][1] * n for (_, kind, _), n in zip(tags, counts, strict=True)]
        directory = 8 + 2 + 12 * len(tags) + 4
        # Values of more than four bytes follow the directory, each at an even place.
        places = np.cumsum([directory, *[size + size % 2 if size > 4 else 0 for size in sizes]])
        self.first_byte = int(places[-1])
        if self.first_byte + 4 * lines * samples >= 1 << 32:
            raise ValueError(f"{lines} lines of {samples} samples are too many for a TIFF")
        head = struct.pack("<2sHIH", b"II", 42, 8, len(tags))
        tail = b""
        for (tag, kind, values), n, size, place in zip(tags, counts, sizes, places, strict=False):
            content: Any = values
            if content is None:
                content = self.first_byte + 4 * samples * np.arange(lines)
            kinds = {"H": "<u2", "I": "<u4", "d": "<f8"}
            packed = content if kind == "s" else np.asarray(content).astype(kinds[kind]).tobytes()
            entry = struct.pack("<HHI", tag, codes[kind][0], n)
            if size > 4:
                tail += packed + b"\0" * (size % 2)
                head += entry + struct.pack("<I", place)
            else:
                head += entry + packed.ljust(4, b"\0")
        self._header = head + struct.pack("<I", 0) + tail

    def write(
        self, path: Path, windows: Iterable[tuple[int, int, NDArray[np.int16]]]
    ) -> tuple[int, str]:
        """Write windows (first line, first sample, int16 (lines, samples, 2)).

        Returns
        -------
        size, checksum : int, str
            Of the file: bytes, and MD5 as a hexadecimal text.
        """
        with path.open("wb+") as file:
            file.write(self._header)
            file.truncate(self.first_byte + 4 * self.lines * self.samples)
            for line, sample, pixels in windows:
                for at, row in enumerate(pixels):
                    file.seek(self.first_byte + 4 * ((line + at) * self.samples + sample))
                    file.write(row.astype("<i2").tobytes())
            digest = hashlib.md5(usedforsecurity=False)
            file.seek(0)
            while block := file.read(1 << 22):
                digest.update(block)
            return file.tell(), digest.hexdigest()


def edit_manifest(
    text: str,
    files: Mapping[str, tuple[int, str]],
    images: Iterable[tuple[str, str]],
    period: tuple[np.datetime64, np.datetime64],
) -> bytes:
    """Manifest of a product that has other files.

    Parameters
    ----------
    text : str
        Manifest of the template.
    files : {path inside the folder: (size, MD5)}
        All files; those that the template does not list are left out.
    images : iterable of (swath, polarisation)
    period : (first, last)
        Times of the first and the last line of all images.
    """
    root = ET.fromstring(text)
    gone: set[str] = set()
    section = next(root.iter("dataObjectSection"))
    for item in list(section):
        href = next(item.iter("fileLocation")).attrib["href"].removeprefix("./")
        if href not in files:
            gone.add(item.attrib["ID"])
            section.remove(item)
            continue
        next(item.iter("byteStream")).set("size", str(files[href][0]))
        next(item.iter("checksum")).text = files[href][1]
    for parent in list(root.iter()):
        for child in list(parent):
            pointer = child.find("dataObjectPointer")
            if pointer is not None and pointer.attrib["dataObjectID"] in gone:
                parent.remove(child)
            elif "dmdID" in child.attrib and pointer is not None:
                kept = [
                    name
                    for name in child.attrib["dmdID"].split()
                    if name.removesuffix("Annotation") not in gone
                ]
                child.set("dmdID", " ".join(kept))
    swaths, names = (set(part) for part in zip(*images, strict=True))
    for tag, wanted in (("swath", swaths), ("transmitterReceiverPolarisation", names)):
        path = f"{{{_SPACES['s1sarl1']}}}{tag}"
        for parent in list(root.iter()):
            for child in parent.findall(path):
                if child.text not in wanted:
                    parent.remove(child)
    node_time = next(root.iter(f"{{{_SPACES['s1']}}}ascendingNodeTime")).text
    for which, time in zip(("start", "stop"), period, strict=True):
        next(root.iter(f"{{{_SPACES['safe']}}}{which}Time")).text = time_text(time)
        after = (time - np.datetime64(str(node_time), "us")) / np.timedelta64(1, "us") / 1000
        next(root.iter(f"{{{_SPACES['s1']}}}{which}TimeANX")).text = f"{after:.6e}"
    return document(root)
