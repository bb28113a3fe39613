"""Fetch a picture that a client names by url, if the operator lists its host; refuse everything else in plain words.

What a server is talked into asking for is a way into the network that it stands in. So: hosts from the operator's
list, by https unless it says otherwise, on the scheme's own port; public addresses alone, checked on the connection
itself; no redirect is followed; so many bytes, so many seconds, so many at once; and what came must be a picture.
Knows urls and bytes; knows nothing of what becomes of the item. Start at `PictureUrls.with_picture`.

Source: OWASP, "Server-Side Request Forgery Prevention Cheat Sheet".
"""

import asyncio
import dataclasses
import logging
from dataclasses import dataclass
from importlib.metadata import version

import httpcore

from clairo_core.encoders.pictures import MAX_PICTURE_BYTES, decode_picture
from clairo_core.errors import ContentError
from clairo_core.items import Item
from service.errors import OverloadedError, PictureUrlError
from service.picture_urls.addresses import MayConnectTo, PublicNetwork, Resolve, is_public, resolve_with_system
from service.picture_urls.hosts import AllowedHosts, PictureUrl, parsed_picture_url

logger = logging.getLogger("clairo.pictures")

MAX_SECONDS = 10.0
MAX_AT_ONCE = 8
OK = 200
REDIRECTS = range(300, 400)


@dataclass(frozen=True, slots=True)
class SentItem:
    """An item as a client sent it: its picture may lie somewhere else yet."""

    item: Item
    picture_url: str | None = None


class PictureUrls:
    """Asks the hosts of one list."""

    def __init__(
        self,
        allowed: AllowedHosts,
        *,
        resolve: Resolve = resolve_with_system,
        may_connect_to: MayConnectTo = is_public,
        max_seconds: float = MAX_SECONDS,
    ) -> None:
        """An empty list refuses every url. A test may resolve and connect as it likes."""
        self._allowed = allowed
        self._resolve = resolve
        self._may_connect_to = may_connect_to
        self._max_seconds = max_seconds
        self._num_fetching = 0

    async def with_picture(self, sent: SentItem) -> Item:
        """The item, its picture fetched if it came as a url.

        Raises:
            PictureUrlError: it may not be fetched, cannot be, or is no picture.
            OverloadedError: as many as allowed are being fetched.
        """
        if sent.picture_url is None:
            return sent.item
        return dataclasses.replace(sent.item, picture=await self.fetch(sent.picture_url))

    async def fetch(self, text: str) -> bytes:
        """The picture at this url: a whole JPEG, PNG or WebP.

        Raises:
            PictureUrlError: it may not be fetched, cannot be, or is no picture.
            OverloadedError: as many as allowed are being fetched.
        """
        url = parsed_picture_url(text, self._allowed)
        if self._num_fetching >= MAX_AT_ONCE:
            raise OverloadedError(f"{MAX_AT_ONCE} pictures are being fetched already; try again in a second")
        self._num_fetching += 1
        try:
            async with asyncio.timeout(self._max_seconds):
                content = await self._content(url)
            await asyncio.to_thread(decode_picture, content)
        except TimeoutError as error:
            raise PictureUrlError(
                f"{url.host} did not send the picture within {self._max_seconds:g} seconds; send it in base64"
            ) from error
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
            logger.info("a picture could not be fetched from %s: %s", url.host, type(error).__name__)
            raise PictureUrlError(f"{url.host} could not be asked, or broke off; send the picture in base64") from error
        except ContentError as error:
            raise PictureUrlError(f"what {url.host} sent cannot be used: {error}") from error
        finally:
            self._num_fetching -= 1
        return content

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
        # For this url alone: no connection is kept, so none is used again for what was not looked at.
        network = PublicNetwork(self._resolve, self._may_connect_to)
        async with (
            network,
            httpcore.AsyncConnectionPool(max_connections=1, network_backend=network) as pool,
            pool.stream("GET", address, headers=list(headers.items())) as answer,
        ):
            if answer.status in REDIRECTS:
                raise PictureUrlError(f"{url.host} redirects, which is not followed; send the url that it leads to")
            if answer.status != OK:
                raise PictureUrlError(f"{url.host} answered with status {answer.status}, not with a picture")
            content = bytearray()
            async for chunk in answer.aiter_stream():
                content += chunk
                if len(content) > MAX_PICTURE_BYTES:
                    raise PictureUrlError(
                        f"the picture has more than {MAX_PICTURE_BYTES:,} bytes, which is the most; name a smaller one"
                    )
            return bytes(content)
