"""Answer every request with the same bytes, by uvicorn alone: the least that an answer of the service can cost.

python -m benchmarks.service.bare_server PORT
"""

import sys

import uvicorn
from starlette.types import Receive, Scope, Send

BODY = b"x" * 2000
"""About the size of ten recommendations."""


async def answer(_scope: Scope, receive: Receive, send: Send) -> None:
    """Read a request's body, and answer."""
    await receive()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})


if __name__ == "__main__":
    uvicorn.run(answer, port=int(sys.argv[1]), log_config=None, access_log=False, lifespan="off")
