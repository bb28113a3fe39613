"""`clairo-serve mcp`, by the SDK's own client: in this process, and over standard input and output."""

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import StdioServerParameters
from mcp.client import Client
from typer.testing import CliRunner

from clairo_client import CLAIRO, AsyncCLAIRO, calls
from service.cli.commands import app
from service.cli.mcp_server import tool_server
from tests.repository import REPOSITORY
from tests.running_service import running_process
from tests.tiny import tiny_bundle


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def key(data_dir: Path) -> str:
    made = CliRunner().invoke(
        app, ["keys", "create", "--name", "agent", "--scope", "read", "--data-dir", str(data_dir)]
    )
    return made.stdout.strip()


@pytest.fixture(scope="module")
def url(key: str, data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    bundle = tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")
    with running_process(bundle, data_dir) as service:
        yield service.url


@asynccontextmanager
async def agent(url: str, key: str) -> AsyncIterator[Client]:
    """An agent of the tools in this process."""
    async with AsyncCLAIRO(url, api_key=key, max_attempts=1) as shop, Client(tool_server(shop)) as client:
        yield client


def agent_of_command(url: str, key: str) -> Client:
    """An agent that starts the command."""
    command = ["-m", "service.cli", "mcp", "--url", url]
    environment = {"CLAIRO_API_KEY": key}
    return Client(StdioServerParameters(command=sys.executable, args=command, env=environment, cwd=REPOSITORY))


async def answer_of(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    assert result.structured_content is not None
    return result.structured_content


async def error_of(client: Client, tool: str, **arguments: Any) -> str:
    result = await client.call_tool(tool, arguments)
    assert result.is_error
    return str(result.content[0].text)  # type: ignore[union-attr]


async def test_an_agent_recommends_searches_and_reads_items(url: str, key: str) -> None:
    with CLAIRO(url, api_key=key) as shop:
        expected = shop.recommend(["item-1", "item-2"], limit=3, seed=1)
    async with agent_of_command(url, key) as client:
        recommended = await answer_of(client, "recommend", history=["item-1", {"item_id": "item-2"}], limit=3, seed=1)
        assert recommended["items"] == [item.model_dump(mode="json") for item in expected.items]
        item = await answer_of(client, "get_item", item_id="item-1")
        kind = {"attribute": "category", "equals": item["attributes"]["category"]}
        similar = await answer_of(client, "list_similar_items", item_id="item-1", limit=2, filter=kind)
        assert [found["rank"] for found in similar["items"]] == [1, 2]
        found = await answer_of(client, "list_items", q="item-1", limit=1)
        assert len(found["items"]) == 1


async def test_tools_describe_the_arguments_of_the_client(url: str, key: str) -> None:
    async with agent(url, key) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert {"recommend", "list_similar_items", "list_complements", "list_trending_items", "get_item"} <= set(tools)
    recommend = tools["recommend"]
    assert recommend.description == calls.recommend.__doc__
    assert {"history", "user_id", "filter", "limit"} <= set(recommend.input_schema["properties"])
    assert recommend.annotations is not None
    assert recommend.annotations.read_only_hint


async def test_an_error_of_the_service_reaches_the_agent_in_its_words(url: str, key: str) -> None:
    async with agent(url, key) as client:
        assert "404 Item not found" in await error_of(client, "get_item", item_id="no-such-item")
        assert "got 0, expected at least 1" in await error_of(client, "recommend", history=[], limit=0)
    async with agent(url, "wrong") as client:
        assert "401 API key missing or invalid" in await error_of(client, "get_item", item_id="item-1")


async def test_a_service_that_is_down_is_named(key: str) -> None:
    async with agent("http://127.0.0.1:9", key) as client:
        assert "the service does not answer" in await error_of(client, "get_item", item_id="item-1")


def test_without_the_extra_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "mcp"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mcp", None)
    monkeypatch.delitem(sys.modules, "service.cli.mcp_server")
    ended = CliRunner().invoke(app, ["mcp"])
    assert ended.exit_code == 1
    assert "pip install 'clairo[serve,mcp]'" in ended.stderr
