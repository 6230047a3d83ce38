"""Bytes of remote files: ranges over HTTP and S3, with retry, timeouts and connection reuse."""

from __future__ import annotations

import os
import re
import time
from functools import lru_cache
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError
from urllib3.util.retry import Retry

from cube.errors import SourceError, TrustError
from cube.readers.access import Access, check_address, forget_tokens, hint, hush, plain, sign

__all__ = ["RETRIES", "TIMEOUT_S", "get", "get_range", "http_retry"]

RETRIES = 4
"""How often a request is repeated before it counts as failed."""
TIMEOUT_S = (10.0, 60.0)
"""Seconds to connect, and between two bytes."""
LONGEST_WAIT_S = 30
BACKOFF_S = 0.3
"""First wait; every further one is twice as long."""
_REDIRECTS = 5
_POOL = 16
_PIECE = 1 << 18
_BUSY = (408, 429, 500, 502, 503, 504)


def http_retry(**settings: Any) -> Retry:
    """Retry with growing waits on answers that mean busy, obeying Retry-After within reason."""
    return Retry(
        total=RETRIES,
        redirect=0,
        backoff_factor=BACKOFF_S,
        backoff_jitter=BACKOFF_S / 2,
        status_forcelist=_BUSY,
        respect_retry_after_header=True,
        retry_after_max=LONGEST_WAIT_S,
        raise_on_status=False,
        raise_on_redirect=False,
        **settings,
    )


@lru_cache(maxsize=1)
def _session() -> requests.Session:
    """One per process: its pool keeps connections for all threads."""
    hush("urllib3.connectionpool")
    session = requests.Session()
    adapter = HTTPAdapter(pool_connections=_POOL, pool_maxsize=_POOL, max_retries=http_retry())
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def get(href: str, access: Access, limit: int) -> bytes:
    """Whole content of a small file.

    Raises
    ------
    SourceError
        It cannot be had, or is larger than `limit` bytes.
    """
    content, total = _ask(href, access, None, limit)
    if total > limit:
        raise SourceError(f"{plain(href)}: holds {total:,} bytes, at most {limit:,} are read")
    return content


def get_range(href: str, access: Access, start: int, stop: int) -> tuple[bytes, int]:
    """Bytes ``start .. stop`` of a file, fewer at its end, and the size of the whole file.

    Raises
    ------
    SourceError
        They cannot be had.
    """
    return _ask(href, access, (start, stop), stop - start)


def _ask(href: str, access: Access, span: tuple[int, int] | None, limit: int) -> tuple[bytes, int]:
    if urlsplit(href).scheme == "s3":
        return _from_s3(href, access, span, limit)
    problem = ""
    for attempt in range(RETRIES + 1):
        try:
            return _from_http(href, access, span, limit)
        except (requests.RequestException, HTTPError) as error:
            problem = _reason(error)  # urllib3 has repeated it already
            break
        except _CutError as error:
            problem = str(error)
            time.sleep(BACKOFF_S * 2**attempt)
    raise SourceError(
        f"{plain(href)}: cannot be read ({problem}); check the network and try again, a build goes"
        " on where it stopped"
    )


class _CutError(Exception):
    """A body that broke off or came short: what urllib3 cannot repeat itself."""


def _reason(error: Exception) -> str:
    """What went wrong, without addresses: they may carry tokens."""
    inner: Any = error.args[0] if error.args else error
    inner = getattr(inner, "reason", None) or inner
    said = str(inner.args[-1] if isinstance(inner, Exception) and inner.args else inner)
    words = re.sub(r"\S*(://|\?)\S*|<[^>]*>|url: \S+", "", said).strip(" :;'\"()[]")
    kind = type(inner if isinstance(inner, Exception) else error).__name__
    return f"{kind} {words[:120]}".strip()


def _from_http(
    href: str, access: Access, span: tuple[int, int] | None, limit: int
) -> tuple[bytes, int]:
    headers = {"Accept-Encoding": "identity"}  # ranges count stored bytes
    if span is not None:
        headers["Range"] = f"bytes={span[0]}-{span[1] - 1}"
    answer = _follow(href, access, headers)
    if answer.status_code in (401, 403) and access.signing is not None:
        answer.close()
        forget_tokens()  # the token may have run out, or been withdrawn
        answer = _follow(href, access, headers)
    with answer:
        _check_status(href, access, answer)
        if span is not None and answer.status_code != 206:
            raise SourceError(
                f"{plain(href)}: the server sends whole files, not parts of them; download it and"
                " use --source FOLDER"
            )
        total = _total(href, answer, span)
        content = _body(answer, limit)
    expected = min(span[1], total) - span[0] if span is not None else min(total, limit + 1)
    if len(content) != expected and total >= 0:
        raise _CutError(f"{len(content):,} of {expected:,} bytes arrived")
    return content, total if total >= 0 else len(content)


def _follow(href: str, access: Access, headers: dict[str, str]) -> requests.Response:
    """Ask, and follow redirects only to where the endpoint may lead."""
    url = sign(href, access)
    for _ in range(_REDIRECTS):
        check_address(url, access)
        answer = _session().get(
            url, headers=headers, timeout=TIMEOUT_S, stream=True, allow_redirects=False
        )
        target = answer.headers.get("Location")
        if not answer.is_redirect or target is None:
            return answer
        answer.close()
        try:
            url = urljoin(url, target)
            check_address(url, access)
        except (TrustError, ValueError) as error:
            raise TrustError(f"{plain(href)}: redirected; {error}") from error
    raise SourceError(f"{plain(href)}: redirected more than {_REDIRECTS} times")


def _check_status(href: str, access: Access, answer: requests.Response) -> None:
    status = answer.status_code
    if status in (401, 403):
        raise SourceError(f"{plain(href)}: refused (HTTP {status}){hint(access)}")
    if status in (404, 410):
        raise SourceError(f"{plain(href)}: missing (HTTP {status}); is the product complete?")
    if status not in (200, 206):
        raise SourceError(
            f"{plain(href)}: HTTP {status} after {RETRIES} retries; try again later, a build goes"
            " on where it stopped"
        )
    kind = answer.headers.get("Content-Type", "")
    if kind.startswith("text/html"):
        raise SourceError(f"{plain(href)}: a web page came instead of the file{hint(access)}")


def _total(href: str, answer: requests.Response, span: tuple[int, int] | None) -> int:
    """Size of the whole file; -1 where the server does not say."""
    if span is None:
        return int(answer.headers.get("Content-Length", -1))
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", answer.headers.get("Content-Range", ""))
    if found is None or int(found[1]) != span[0]:
        raise SourceError(
            f"{plain(href)}: asked for bytes from {span[0]}, the server sent"
            f" {answer.headers.get('Content-Range', 'no Content-Range')!r}"
        )
    return int(found[3])


def _body(answer: requests.Response, limit: int) -> bytes:
    """Content, read no further than just past `limit`."""
    pieces, size = [], 0
    try:
        for piece in answer.iter_content(_PIECE):
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                break
    except (requests.RequestException, HTTPError) as error:
        raise _CutError(f"{_reason(error)} after {size:,} bytes") from error
    return b"".join(pieces)[: limit + 1]


# --- S3


@lru_cache(maxsize=16)
def _bucket(name: str, access: Access) -> Any:
    from obstore.store import S3Store

    options: dict[str, Any] = {"region": access.s3_region} if access.s3_region else {}
    if access.s3_endpoint is not None:
        options |= {"endpoint": access.s3_endpoint, "virtual_hosted_style_request": False}
    if access.requester_pays:
        options["request_payer"] = True
    if access.anonymous:
        options["skip_signature"] = True
    local = access.local and (access.s3_endpoint or "").startswith("http://")
    return S3Store(
        name,
        client_options={
            "connect_timeout": f"{1000 * TIMEOUT_S[0]:.0f}ms",
            "timeout": f"{1000 * TIMEOUT_S[1]:.0f}ms",
            "allow_http": local,
        },
        retry_config={"max_retries": RETRIES},
        **options,
    )


def _from_s3(
    href: str, access: Access, span: tuple[int, int] | None, limit: int
) -> tuple[bytes, int]:
    import obstore
    from obstore import exceptions

    parts = urlsplit(href)
    key = parts.path.lstrip("/")
    if not access.anonymous and not os.environ.get("AWS_ACCESS_KEY_ID"):
        # without it the library would ask the metadata service of a cloud machine
        raise SourceError(
            f"{plain(href)}: needs credentials{hint(access) or '; set AWS_ACCESS_KEY_ID'}"
        )
    try:
        store = _bucket(parts.netloc, access)
        if span is None:
            answer = obstore.get(store, key)
            total = int(answer.meta["size"])
            return (bytes(answer.bytes()) if total <= limit else b""), total
        answer = obstore.get(store, key, options={"range": span})
        return bytes(answer.bytes()), int(answer.meta["size"])
    except FileNotFoundError as error:
        raise SourceError(f"{plain(href)}: missing; is the product complete?") from error
    except (exceptions.BaseError, OSError, ValueError) as error:
        refused = (
            isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError)
            or "credential" in str(error).lower()
        )
        if refused:
            raise SourceError(f"{plain(href)}: refused{hint(access)}") from error
        raise SourceError(
            f"{plain(href)}: cannot be read ({type(error).__name__}); check the network and try"
            " again, a build goes on where it stopped"
        ) from error
