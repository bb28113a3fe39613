"""Fetch a picture that a client names by url, if the operator lists its host.

A server that fetches arbitrary urls opens its network to clients. Hence: hosts from the operator's list, https unless
the list allows http, the scheme's own port, public addresses only (checked on the connection itself), no redirects,
and limits on bytes, seconds and concurrent fetches. The bytes are decoded where any other picture is; see
`SentItem.blaming_url`. Start at `PictureUrls.with_picture`.

Source: OWASP, "Server-Side Request Forgery Prevention Cheat Sheet".
"""

import asyncio
import dataclasses
import functools
import logging
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Generic, Protocol, TypeVar
from urllib.parse import urlsplit

import httpcore

from clairo_core.encoders.pictures import MAX_PICTURE_BYTES
from clairo_core.errors import ContentError
from clairo_core.values.public_addresses import is_public
from service.errors import OverloadedError, PictureUrlError
from service.picture_urls.addresses import MayConnectTo, PublicNetwork, Resolve, resolve_with_system
from service.picture_urls.hosts import AllowedHosts, PictureUrl, parsed_picture_url

logger = logging.getLogger("clairo.pictures")

MAX_SECONDS = 10.0
MAX_AT_ONCE = 8
OK = 200
REDIRECTS = range(300, 400)


class HasPicture(Protocol):
    """An item, or a patch of one."""

    @property
    def item_id(self) -> str:
        """Its id."""

    @property
    def picture(self) -> object:
        """Its bytes, if it is here."""


Content = TypeVar("Content", bound=HasPicture)


@dataclass(frozen=True)
class SentItem(Generic[Content]):
    """An item, or a patch of one, as a client sent it, its picture perhaps still to be fetched."""

    item: Content
    picture_url: str | None = None
    keeps_picture: bool = False
    """Whether the client sent neither a picture nor null for it."""

    @contextmanager
    def blaming_url(self) -> Iterator[None]:
        """Turn an error of the picture's content into one of its url, if it came by url."""
        try:
            yield
        except ContentError as error:
            if self.picture_url is None:
                raise
            host = urlsplit(self.picture_url).hostname
            raise PictureUrlError(f"the picture that {host} sent cannot be used: {error}") from error


class PictureUrls:
    """Fetches from the hosts of one list."""

    def __init__(
        self,
        allowed: AllowedHosts,
        *,
        resolve: Resolve = resolve_with_system,
        may_connect_to: MayConnectTo = is_public,
        max_seconds: float = MAX_SECONDS,
    ) -> None:
        """An empty list refuses every url. Tests replace `resolve` and `may_connect_to`."""
        self._allowed = allowed
        self._resolve = resolve
        self._may_connect_to = may_connect_to
        self._max_seconds = max_seconds
        self._num_fetching = 0

    async def with_picture(self, sent: SentItem[Content]) -> Content:
        """Return the item or patch, with its picture if that came as a url.

        Raises:
            PictureUrlError: the url is not allowed, or fetching failed.
            OverloadedError: `MAX_AT_ONCE` pictures are being fetched.
        """
        if sent.picture_url is None:
            return sent.item
        picture = await self.fetch(sent.picture_url)
        return dataclasses.replace(sent.item, picture=picture)  # type: ignore[type-var]

    async def fetch(self, text: str) -> bytes:
        """Fetch the bytes at this url.

        Raises:
            PictureUrlError: the url is not allowed, or fetching failed.
            OverloadedError: `MAX_AT_ONCE` pictures are being fetched.
        """
        url = parsed_picture_url(text, self._allowed)
        if self._num_fetching >= MAX_AT_ONCE:
            raise OverloadedError(f"{MAX_AT_ONCE} pictures are being fetched, the maximum; retry in a second")
        self._num_fetching += 1
        try:
            async with asyncio.timeout(self._max_seconds):
                return await self._content(url)
        except TimeoutError as error:
            raise PictureUrlError(
                f"{url.host} did not send the picture within {self._max_seconds:g} seconds; send it in base64"
            ) from error
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
            logger.info("a picture could not be fetched from %s: %s", url.host, type(error).__name__)
            raise PictureUrlError(
                f"the connection to {url.host} failed or broke off; send the picture in base64"
            ) from error
        finally:
            self._num_fetching -= 1

    async def _content(self, url: PictureUrl) -> bytes:
        address = httpcore.URL(scheme=url.scheme, host=url.host, port=url.port, target=url.target)
        headers = {
            # Without the port, which is the scheme's own.
            "Host": url.host,
            "Accept": "image/webp, image/png, image/jpeg",
            "Accept-Encoding": "identity",
            "User-Agent": f"clairo/{version('clairo')}",
            "Connection": "close",
        }
        tls = await asyncio.to_thread(tls_context)
        # For this url alone: a kept connection would skip the address check.
        network = PublicNetwork(self._resolve, self._may_connect_to)
        async with (
            network,
            httpcore.AsyncConnectionPool(tls, max_connections=1, network_backend=network) as pool,
            pool.stream("GET", address, headers=list(headers.items())) as answer,
        ):
            if answer.status in REDIRECTS:
                raise PictureUrlError(f"{url.host} redirects, expected a picture; send the url it redirects to")
            if answer.status != OK:
                raise PictureUrlError(f"{url.host} answered with status {answer.status}, expected 200; check the url")
            content = bytearray()
            async for chunk in answer.aiter_stream():
                content += chunk
                if len(content) > MAX_PICTURE_BYTES:
                    raise PictureUrlError(
                        f"the picture has more than {MAX_PICTURE_BYTES:,} bytes; send the url of a smaller one"
                    )
            return bytes(content)


@functools.cache
def tls_context() -> ssl.SSLContext:
    """What checks certificates. Reading them takes 40 ms of processor, which answers would wait for at each picture."""
    return httpcore.default_ssl_context()
