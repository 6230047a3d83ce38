"""Bytes over HTTP and S3: retry, timeouts, reuse, signatures, trust, and every refusal."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import planetary_computer.sas
import pytest
from planetary_computer.settings import Settings
from servers import AssetServer, Fault

from cube.errors import CubeError, SourceError, TrustError
from cube.readers import access as access_module
from cube.readers import transport, xml
from cube.readers.access import Access, check_address, is_loopback, plain
from cube.readers.transport import get, get_range

LOCAL = Access(local=True)
PUBLIC = Access()
BLOB = "sentinel1euwest.blob.core.windows.net"


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    """A file ``data/file.bin`` of random bytes."""
    (tmp_path / "data").mkdir()
    held = np.random.default_rng(0).integers(0, 256, 300_000, "uint8").tobytes()
    (tmp_path / "data" / "file.bin").write_bytes(held)
    (tmp_path / "data" / "note.xml").write_text("<note><to>you</to></note>")
    return held


@pytest.fixture
def server(tmp_path: Path, content: bytes) -> Iterator[AssetServer]:
    """The folder served."""
    with AssetServer(tmp_path) as started:
        yield started


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Waits of milliseconds, and no connection of an earlier test."""
    monkeypatch.setattr(transport, "TIMEOUT_S", (2.0, 0.5))
    monkeypatch.setattr(transport, "BACKOFF_S", 0.001)
    transport._session.cache_clear()
    yield
    transport._session.cache_clear()


def href(server: AssetServer, name: str = "file.bin") -> str:
    return f"{server.url}/data/{name}"


def test_a_range_and_the_size_of_the_whole(server, content):
    assert get_range(href(server), LOCAL, 1000, 2500) == (content[1000:2500], 300_000)


def test_a_range_beyond_the_end_is_cut(server, content):
    assert get_range(href(server), LOCAL, 299_990, 400_000) == (content[-10:], 300_000)


def test_a_whole_file(server, content):
    assert get(href(server), LOCAL, 1_000_000) == content


def test_a_file_larger_than_allowed_is_refused(server):
    with pytest.raises(SourceError, match="holds 300,000 bytes, at most 1,000 are read"):
        get(href(server), LOCAL, 1000)


def test_connections_are_kept(server):
    for start in range(0, 50_000, 5_000):
        get_range(href(server), LOCAL, start, start + 5_000)
    assert len({one.connection for one in server.requests}) == 1


def test_threads_share_few_connections(server, content):
    def ask(number: int) -> bool:
        start = 1000 * number
        return (
            get_range(href(server), LOCAL, start, start + 1000)[0] == content[start : start + 1000]
        )

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(200)))
    assert len({one.connection for one in server.requests}) <= 8


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again(server, content, status):
    server.faults = [Fault(status=status, times=2)]
    assert get_range(href(server), LOCAL, 0, 100)[0] == content[:100]
    assert [one.status for one in server.requests] == [status, status, 206]


def test_a_server_says_when_to_ask_again(server):
    server.faults = [Fault(status=429, headers={"Retry-After": "0"})]
    get_range(href(server), LOCAL, 0, 100)
    assert [one.status for one in server.requests] == [429, 206]


def test_a_wait_asked_for_is_bounded():
    assert transport.http_retry().retry_after_max <= 60


@pytest.mark.parametrize("fault", [{"cut": 50_000}, {"drop": True}, {"delay": 0.8}])
def test_an_answer_that_breaks_off_or_hangs_is_asked_for_again(server, content, fault):
    server.faults = [Fault(**fault)]
    assert get_range(href(server), LOCAL, 0, 100_000)[0] == content[:100_000]


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"status": 503}, "HTTP 503 after 4 retries; try again later, a build goes on where"),
        ({"status": 404}, r"missing \(HTTP 404\); is the product complete"),
        ({"status": 410}, r"missing \(HTTP 410\)"),
        ({"status": 403}, r"refused \(HTTP 403\)"),
        ({"status": 401}, r"refused \(HTTP 401\)"),
        ({"status": 418}, "HTTP 418"),
        ({"html": True}, "a web page came instead of the file|sends whole files"),
        ({"ignore_range": True}, "sends whole files, not parts of them"),
        ({"content_range": "bytes 7-106/300000"}, "asked for bytes from 0, the server sent"),
        ({"content_range": "nonsense"}, "the server sent 'nonsense'"),
        ({"cut": 10}, "cannot be read .*[Ii]ncomplete"),
        ({"drop": True}, "cannot be read"),
        ({"delay": 0.8}, "cannot be read .*[Tt]ime"),
    ],
)
def test_what_stays_wrong_is_one_line_that_names_the_file(server, fault, says):
    server.faults = [Fault(**fault, times=None)]
    with pytest.raises(SourceError, match=says) as caught:
        get_range(href(server), LOCAL, 0, 100)
    assert "file.bin" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nobody_there_is_one_line():
    with pytest.raises(SourceError, match=r"cannot be read .*; check the network and try again"):
        get_range("http://127.0.0.1:9/file.bin", LOCAL, 0, 100)


def test_a_refusal_names_the_variables_to_set(server, monkeypatch):
    server.faults = [Fault(status=403, times=None)]
    monkeypatch.delenv("CUBE_TEST_KEY", raising=False)
    asked = Access(local=True, credentials=("CUBE_TEST_KEY",))
    with pytest.raises(SourceError, match=r"from CUBE_TEST_KEY \(CUBE_TEST_KEY not set\)"):
        get_range(href(server), asked, 0, 100)
    monkeypatch.setenv("CUBE_TEST_KEY", "a secret")
    with pytest.raises(SourceError, match=r"all set, perhaps wrongly") as caught:
        get_range(href(server), asked, 0, 100)
    assert "secret" not in str(caught.value)


# --- trust


@pytest.mark.parametrize(
    "target",
    [
        "file:///etc/passwd",
        "http://127.0.0.1:1/file.bin",
        "http://localhost/file.bin",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/x",
        "ftp://example.com/x",
    ],
)
def test_a_redirect_inside_is_refused(server, monkeypatch, target):
    # the first address is public by decree of this test; what it leads to is not
    real = check_address
    monkeypatch.setattr(
        transport,
        "check_address",
        lambda url, access: None if url.startswith(server.url) else real(url, access),
    )
    server.faults = [Fault(redirect=target, times=None)]
    with pytest.raises(TrustError, match="redirected; "):
        get_range(href(server), PUBLIC, 0, 100)


def test_a_redirect_to_a_file_is_refused_even_to_the_trusted(server):
    server.faults = [Fault(redirect="file:///etc/passwd", times=None)]
    with pytest.raises(TrustError, match=r"redirected; .*leads to file:, refused"):
        get_range(href(server), LOCAL, 0, 100)


def test_a_redirect_elsewhere_is_followed(server, content):
    server.faults = [Fault(path="moved", redirect=href(server), times=None)]
    assert get_range(f"{server.url}/moved.bin", LOCAL, 5, 10)[0] == content[5:10]


def test_redirects_in_a_circle_end(server):
    server.faults = [Fault(redirect=href(server), times=None)]
    with pytest.raises(SourceError, match="redirected more than"):
        get_range(href(server), LOCAL, 0, 100)


def test_loopback_is_refused_to_a_public_endpoint(server):
    with pytest.raises(TrustError, match="which only endpoints with trust = 'local' may do"):
        get_range(href(server), PUBLIC, 0, 100)
    assert not server.requests


def test_a_public_name_of_a_private_address_is_refused(monkeypatch):
    monkeypatch.setattr(access_module, "_resolves_inside", lambda host: host == "evil.example.com")
    with pytest.raises(TrustError, match=r"evil\.example\.com"):
        check_address("https://evil.example.com/x", PUBLIC)
    check_address("https://good.example.com/x", PUBLIC)
    check_address("https://evil.example.com/x", LOCAL)


@pytest.mark.parametrize("host", ["0.0.0.0", "224.0.0.1", "100.64.0.1", "fd00::1", "fe80::1"])
def test_other_addresses_that_are_no_place_on_the_internet(host):
    assert is_loopback(host)


# --- signatures


@pytest.fixture
def signed(server: AssetServer, monkeypatch: pytest.MonkeyPatch) -> AssetServer:
    """The server as proxy for Azure's hosts, which wants tokens and gives them out."""
    server.signed = True
    server.hosts = {BLOB: server.folder}
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("PC_SDK_SAS_URL", f"{server.url}/sas/token")
    Settings.get.cache_clear()
    planetary_computer.sas.TOKEN_CACHE.clear()
    yield server
    Settings.get.cache_clear()
    planetary_computer.sas.TOKEN_CACHE.clear()


SIGNING = Access(signing="planetary-computer")
BLOB_FILE = f"http://{BLOB}/data/file.bin"


def test_a_blob_is_signed_when_it_is_opened(signed, content):
    assert get_range(BLOB_FILE, SIGNING, 10, 20)[0] == content[10:20]
    assert get_range(BLOB_FILE, SIGNING, 20, 30)[0] == content[20:30]
    tokens = [one for one in signed.requests if one.path.startswith("/sas/")]
    assert [one.path for one in tokens] == ["/sas/token/sentinel1euwest/data"]


def test_without_signing_a_blob_is_refused(signed):
    with pytest.raises(SourceError, match="refused"):
        get_range(BLOB_FILE, PUBLIC, 0, 10)


def test_a_token_that_ran_out_is_renewed_once(signed, content):
    get_range(BLOB_FILE, SIGNING, 0, 10)
    signed.expire()
    assert get_range(BLOB_FILE, SIGNING, 10, 20)[0] == content[10:20]
    assert [one.status for one in signed.requests if one.path.endswith(".bin")] == [206, 403, 206]


def test_a_blob_refused_with_a_fresh_token_is_an_error_without_it(signed):
    signed.faults = [Fault(path="file.bin", status=403, times=None)]
    with pytest.raises(SourceError, match=r"data/file\.bin: refused \(HTTP 403\)") as caught:
        get_range(BLOB_FILE, SIGNING, 0, 10)
    assert "sig=" not in str(caught.value)


def test_a_signing_service_that_refuses_is_one_line(signed):
    signed.faults = [Fault(path="/sas/", status=403, times=None)]
    with pytest.raises(SourceError, match=r"cannot be signed .*try again later"):
        get_range(BLOB_FILE, SIGNING, 0, 10)


def test_a_failure_never_tells_a_token(signed):
    get_range(BLOB_FILE, SIGNING, 0, 10)
    signed.faults = [Fault(path="file.bin", drop=True, times=None)]
    with pytest.raises(SourceError) as caught:
        get_range(BLOB_FILE, SIGNING, 0, 10)
    assert "sig=" not in str(caught.value)
    assert "se=" not in str(caught.value)


def test_plain_hrefs_carry_no_secret():
    assert plain("http://me:pw@example.com/a?sig=x#y") == "http://example.com/a"
    assert plain("/data/a?b.tiff") == "/data/a?b.tiff"


# --- XML


def test_xml_is_read_from_its_place(server):
    assert xml.parse(href(server, "note.xml"), "note", LOCAL).findtext("to") == "you"


def test_xml_of_another_kind_is_named_without_its_query(server):
    with pytest.raises(SourceError, match=r"note\.xml: holds <note>, expected <product>"):
        xml.parse(f"{href(server, 'note.xml')}?sig=secret", "product", LOCAL)


# --- S3


@pytest.fixture
def bucket(server: AssetServer, monkeypatch: pytest.MonkeyPatch) -> Access:
    """The server as an object store, asked by path."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    transport._bucket.cache_clear()
    return Access(
        local=True,
        s3_endpoint=server.url,
        s3_region="eu-central-1",
        requester_pays=True,
        credentials=("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    )


def with_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")


def test_objects_are_asked_for_signed_and_paid_by_the_requester(
    server, bucket, content, monkeypatch
):
    with_keys(monkeypatch)
    assert get_range("s3://data/file.bin", bucket, 10, 30) == (content[10:30], 300_000)
    (asked,) = server.requests
    headers = {name.lower(): value for name, value in asked.headers.items()}
    assert headers["x-amz-request-payer"] == "requester"
    assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
    assert get("s3://data/file.bin", bucket, 10**6) == content


def test_without_keys_the_variables_are_named_and_nobody_is_asked(server, bucket):
    with pytest.raises(SourceError, match="needs credentials; credentials come from AWS_ACCESS_"):
        get_range("s3://data/file.bin", bucket, 0, 10)
    assert not server.requests


def test_an_open_bucket_needs_no_keys(server, bucket, content):
    asked = Access(local=True, s3_endpoint=bucket.s3_endpoint, anonymous=True)
    assert get_range("s3://data/file.bin", asked, 0, 10)[0] == content[:10]


@pytest.mark.parametrize(
    ("status", "says"),
    [(403, "refused; credentials come from"), (404, "missing; is the product complete")],
)
def test_a_refused_or_missing_object_is_one_line(server, bucket, monkeypatch, status, says):
    with_keys(monkeypatch)
    server.faults = [Fault(status=status, times=None)]
    with pytest.raises(SourceError, match=says) as caught:
        get_range("s3://data/file.bin", bucket, 0, 10)
    assert "\n" not in str(caught.value)


def test_errors_are_of_the_tree():
    assert issubclass(TrustError, CubeError)
