"""Split a body of lines, as it arrives, into rows of a job: one per line, without blank lines.

Holds at most one batch of rows, however large the body.
"""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field

from clairo_core.errors import ContentTooLargeError
from service.store.jobs import JobRow

MAX_BODY_BYTES = 256 * 1024 * 1024
MAX_LINE_BYTES = 16 * 1024 * 1024
"""The limit of POST /items."""
MAX_ROWS = 100_000
MAX_LINES = 1_000_000
"""Blank ones included: 256 MiB of them would take minutes to skip, and arrive as a few kilobytes of gzip."""
ROWS_PER_BATCH = 500
BYTES_PER_BATCH = 4 * 1024 * 1024


@dataclass(slots=True)
class LinesRead:
    """Rows and digest of a body so far."""

    num_rows: int = 0
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)


async def row_batches(
    body: AsyncIterator[bytes], read: LinesRead, max_rows: int = MAX_ROWS
) -> AsyncGenerator[list[JobRow]]:
    """Yield the body's rows in batches, and keep `read` up to date.

    A line over `MAX_LINE_BYTES` becomes a row without content but with a reason. Stops one row after `max_rows`, so
    that the caller can refuse the body.

    Raises:
        ContentTooLargeError: more than `MAX_LINES` lines.
    """
    batch: list[JobRow] = []
    batch_bytes = 0
    async for line_number, line in _lines(body, read):
        if line_number > MAX_LINES:
            raise ContentTooLargeError(f"the body has more than {MAX_LINES:,} lines; leave out blank ones")
        row = _row(read.num_rows, line_number, line)
        if row is None:
            continue
        read.num_rows += 1
        batch.append(row)
        batch_bytes += len(row.content or b"")
        if len(batch) == ROWS_PER_BATCH or batch_bytes >= BYTES_PER_BATCH or read.num_rows > max_rows:
            yield batch
            batch, batch_bytes = [], 0
        if read.num_rows > max_rows:
            return
    if batch:
        yield batch


async def _lines(body: AsyncIterator[bytes], read: LinesRead) -> AsyncIterator[tuple[int, bytes | None]]:
    """Yield line numbers, from 1, and lines; None for a line that is too long."""
    pending = bytearray()
    is_too_long = False
    number = 1
    async for chunk in body:
        read.digest.update(chunk)
        *ended, rest = chunk.split(b"\n")
        for part in ended:
            pending += part
            too_long = is_too_long or len(pending) > MAX_LINE_BYTES
            yield number, None if too_long else bytes(pending)
            pending.clear()
            is_too_long = False
            number += 1
        pending += rest
        if len(pending) > MAX_LINE_BYTES:
            is_too_long = True
            pending.clear()
    if pending or is_too_long:
        yield number, None if is_too_long else bytes(pending)


def _row(position: int, line_number: int, line: bytes | None) -> JobRow | None:
    if line is None:
        return JobRow(position, line_number, None, f"the line is longer than {MAX_LINE_BYTES:,} bytes")
    content = line.removeprefix(b"\xef\xbb\xbf") if line_number == 1 else line
    return JobRow(position, line_number, content) if content.strip() else None
