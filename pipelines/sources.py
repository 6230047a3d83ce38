"""Where things come from: endpoints of the catalog, addresses, folders."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from cube.catalog import Endpoint, load_endpoint
from cube.errors import CatalogError, PlanError, UnknownNameError
from cube.readers.access import Access, is_loopback
from cube.readers.stac import ApiSource, CatalogSource, FolderSource, Source

__all__ = [
    "DEFAULT_COLLECTIONS",
    "check_endpoint",
    "find_endpoint",
    "known_endpoint",
    "layer_source",
    "scene_source",
]

DEFAULT_COLLECTIONS = {
    "grd": "sentinel-1-grd",
    "rtc": "sentinel-1-rtc",
    "slc": "sentinel-1-slc",
}
"""Collections asked for at an address that no endpoint describes: the names of the
Planetary Computer and of the Copernicus Data Space."""


def find_endpoint(source: str, catalog: str | None) -> Endpoint | None:
    """Endpoint of that id; None for a URL or something on disk.

    Raises
    ------
    UnknownNameError
        None of these.
    CatalogError
        The endpoint is malformed.
    """
    if "://" in source or _exists(source):
        return None
    try:
        return load_endpoint(source, catalog)
    except UnknownNameError as error:
        raise UnknownNameError(
            f"source {source!r} is neither a folder, a URL nor a known endpoint: {error}"
        ) from error


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except OSError:  # too long for a name
        return False


def known_endpoint(source: str, catalog: str | None) -> Endpoint | None:
    """Endpoint of that id, or None; a source that is not there at all is refused on opening.

    Raises
    ------
    CatalogError
        The endpoint is malformed.
    """
    try:
        return find_endpoint(source, catalog)
    except UnknownNameError:
        return None


def scene_source(
    source: str, product: str, collection: str | None, catalog: str | None, scratch: Path
) -> Source:
    """Open a source of scenes.

    Raises
    ------
    CatalogError
        An endpoint that has no such products, or delivers whole archives only.
    PlanError
        No such folder.
    """
    endpoint = find_endpoint(source, catalog)
    if endpoint is not None:
        return _of_endpoint(endpoint, product, collection)
    name = collection or DEFAULT_COLLECTIONS[product]
    if "://" in source and not source.startswith("file://"):
        local = is_loopback(urlsplit(source).hostname or "")
        return ApiSource(source, name, access=Access(local=local), product=product)
    folder = Path(source.removeprefix("file://"))
    if not folder.exists():
        raise PlanError(f"--source {folder}: no such folder")
    index = folder if folder.name == "catalog.json" else folder / "catalog.json"
    if index.is_file():
        return CatalogSource(index, name, product)
    if product == "rtc":
        raise PlanError(
            f"--source {folder}: no catalog.json; terrain-corrected products need a STAC catalog"
        )
    return FolderSource(folder, scratch / "safe", product)


def _of_endpoint(endpoint: Endpoint, product: str, collection: str | None) -> ApiSource:
    url, name = check_endpoint(endpoint, product, collection)
    return ApiSource(url, name, access=Access.of(endpoint), product=product)


def check_endpoint(endpoint: Endpoint, product: str, collection: str | None) -> tuple[str, str]:
    """Address and collection of an endpoint's scenes.

    Raises
    ------
    CatalogError
        It has none, or delivers whole archives only.
    """
    if endpoint.delivers == "archives":
        raise CatalogError(
            f"endpoint {endpoint.id} delivers whole archives behind a login, of which no part can"
            " be read; download the products and give --source FOLDER"
        )
    if endpoint.url is None:
        raise CatalogError(f"endpoint {endpoint.id} has no url; give --source FOLDER")
    name = collection or endpoint.collections.get(product)
    if name is None:
        known = [kind for kind in endpoint.collections if kind in DEFAULT_COLLECTIONS]
        raise CatalogError(
            f"endpoint {endpoint.id} has no {product} products, it has"
            f" {', '.join(known) or 'none'}; give --collection or another --source"
        )
    return endpoint.url, name


def layer_source(endpoint: Endpoint, layer: str) -> tuple[ApiSource, str]:
    """Source and asset of a layer (``dem``, ``permanent_water``) that an endpoint holds.

    Raises
    ------
    CatalogError
        It holds none.
    """
    name, asset = endpoint.collections.get(layer), endpoint.assets.get(layer)
    if endpoint.url is None or name is None or asset is None:
        known = ", ".join(key for key in endpoint.assets if key in endpoint.collections) or "none"
        raise CatalogError(
            f"endpoint {endpoint.id} holds no {layer}, its layers: {known}; give a file or"
            " another endpoint"
        )
    return ApiSource(endpoint.url, name, access=Access.of(endpoint)), asset
