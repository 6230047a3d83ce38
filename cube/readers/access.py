"""How the files of an endpoint may be asked for: trust, signing, credentials.

Nothing here holds a secret: tokens are made when a file is opened and forgotten after.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import re
import socket
import unicodedata
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

from cube.catalog import Endpoint
from cube.errors import SourceError, TrustError

__all__ = [
    "ON_DISK",
    "PUBLIC",
    "Access",
    "file_state",
    "forget_tokens",
    "is_loopback",
    "is_remote",
    "leads_inside",
    "plain",
    "sign",
]

_QUERY = re.compile(r"\?[^\s'\"]+")
REMOTE = ("http", "https", "s3")


@dataclass(frozen=True, slots=True)
class Access:
    """What may be reached through an endpoint's hrefs, and how.

    Attributes
    ----------
    local : bool
        Whether hrefs may point into this machine or a private network.
    signing : str or None
        ``planetary-computer``: hrefs of Azure's blob store get a token when they are opened.
    s3_endpoint, s3_region : str or None
    requester_pays, anonymous : bool
        Of ``s3://`` objects.
    credentials : tuple of str
        Environment variables that a refusal names.
    """

    local: bool = False
    signing: Literal["planetary-computer"] | None = None
    s3_endpoint: str | None = None
    s3_region: str | None = None
    requester_pays: bool = False
    anonymous: bool = False
    credentials: tuple[str, ...] = ()

    @classmethod
    def of(cls, endpoint: Endpoint) -> Access:
        """Access of an endpoint of the catalog."""
        storage = endpoint.storage
        return cls(
            endpoint.trust == "local",
            endpoint.signing,
            storage.endpoint,
            storage.region,
            storage.requester_pays,
            storage.anonymous,
            endpoint.credentials,
        )


ON_DISK = Access(local=True)
"""Files that the user named."""
PUBLIC = Access()
"""What anyone may point to."""


def is_remote(href: str) -> bool:
    """Whether an href is read over a network rather than from a disk."""
    return urlsplit(href).scheme in REMOTE


def file_state(href: str) -> tuple[int, int] | None:
    """Size and time of a file on disk, so that one replaced in place is read again.

    None for a remote file, and for one that is missing: whoever opens it says so.
    """
    if is_remote(href):
        return None
    try:
        found = Path(href).stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def plain(href: str) -> str:
    """An href as it may be shown: without query, user name and password.

    Examples
    --------
    >>> plain("https://me:secret@example.com/a.tiff?sig=abc")
    'https://example.com/a.tiff'
    """
    if "://" not in href:
        return href
    parts = urlsplit(href)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def is_loopback(host: str) -> bool:
    """Whether a host name is this machine or a private network, as far as its text says."""
    host = unicodedata.normalize("NFKC", host).rstrip(".")  # digits of other scripts too
    if host in ("", "localhost") or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        try:
            # 127.1, 0x7f000001 and 2130706433 are addresses too
            address = ipaddress.ip_address(socket.inet_aton(host))
        except OSError:
            return False
    address = getattr(address, "ipv4_mapped", None) or address
    return not address.is_global or address.is_multicast


def leads_inside(parts: SplitResult) -> bool:
    """Whether an address is this machine or a private network, as far as its text says.

    One that other software reads as another host counts too: some end a host at a backslash, and
    some decode it.
    """
    host = parts.netloc.rpartition("@")[2]
    disguised = "\\" in parts.netloc or "%" in host
    return disguised or is_loopback(parts.hostname or "")


@cache
def hush(*loggers: str) -> None:
    """Let loggers of other libraries name no token, once in a process: addresses may hold one."""
    for name in loggers:
        logging.getLogger(name).addFilter(_without_queries)


def _without_queries(record: logging.LogRecord) -> bool:
    record.msg, record.args = _QUERY.sub("?...", record.getMessage()), ()
    return True


def check_address(href: str, access: Access) -> None:
    """Refuse an address that an untrusted endpoint may not lead to.

    A name is looked up as well as read: it may be a public name of a private address. Behind a
    proxy, which does the looking up, the name alone counts.

    Raises
    ------
    TrustError
        Not http, https or s3, or this machine or network.
    """
    parts = urlsplit(href)
    if parts.scheme not in REMOTE:
        raise TrustError(f"{plain(href)[:200]}: leads to {parts.scheme or 'a file'}:, refused")
    if parts.scheme == "s3" or access.local:
        return
    host = parts.hostname or ""
    proxied = parts.scheme in getproxies() and not proxy_bypass(host)
    if leads_inside(parts) or (not proxied and _resolves_inside(host)):
        raise TrustError(
            f"{plain(href)[:200]}: points into this machine or network, which only endpoints with"
            " trust = 'local' may do"
        )


@lru_cache(maxsize=256)
def _resolves_inside(host: str) -> bool:
    try:
        found = socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP)
    except OSError:
        return False  # the request that follows says that there is no such host
    return any(is_loopback(str(entry[4][0])) for entry in found)


def sign(href: str, access: Access) -> str:
    """Return an href with a token, where the endpoint wants one.

    Raises
    ------
    SourceError
        The signing service refused or could not be reached.
    """
    if access.signing is None:
        return href
    from planetary_computer.sas import sign_url  # slow to import, and not always needed
    from requests import RequestException

    try:
        return str(sign_url(href))
    except (RequestException, ValueError) as error:
        raise SourceError(
            f"{plain(href)}: cannot be signed ({type(error).__name__} from the signing service);"
            f" try again later{hint(access)}"
        ) from error


def forget_tokens() -> None:
    """Ask for new tokens from now on: one was refused before its time."""
    from planetary_computer import sas

    sas.TOKEN_CACHE.clear()


def hint(access: Access) -> str:
    """What to set, at the end of a message about a refusal."""
    if not access.credentials:
        return ""
    names = ", ".join(access.credentials)
    missing = [name for name in access.credentials if not os.environ.get(name)]
    state = f" ({', '.join(missing)} not set)" if missing else " (all set, perhaps wrongly)"
    return f"; credentials come from {names}{state}"
