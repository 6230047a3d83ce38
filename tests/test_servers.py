"""The servers that other tests lean on do what they promise."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path

import planetary_computer
import pytest
import requests
from planetary_computer.settings import Settings
from servers import AssetServer, Fault, FaultProxy, asset_server  # noqa: F401  # a fixture

DATA = bytes(range(256)) * 1000
BLOB = "http://sentinel1euwest.blob.core.windows.net/s1-grd/GRD/2022/8/30/vv.tiff"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "s1-grd/GRD/2022/8/30/vv.tiff"
    path.parent.mkdir(parents=True)
    path.write_bytes(DATA)
    (tmp_path / "a b.txt").write_text("name with a blank")
    return tmp_path


@pytest.fixture
def server(folder: Path, asset_server: Callable[..., AssetServer]) -> AssetServer:  # noqa: F811
    return asset_server(folder)


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


@pytest.fixture
def href(server: AssetServer) -> str:
    return f"{server.url}/s1-grd/GRD/2022/8/30/vv.tiff"


def ask(session: requests.Session, href: str, span: str, **headers: str) -> requests.Response:
    return session.get(href, headers={"Range": f"bytes={span}", **headers})


SPANS = {
    "0-0": (0, 1),
    "10-19": (10, 20),
    "255990-": (255990, 256000),
    "-5": (255995, 256000),
    "255999-999999": (255999, 256000),
    "-999999": (0, 256000),
}


@pytest.mark.parametrize("span", SPANS)
def test_a_range_is_sent(session, href, span):
    start, stop = SPANS[span]
    found = ask(session, href, span)
    assert found.status_code == 206
    assert found.content == DATA[start:stop]
    assert found.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(DATA)}"


def test_a_range_outside_is_refused(session, href):
    found = ask(session, href, "256000-")
    assert (found.status_code, found.headers["Content-Range"]) == (416, "bytes */256000")


def test_head_says_what_get_would_send(session, href):
    head, got = session.head(href), session.get(href)
    assert got.content == DATA
    assert int(head.headers["Content-Length"]) == len(DATA)
    assert head.headers["Accept-Ranges"] == "bytes"
    assert parsedate_to_datetime(head.headers["Last-Modified"])
    assert session.get(href, headers={"If-None-Match": head.headers["ETag"]}).status_code == 304


def test_another_file_of_the_same_name_has_another_tag(session, href, folder):
    tag = session.head(href).headers["ETag"]
    (folder / "s1-grd/GRD/2022/8/30/vv.tiff").write_bytes(DATA + b"more")
    assert session.head(href).headers["ETag"] != tag
    assert ask(session, href, "0-9", **{"If-Range": tag}).status_code == 200
    assert ask(session, href, "0-9", **{"If-Match": tag}).status_code == 412


def test_requests_are_noted_and_share_a_connection(session, server, href):
    ask(session, href, "0-99")
    ask(session, href, "100-299")
    assert [(one.method, one.range, one.status, one.sent) for one in server.requests] == [
        ("GET", "bytes=0-99", 206, 100),
        ("GET", "bytes=100-299", 206, 200),
    ]
    assert len({one.connection for one in server.requests}) == server.connections == 1
    assert server.bytes_sent == 300
    server.reset()
    assert (server.requests, server.bytes_sent) == ([], 0)


@pytest.mark.parametrize("path", ["nothing", "s1-grd", "", "../secret", "%2e%2e/secret"])
def test_what_is_not_a_file_below_the_folder_is_not_there(server, folder, path):
    (folder.parent / "secret").write_text("secret")
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
    connection.request("GET", f"/{path}")
    assert connection.getresponse().status == 404
    connection.close()


def test_a_quoted_name_is_found(session, server):
    assert session.get(f"{server.url}/a%20b.txt").text == "name with a blank"


# --- faults


@pytest.mark.parametrize("status", [403, 404, 429, 500, 503])
def test_a_fault_lasts_as_long_as_it_says(session, server, href, status):
    server.faults = [Fault("vv", status=status, times=2, headers={"Retry-After": "7"})]
    found = [session.get(href) for _ in range(3)]
    assert [one.status_code for one in found] == [status, status, 200]
    assert found[0].headers["Retry-After"] == "7"


def test_a_fault_of_other_files_and_methods_does_not_count(session, server, href):
    server.faults = [Fault("vh", status=500), Fault("vv", method="HEAD", status=500)]
    assert session.get(href).status_code == 200
    assert session.head(href).status_code == 500


def test_a_fault_may_come_later_and_stay(session, server, href):
    server.faults = [Fault(after=2, times=None, status=500)]
    found = [session.get(href).status_code for _ in range(5)]
    assert found == [200, 200, 500, 500, 500]


def test_a_body_is_cut(session, server, href):
    server.faults = [Fault(cut=100)]
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        session.get(href)
    assert server.requests[-1].sent == 100
    assert session.get(href).content == DATA


def test_a_connection_is_dropped(session, server, href):
    server.faults = [Fault(drop=True)]
    with pytest.raises(requests.ConnectionError):
        session.get(href)
    assert server.requests[-1].status == 0


def test_a_client_is_sent_elsewhere(session, server, href):
    server.faults = [Fault("s1-grd", redirect="http://localhost:1/login?for={path}")]
    found = session.get(href, allow_redirects=False)
    assert found.status_code == 302
    assert found.headers["Location"].endswith("/login?for=/s1-grd/GRD/2022/8/30/vv.tiff")


def test_a_page_comes_instead(session, server, href):
    server.faults = [Fault(html=True)]
    found = ask(session, href, "0-9")
    assert (found.status_code, found.text[:9]) == (200, "<!DOCTYPE")
    assert found.headers["Content-Type"].startswith("text/html")


def test_ranges_go_wrong(session, server, href):
    server.faults = [Fault(content_range="bytes 5-14/20"), Fault(ignore_range=True)]
    wrong, ignored = ask(session, href, "0-9"), ask(session, href, "0-9")
    assert (wrong.status_code, wrong.headers["Content-Range"]) == (206, "bytes 5-14/20")
    assert (ignored.status_code, len(ignored.content)) == (200, len(DATA))
    assert "Content-Range" not in ignored.headers


def test_a_late_answer_is_right_and_a_stopped_server_does_not_wait(session, server, href):
    server.faults = [Fault(delay=0.01), Fault(delay=3600)]
    assert session.get(href).content == DATA
    with pytest.raises(requests.Timeout):
        session.get(href, timeout=0.05)


def test_a_stopped_server_is_gone(session, folder):
    with AssetServer(folder) as server:
        assert session.get(f"{server.url}/a%20b.txt").ok
    with pytest.raises(requests.ConnectionError):
        session.get(f"{server.url}/a%20b.txt")


# --- signatures


@pytest.fixture
def azure(server: AssetServer, monkeypatch: pytest.MonkeyPatch) -> AssetServer:
    """The server behind the names that Planetary Computer's package signs."""
    server.signed = True
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(Settings.get(), "sas_url", f"{server.url}/sas/token")
    monkeypatch.setattr("planetary_computer.sas.TOKEN_CACHE", {})
    return server


def test_a_signed_file_of_another_host_is_read_through_the_proxy(azure):
    signed = planetary_computer.sign(BLOB)
    assert requests.get(signed).content == DATA
    assert planetary_computer.sign(BLOB) == signed, "the token is kept"
    token, file = azure.requests
    assert token.path == "/sas/token/sentinel1euwest/s1-grd"
    assert (file.host, file.status) == ("sentinel1euwest.blob.core.windows.net", 200)


def test_without_a_token_that_holds_there_is_nothing(azure):
    assert requests.get(BLOB).status_code == 403
    signed = planetary_computer.sign(BLOB)
    azure.expire()
    assert requests.get(signed).status_code == 403
    assert requests.get(signed.replace("s1-grd/", "other/")).status_code == 403


def test_a_token_opens_its_own_container_only(azure):
    other = planetary_computer.sign(BLOB.replace("s1-grd", "s1-rtc"))
    assert requests.get(other.replace("s1-rtc", "s1-grd")).status_code == 403


def test_a_token_ends_with_its_time(folder, asset_server, session):  # noqa: F811
    now = [1e9]
    server = asset_server(folder, clock=lambda: now[0])
    server.signed, server.lifetime = True, 60.0
    token = session.get(f"{server.url}/sas/token/account/container").json()
    assert token["msft:expiry"] == "2001-09-09T01:47:40Z"
    href = f"{server.url}/a%20b.txt?{token['token']}"
    assert session.get(href).status_code == 200
    now[0] += 60
    assert session.get(href).status_code == 403


def test_hosts_have_folders_of_their_own(azure, tmp_path):
    azure.signed = False
    (tmp_path / "other").mkdir()
    (tmp_path / "other/a.txt").write_text("other")
    azure.hosts = {"elevation.blob.core.windows.net": tmp_path / "other"}
    assert requests.get("http://elevation.blob.core.windows.net/a.txt").text == "other"
    assert requests.get("http://example.com/a.txt").status_code == 404


# --- a proxy before an API


@pytest.fixture
def proxy(server: AssetServer, folder: Path) -> Iterator[FaultProxy]:
    links = [{"rel": "next", "href": f"{server.url}/page2.json?token=next:a"}]
    (folder / "page1.json").write_text(json.dumps({"links": links}))
    (folder / "page2.json").write_text("{}")
    with FaultProxy(server.url) as proxy:
        yield proxy


def test_links_stay_on_the_proxy(session, server, proxy):
    found = session.get(f"{proxy.url}/page1.json?limit=1").json()
    href = found["links"][0]["href"]
    assert href == f"{proxy.url}/page2.json?token=next:a"
    assert session.get(href).json() == {}
    assert [one.query for one in server.requests] == ["limit=1", "token=next:a"]


def test_a_proxy_fails_where_it_is_told_to(session, server, proxy):
    proxy.faults = [Fault("page1", status=429), Fault("token=next", html=True)]
    assert session.get(f"{proxy.url}/page1.json").status_code == 429
    assert session.get(f"{proxy.url}/page1.json").status_code == 200
    assert session.get(f"{proxy.url}/page2.json?token=next:a").text.startswith("<!DOCTYPE")
    assert len(server.requests) == 1


def test_bodies_and_status_pass(session, server, proxy):
    assert session.post(f"{proxy.url}/search", json={"limit": 1}).status_code == 501
    assert json.loads(server.requests[0].body) == {"limit": 1}
    server.stop()
    assert session.get(f"{proxy.url}/page1.json").status_code == 502
