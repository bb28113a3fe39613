"""Calls of a running service as tools of an agent, by the Model Context Protocol. Start at `tool_server`.

A tool has the name, arguments and docstring of its call in the Python client, which sends it. All tools read.
"""

import inspect
from collections.abc import Awaitable, Callable
from functools import wraps
from importlib.metadata import version
from typing import Any, get_args

import httpx2
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

from clairo_client import AsyncCLAIRO, ProblemError, calls
from clairo_client.calls import Call

MakeCall = Callable[..., Call[Any]]

TOOLS: tuple[MakeCall, ...] = (
    calls.recommend,
    calls.list_similar_items,
    calls.list_items_bought_together,
    calls.list_complements,
    calls.list_popular_items,
    calls.list_trending_items,
    calls.list_latest_items,
    calls.list_items,
    calls.get_item,
)
INSTRUCTIONS = (
    "Recommendations and catalogue of a shop. Items are named by item_id; find one with list_items and q. "
    "A filter is JSON on attributes: get_item shows those of an item."
)


def tool_server(client: AsyncCLAIRO) -> MCPServer:
    """An MCP server whose tools send calls through `client`."""
    server: MCPServer = MCPServer("clairo", instructions=INSTRUCTIONS, version=version("clairo"), log_level="WARNING")
    for make in TOOLS:
        server.add_tool(tool_of(client, make), annotations=ToolAnnotations(read_only_hint=True))
    return server


def tool_of(client: AsyncCLAIRO, make: MakeCall) -> Callable[..., Awaitable[Any]]:
    """A call as a function from its arguments to its answer, with types for the SDK to describe."""

    @wraps(make)
    async def tool(**arguments: Any) -> Any:
        try:
            return await client.send(make(**arguments))
        except ProblemError as error:
            raise ToolError(str(error)) from error
        except httpx2.TransportError as error:
            raise ToolError(f"the service does not answer ({error}); check that it runs at the --url given") from error

    signature = inspect.signature(make)
    (answer,) = get_args(signature.return_annotation)
    tool.__signature__ = signature.replace(return_annotation=answer)  # type: ignore[attr-defined]
    return tool


async def serve_tools(url: str, api_key: str | None) -> None:
    """Serve the tools over standard input and output until the input ends."""
    async with AsyncCLAIRO(url, api_key=api_key) as client:
        await tool_server(client).run_stdio_async()
