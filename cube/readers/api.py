"""The connection to a STAC API: timeouts, retry, pages that end, and only where it may lead."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

import pystac
import requests
from pystac_client import Client
from pystac_client.errors import ClientTypeError
from pystac_client.exceptions import APIError, ParametersError
from pystac_client.stac_api_io import StacApiIO
from requests.adapters import HTTPAdapter

from cube.errors import TrustError
from cube.readers.access import Access, check_address, hint, plain
from cube.readers.assets import line
from cube.readers.transport import TIMEOUT_S, http_retry

__all__ = ["FAILED", "MALFORMED", "Connection", "listed_in", "open_api", "problem"]

MALFORMED = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    NotImplementedError,  # a server without item search
    RecursionError,
    pystac.STACError,
    pystac.STACTypeError,
)
"""What pystac and pystac-client raise on JSON that is not the STAC they expect."""
FAILED = (
    *MALFORMED,
    requests.RequestException,
    APIError,
    ClientTypeError,
    ParametersError,
)
"""What a search raises that fails."""
_PAGES = 1000
_WEB = ("http", "https")
_NOISE = re.compile(r"<[^>]*>|HTTPS?Connection(Pool)?\([^)]*\)|\S*://\S*|url: \S+")


class _Guarded(HTTPAdapter):
    """Connections of a search: another host than the API's own must be one it may lead to."""

    def __init__(self, home: str, access: Access) -> None:
        super().__init__(max_retries=http_retry(allowed_methods=None))  # searches are POST
        self._home, self._access = urlsplit(home).netloc, access

    def send(
        self, request: requests.PreparedRequest, *args: Any, **kwargs: Any
    ) -> requests.Response:
        """Send one request; every hop of a redirect and every next page comes through here."""
        parts = urlsplit(request.url or "")
        if parts.netloc != self._home or parts.scheme not in _WEB:
            check_address(request.url or "", self._access)
        return super().send(request, *args, **kwargs)


class Connection(StacApiIO):
    """What pystac-client reads through."""

    def __init__(self, home: str, access: Access) -> None:
        super().__init__(max_retries=None)
        self._home = home
        self.session.adapters.clear()
        self.session.mount("", _Guarded(home, access))  # for any scheme: a redirect may name one

    def read_text(self, source: Any, *args: Any, **kwargs: Any) -> str:
        """Read an address or link, never a file: what an API links to is not this disk's."""
        href = str(source.href if isinstance(source, pystac.Link) else source)
        if urlsplit(href).scheme not in _WEB:
            raise TrustError(
                f"{plain(self._home)}: leads to {line(plain(href), 60)}, which is no web address"
            )
        return str(super().read_text(source, *args, **kwargs))

    def request(
        self,
        href: str,
        method: str | None = None,
        headers: dict[str, str] | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> str:
        """Ask, and say where it may not lead."""
        if (method or "GET").upper() not in ("GET", "POST"):
            raise ValueError(f"a page is to be asked for by {line(str(method), 20)}")
        try:
            return str(super().request(href, method, headers, parameters))
        except APIError as error:  # which hides its cause
            if isinstance(error.__context__, TrustError):
                raise TrustError(
                    f"{plain(self._home)}: leads elsewhere; {error.__context__}"
                ) from error
            raise

    def get_pages(
        self,
        url: str,
        method: str | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Pages from `url` on; a ValueError where they come round or find no end."""
        page = self.read_json(url, method=method, parameters=parameters)
        asked: set[str] = set()
        while len(asked) < _PAGES:
            if not isinstance(page, dict):
                raise TypeError(f"{type(page).__name__} came instead of a page")
            yield page
            links = page.get("links") or []
            following = next((one for one in links if one.get("rel") == "next"), None)
            if following is None:
                return
            following = {**following, "href": urljoin(url, following["href"])}
            key = json.dumps(following, sort_keys=True)
            if key in asked:
                raise ValueError(f"its pages repeat from the {len(asked) + 1}. on")
            asked.add(key)
            page = self.read_json(pystac.Link.from_dict(following), parameters=parameters)
        raise ValueError(f"it has more than {_PAGES} pages; ask for a smaller area or fewer days")


def open_api(url: str, access: Access) -> Client:
    """Open an API that offers item search.

    Raises
    ------
    Exception
        Of `FAILED`: it cannot be had, or is none.
    TrustError
        It leads to where it may not.
    """
    if urlsplit(url).scheme not in _WEB:
        raise ValueError("an API has an http or https address")
    with warnings.catch_warnings(action="ignore"):  # of what it does not conform to
        client = Client.open(url, stac_io=Connection(url, access), timeout=TIMEOUT_S)
        if not client.conforms_to("ITEM_SEARCH"):
            raise ValueError("it offers no item search")
    return client


def problem(error: Exception, access: Access) -> str:
    """What went wrong, on one line and without addresses, which may carry tokens."""
    status = getattr(error, "status_code", None)
    if status in (401, 403):
        return f"refused, HTTP {status}{hint(access)}"
    content = error.doc if isinstance(error, json.JSONDecodeError) else str(error)
    if content.lstrip().startswith("<"):
        words = "a web page came instead of JSON"
    elif isinstance(error, json.JSONDecodeError):
        words = f"no JSON came but {line(content, 40)!r}"
    elif isinstance(error, RecursionError):
        words = "JSON nested too deeply"
    else:
        inner = re.sub(r".*Caused by \w+\(", "", content.strip(), flags=re.DOTALL)
        words = line(_NOISE.sub("", (inner.splitlines() or [""])[0]).strip(" '\":()"), 160)
    return f"HTTP {status}: {words}" if status else words or type(error).__name__


def listed_in(page: Mapping[str, Any], key: str) -> list[Any]:
    """List of a page.

    Raises
    ------
    TypeError
        It has none.
    """
    found = page.get(key)
    if not isinstance(found, list):
        raise TypeError(f"a page without a list of {key} came")
    return found
