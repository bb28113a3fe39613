"""The service for tests that call it in turn, such as Hypothesis's: the loop runs during calls alone."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from clairo_core.bundle.bundle import Bundle
from tests.running_service import running_service


class BlockingService:
    """Sends requests to a running service, one at a time."""

    def __init__(self, runner: asyncio.Runner, client: httpx.AsyncClient) -> None:
        self._runner = runner
        self._client = client

    def send(self, method: str, path: str, json: Any = None) -> httpx.Response:
        """The answer of any status."""
        return self._runner.run(self._client.request(method, path, json=json))

    def send_bytes(self, method: str, path: str, content: bytes, headers: Mapping[str, str]) -> httpx.Response:
        """The answer of any status to a body as it is."""
        return self._runner.run(self._client.request(method, path, content=content, headers=headers))

    def recommend(self, **body: Any) -> dict[str, Any]:
        """The answer of POST /recommend."""
        answer = self.send("POST", "/recommend", body)
        assert answer.status_code == 200, answer.text
        return answer.json()  # type: ignore[no-any-return]

    def pages(self, **body: Any) -> list[dict[str, Any]]:
        """All pages of a request."""
        pages = [self.recommend(**body)]
        while pages[-1]["next_cursor"] is not None:
            pages.append(self.recommend(**body, cursor=pages[-1]["next_cursor"]))
        return pages


@contextmanager
def blocking_service(bundle: Bundle, **settings: Any) -> Iterator[BlockingService]:
    """A ready service; see `running_service`."""
    with asyncio.Runner() as runner:
        service = running_service(bundle, **settings)
        client = runner.run(service.__aenter__())
        try:
            yield BlockingService(runner, client)
        finally:
            runner.run(service.__aexit__(None, None, None))
