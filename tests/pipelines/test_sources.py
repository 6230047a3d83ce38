"""Where scenes and layers come from: the endpoints that are shipped, addresses, and folders."""

from __future__ import annotations

import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import catalogs
from cube.catalog import Endpoint, load_endpoint
from cube.errors import CatalogError, PlanError
from cube.readers.access import Access
from cube.readers.stac import ApiSource, CatalogSource, FolderSource
from pipelines.sources import (
    find_endpoint,
    known_endpoint,
    layer_source,
    scene_source,
)

SHIPPED = tomllib.loads((Path(catalogs.__file__).parent / "endpoints.toml").read_text())
APIS = ("planetary-computer", "earth-search", "copernicus", "asf")
ENTRY = """
[{name}]
title = "a test"
kind = "api"
trust = "public"
sources = ["a test"]
{more}
"""


@pytest.fixture
def catalog(tmp_path: Path):
    """Catalog folder with one endpoint more."""

    def write(name: str, more: str) -> str:
        (tmp_path / "catalog").mkdir(exist_ok=True)
        file = tmp_path / "catalog" / "endpoints.toml"
        file.write_text(ENTRY.format(name=name, more=more))
        return str(tmp_path / "catalog")

    return write


def opened(source: str, product: str = "grd", collection: str | None = None, **more: object):
    folder, scratch = more.get("catalog"), Path("scratch")
    return scene_source(source, product, collection, folder, scratch)  # type: ignore[arg-type]


# --- the endpoints that are shipped


def test_these_endpoints_are_shipped():
    assert set(SHIPPED) == {"demo", "local", *APIS}


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_endpoint_is_well_formed(name):
    found = load_endpoint(name)
    assert found.id == name
    assert all(source.strip() for source in found.sources)
    assert set(found.assets) <= set(found.collections), "an asset is of a collection"
    assert set(found.collections) <= {"grd", "rtc", "slc", "dem", "permanent_water"}
    assert all(variable.isupper() for variable in found.credentials)
    assert ("dem" in found.assets) == (found.dem_datum is not None)
    if found.storage.requester_pays:
        assert found.credentials, "who pays has to say who they are"


@pytest.mark.parametrize("name", SHIPPED)
def test_only_this_machine_is_trusted(name):
    found = load_endpoint(name)
    assert (found.trust == "local") == (name in ("demo", "local"))
    assert (found.kind == "api") == (name in APIS)
    addresses = [found.url, found.storage.endpoint]
    for address in filter(None, addresses):
        assert urlsplit(address).scheme == "https"
        assert urlsplit(address).username is None
    assert (found.url is None) == (name in ("demo", "local"))


def test_nothing_shipped_holds_a_secret():
    text = (Path(catalogs.__file__).parent / "endpoints.toml").read_text().lower()
    for word in ("sig=", "password", "secret=", "token =", "key ="):
        assert word not in text


@pytest.mark.parametrize(
    ("name", "product", "collection", "access"),
    [
        (
            "planetary-computer",
            "grd",
            "sentinel-1-grd",
            Access(signing="planetary-computer", credentials=("PC_SDK_SUBSCRIPTION_KEY",)),
        ),
        (
            "planetary-computer",
            "rtc",
            "sentinel-1-rtc",
            Access(signing="planetary-computer", credentials=("PC_SDK_SUBSCRIPTION_KEY",)),
        ),
        (
            "earth-search",
            "grd",
            "sentinel-1-grd",
            Access(
                s3_region="eu-central-1",
                requester_pays=True,
                credentials=("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
            ),
        ),
        (
            "copernicus",
            "grd",
            "sentinel-1-grd",
            Access(
                s3_endpoint="https://eodata.dataspace.copernicus.eu",
                s3_region="default",
                credentials=("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
            ),
        ),
    ],
)
def test_an_endpoint_is_opened_with_its_own_rights(name, product, collection, access):
    source = opened(name, product)
    assert isinstance(source, ApiSource)
    assert (source.url, source.collection) == (SHIPPED[name]["url"], collection)
    assert source.access == access
    assert not source.access.local
    assert source.product == product


@pytest.mark.parametrize(
    ("name", "layer", "collection", "asset"),
    [
        ("planetary-computer", "dem", "cop-dem-glo-30", "data"),
        ("planetary-computer", "permanent_water", "jrc-gsw", "occurrence"),
        ("earth-search", "dem", "cop-dem-glo-30", "data"),
    ],
)
def test_layers_of_endpoints(name, layer, collection, asset):
    source, key = layer_source(load_endpoint(name), layer)
    assert (source.collection, key, source.url) == (collection, asset, SHIPPED[name]["url"])


def test_layers_have_the_names_that_were_recorded(data_dir):
    for file, name in (("pc_cop-dem-glo-30", "cop-dem-glo-30"), ("pc_jrc-gsw", "jrc-gsw")):
        assert f'"{name}"' in (data_dir / f"stac/collections/{file}.json").read_text()
    stac = data_dir / "stac/planetary_computer"
    assert '"occurrence": {' in (stac / "jrc-gsw-item.json").read_text()
    tile = "Copernicus_DSM_COG_10_N53_00_W115_00_DEM.json"
    assert '"data": {' in (stac / tile).read_text()


# --- what is refused


@pytest.mark.parametrize(
    ("name", "product", "says"),
    [
        ("asf", "grd", "endpoint asf delivers whole archives behind a login, of which no part can"),
        ("asf", "rtc", "endpoint asf delivers whole archives behind a login, of which no part can"),
        ("local", "grd", "endpoint local has no url; give --source FOLDER"),
        (
            "earth-search",
            "rtc",
            "endpoint earth-search has no rtc products, it has grd; give",
        ),
    ],
)
def test_an_endpoint_that_has_no_such_products_says_what_it_has(name, product, says):
    with pytest.raises(CatalogError) as caught:
        opened(name, product)
    assert str(caught.value).startswith(says)


def test_a_collection_that_is_named_is_believed():
    source = opened("earth-search", "rtc", "sentinel-1-rtc-new")
    assert isinstance(source, ApiSource)
    assert (source.collection, source.product) == ("sentinel-1-rtc-new", "rtc")


@pytest.mark.parametrize(
    ("name", "layer", "known"),
    [("earth-search", "permanent_water", "dem"), ("asf", "dem", "none"), ("demo", "dem", "none")],
)
def test_an_endpoint_without_a_layer_says_what_it_holds(name, layer, known):
    with pytest.raises(CatalogError) as caught:
        layer_source(load_endpoint(name), layer)
    assert str(caught.value) == (
        f"endpoint {name} holds no {layer}, its layers: {known}; give a file or another endpoint"
    )


@pytest.mark.parametrize(
    "more",
    [
        'url = "https://a.example"\ncollections.grd = "a"\nassets.dem = "data"',
        'url = "https://a.example"\ncollections.dem = "a"',
        'collections.dem = "a"\nassets.dem = "data"',
    ],
)
def test_a_layer_needs_address_collection_and_asset(catalog, more):
    with pytest.raises(CatalogError, match="endpoint half holds no dem, its layers: "):
        layer_source(load_endpoint("half", catalog("half", more)), "dem")


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("planetary-computr", "did you mean planetary-computer?"),
        ("earthsearch", "did you mean earth-search?"),
        ("zzz", "known: asf, copernicus, demo, earth-search, local, planetary-computer"),
        ("a" * 400, "known: asf, "),
    ],
)
def test_a_misspelt_endpoint_offers_near_names(name, near):
    with pytest.raises(
        CatalogError, match="is neither a folder, a URL nor a known endpoint"
    ) as one:
        find_endpoint(name, None)
    assert near in str(one.value)
    assert known_endpoint(name, None) is None


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ('urll = "https://a.example"\ncollections.grd = "a"', "urll: Extra inputs are not permit"),
        ("url = 7\ncollections.grd = 'a'", "url: Input should be a valid string"),
        ("", "collections: Field required"),
        ("collections = 7", "collections: Input should be a valid dictionary"),
        ("collections.grd = ['a']", "collections.grd: Input should be a valid string"),
        (
            "collections.grd = 'a'\ndelivers = 'pigeons'",
            "delivers: Input should be 'files' or",
        ),
        (
            "collections.grd = 'a'\nsigning = 'blood'",
            "signing: Input should be 'planetary",
        ),
    ],
)
@pytest.mark.parametrize("find", [find_endpoint, known_endpoint])
def test_a_malformed_endpoint_is_named_not_called_unknown(catalog, more, says, find):
    with pytest.raises(CatalogError) as caught:
        find("mine", catalog("mine", more))
    assert str(caught.value).startswith(f"endpoints.toml [mine]: {says}")
    assert "\n" not in str(caught.value)


# --- addresses and folders


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("https://example.com/stac", False),
        ("http://127.0.0.1:8080/", True),
        ("http://localhost/", True),
        ("http://192.168.1.7/stac", True),
        ("http://[::1]:8080/", True),
    ],
)
@pytest.mark.parametrize(
    ("product", "name"),
    [("grd", "sentinel-1-grd"), ("rtc", "sentinel-1-rtc"), ("slc", "sentinel-1-slc")],
)
def test_an_address_on_this_machine_may_lead_into_it(address, local, product, name):
    source = opened(address, product)
    assert isinstance(source, ApiSource)
    assert source.access == Access(local=local)
    assert (source.collection, source.product) == (name, product)
    assert find_endpoint(address, None) is None


def test_a_folder_is_what_it_holds(small_event, tmp_path):
    for source in (small_event, small_event.as_uri(), small_event / "catalog.json"):
        assert isinstance(opened(str(source)), CatalogSource)
    assert isinstance(opened(str(small_event / "safe")), FolderSource)


def test_a_folder_wins_over_an_endpoint_of_its_name(small_event, tmp_path, monkeypatch):
    (tmp_path / "asf").symlink_to(small_event)
    monkeypatch.chdir(tmp_path)
    assert isinstance(opened("asf"), CatalogSource)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(PlanError, match=r"--source \S+/gone: no such folder"):
        opened((tmp_path / "gone").as_uri())


def test_terrain_corrected_products_need_a_catalog(small_event):
    with pytest.raises(PlanError, match=r"safe: no catalog\.json; terrain-corrected products need"):
        opened(str(small_event / "safe"), "rtc")


def test_access_holds_what_the_endpoint_says():
    endpoint = Endpoint(
        id="x",
        title="x",
        kind="api",
        trust="local",
        credentials=("KEY",),
        collections={},
        sources=("a test",),
    )
    assert Access.of(endpoint) == Access(local=True, credentials=("KEY",))
