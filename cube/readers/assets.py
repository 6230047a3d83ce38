"""Assets of STAC Items: what their files are, where they lie, and how an Item is named.

An asset is what its file is, not what its key says: Planetary Computer and Earth Search list, under
``schema-product-vv``, the RFI annotation of products since 2022; others name assets ``products`` or
``gamma0_vv``. File names say what a file is (Sentinel-1 Product Specification, S1-RS-MDA-52-7441,
section 4.2); keys are believed where the name says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from cube.errors import SourceError, TrustError
from cube.readers.access import REMOTE, Access, leads_inside, plain
from cube.readers.safe import order_polarisations
from cube.readers.scene import Files

__all__ = [
    "Record",
    "asset_href",
    "files_of",
    "keys_of",
    "line",
    "listed",
    "name_of",
    "short",
    "shown",
]

Record = Mapping[str, Any]
"""An Item as JSON gives it."""
_POLARISATIONS = ("vv", "vh", "hh", "hv")
_SWATHS = ("iw1", "iw2", "iw3")
"""Of single-look products, which have an image for each; their assets are named ``iw1-vv``."""
_IMAGES_OF = {
    *_POLARISATIONS,
    *(f"{swath}-{pol}" for swath in _SWATHS for pol in _POLARISATIONS),
}
_KEYS = {"product": "annotation", "calibration": "calibration", "noise": "noise"}
_PICTURES = {"thumbnail", "overview", "visual"}
"""Roles of assets that are for looking at."""
_OTHER = {"thumbnail", "quicklook", "quick", "browse", "mask", "incidence", "angle"}
"""Words in names of files that are no measurement."""
_IMAGES = (".tif", ".tiff")
_LISTS = ("calibration", "noise", "rfi")
_LEGS = (("calibration", "calibration"), ("noise", "noise"), ("annotation", "product"))


def files_of(
    item: Record, access: Access, product: str
) -> tuple[tuple[tuple[str, Files], ...], int]:
    """Files of each polarisation (and sub-swath, of ``slc``), and the size of the measurements."""
    assets = _assets(item)
    swaths = _SWATHS if product == "slc" else ("",)
    files, size = [], 0
    for pol in order_polarisations(list(_POLARISATIONS)):
        for swath in swaths:
            image = f"{swath}-{pol}" if swath else pol
            if ("measurement", image) not in assets:
                continue
            key = assets["measurement", image]
            measurement = asset_href(item, key, access)
            rest = {} if product == "rtc" else _metadata(item, assets, image, access)
            files.append((pol, Files(measurement=measurement, access=access, swath=swath, **rest)))
            size += _size(item["assets"][key], measurement)
    return tuple(files), size


def listed(item: Record) -> dict[str, Mapping[str, Any]]:
    """Assets that have an href, by key."""
    assets = item.get("assets")
    return {
        str(key): asset
        for key, asset in (assets.items() if isinstance(assets, Mapping) else ())
        if isinstance(asset, Mapping) and isinstance(asset.get("href"), str) and asset["href"]
    }


def _assets(item: Record) -> dict[tuple[str, str], str]:
    """Keys of the assets by what their files are: kind, and polarisation or ``iw1-vv``."""
    named: dict[tuple[str, str], str] = {}
    keyed: dict[tuple[str, str], str] = {}
    for key, asset in listed(item).items():
        path = _path(asset["href"])
        roles = asset.get("roles")
        looks = _PICTURES.intersection(map(str, roles if isinstance(roles, list) else ()))
        if path is None or looks or _of_another_kind(path):
            continue
        if (said := _said(path)) is not None:
            named.setdefault(said, key)
        elif (meant := _meant(key, path)) is not None:
            keyed.setdefault(meant, key)
    return keyed | named


def _path(href: str) -> PurePosixPath | None:
    try:
        return PurePosixPath(unquote(urlsplit(href).path).lower())
    except ValueError:
        return None


def _words(path: PurePosixPath) -> list[str]:
    return re.split(r"[-_.]", path.name)


def _of_another_kind(path: PurePosixPath) -> bool:
    """Whether a name says picture, mask or sidecar, or two polarisations: a ratio, a composite."""
    words = set(_words(path))
    return (
        "preview" in path.parts[:-1]
        or bool(_OTHER & words)
        or path.name.endswith(".aux.xml")
        or len(words.intersection(_POLARISATIONS)) > 1
    )


def _said(path: PurePosixPath) -> tuple[str, str] | None:
    """Kind and polarisation as a file's name says them."""
    words = _words(path)
    pol = next((word for word in words if word in _POLARISATIONS), None)
    if pol is None:
        return None
    swath = next((word for word in words if word in _SWATHS), None)
    image = f"{swath}-{pol}" if swath else pol
    if path.suffix in _IMAGES:
        return "measurement", image
    if path.suffix != ".xml" or "." in path.stem:
        return None
    return words[0] if words[0] in _LISTS else "annotation", image


def _meant(key: str, path: PurePosixPath) -> tuple[str, str] | None:
    """Kind and polarisation as a key says them, where the file may be that."""
    schema, _, pol = key.removeprefix("schema-").partition("-")
    if path.suffix in (".xml", "") and schema in _KEYS and pol in _IMAGES_OF:
        return _KEYS[schema], pol
    if path.suffix in (*_IMAGES, "") and key in _IMAGES_OF:
        return "measurement", key
    return None


def _metadata(
    item: Record, assets: dict[tuple[str, str], str], pol: str, access: Access
) -> dict[str, str]:
    """Hrefs of annotation, calibration and noise of a polarisation."""
    found = {
        kind: asset_href(item, assets[kind, pol], access)
        for kind in ("calibration", "noise", "annotation")
        if (kind, pol) in assets
    }
    if "calibration" in found and "annotation" not in found and ("rfi", pol) in assets:
        derived = _beside(found["calibration"])
        found |= {"annotation": derived} if derived else {}
    if not found:
        without = (
            "without which samples cannot be placed"
            if "-" in pol
            else "which only terrain-corrected products do without (--product rtc)"
        )
        raise SourceError(
            f"{name_of(item)}: no asset 'schema-calibration-{pol}' nor others of its kind,"
            f" {without}; assets: {keys_of(item)}"
        )
    for kind, word in _LEGS:
        if kind not in found:
            raise SourceError(
                f"{name_of(item)}: no asset 'schema-{word}-{pol}'; assets: {keys_of(item)}"
            )
    return found


def _beside(calibration: str) -> str | None:
    """Annotation of a calibration file, where its name is one that says so.

    Examples
    --------
    >>> _beside("/data/annotation/calibration/calibration-iw-vv.xml")
    '/data/annotation/iw-vv.xml'
    """
    parts = urlsplit(calibration)
    path = PurePosixPath(parts.path)
    prefix = len("calibration-")
    if path.name[:prefix].lower() != "calibration-":
        return None
    folder = path.parent.parent if path.parent.name.lower() == "calibration" else path.parent
    return parts._replace(path=str(folder / path.name[prefix:])).geturl()


def asset_href(item: Record, key: str, access: Access) -> str:
    """Absolute href of an asset, or path of a local file.

    Raises
    ------
    SourceError
        There is no such asset.
    TrustError
        It leads to where the endpoint may not.
    """
    asset = listed(item).get(key)
    if asset is None:
        raise SourceError(f"{name_of(item)}: no asset {key!r}; assets: {keys_of(item)}")
    try:
        href = _absolute(item, asset["href"])
        parts = urlsplit(href)
        inside = leads_inside(parts)
    except ValueError as error:
        raise SourceError(
            f"{name_of(item)}: asset {key!r} has no proper href ({short(error)})"
        ) from error
    if parts.scheme in REMOTE and not inside:
        return href
    if not access.local:
        raise TrustError(
            f"{name_of(item)}: asset {key!r} points into this machine or network"
            f" ({line(plain(href), 60)}), which only endpoints with trust = 'local' may do"
        )
    return unquote(parts.path) if parts.scheme == "file" else href


def _absolute(item: Record, href: str) -> str:
    """An href resolved against the Item's own."""
    links = item.get("links")
    own = [
        link["href"]
        for link in (links if isinstance(links, list) else ())
        if isinstance(link, Mapping) and link.get("rel") == "self" and link.get("href")
    ]
    if not own or not isinstance(own[0], str):
        return href
    if own[0].startswith("s3://") and not urlsplit(href).scheme:  # urljoin does not know s3
        return "s3" + urljoin(own[0].replace("s3", "http", 1), href).removeprefix("http")
    return urljoin(own[0], href)


def _size(asset: Mapping[str, Any], href: str) -> int:
    stated = asset.get("file:size")
    if isinstance(stated, int) and stated > 0:
        return int(stated)
    path = Path(href)
    return path.stat().st_size if "://" not in href and path.is_file() else 0


# --- words of a message: what comes from outside must stay on one line


def line(text: str, limit: int = 100) -> str:
    """Text as one printable line."""
    shown = "".join(one if one.isprintable() else " " for one in text).strip()
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"


def name_of(item: Record) -> str:
    """Id of an Item for a message."""
    return line(str(item.get("id"))) if isinstance(item, Mapping) else shown(item)


def keys_of(item: Record) -> str:
    """Keys of an Item's assets for a message."""
    return line(", ".join(listed(item)), 300) or "none"


def shown(value: Any) -> str:
    """A value for a message."""
    return line(repr(value), 60)


def short(error: BaseException) -> str:
    """First line of an error's text."""
    return line((str(error).strip() or type(error).__name__).splitlines()[0], 160)
