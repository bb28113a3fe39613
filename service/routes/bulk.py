"""POST /items/bulk and GET /jobs: many items at once, and job progress. Start at `submitted_job`."""

import asyncio
import uuid
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from clairo_core.errors import ContentTooLargeError
from service.errors import InvalidBodyError, OverloadedError, UnknownJobError
from service.http.body_route import BodyRoute
from service.http.idempotency import PARAMETER, Attempt, digest_of_texts
from service.http.openapi import problem_answers
from service.http.root_path import linked
from service.jobs.bulk import MAX_UNFINISHED_JOBS
from service.jobs.bulk_body import MAX_ROWS, LinesRead, row_batches
from service.routes.cursors import position_cursor, position_of
from service.routes.parts import Parts, ReadyParts
from service.schemas.jobs import MAX_PAGE_ROWS, JobAnswer, JobList, JobSummary, RejectedRow
from service.schemas.request_body import QueryInteger
from service.store.jobs import KEPT_JOBS, Job, JobKind

router = APIRouter(tags=["items"], route_class=BodyRoute)

MEDIA_TYPES = ("application/x-ndjson", "application/jsonl", "application/x-jsonlines", "application/octet-stream")
"""The last one for generated clients that know none of the others."""
EXAMPLE_ROWS = """{"item_id": "mug-noon", "title": "Noon mug", "attributes": {"brand": "Fjord"}}
{"item_id": "mug-dusk", "title": "Dusk mug", "description": "Stoneware, violet glaze"}
"""
EXAMPLE_PATCHES = """{"item_id": "mug-dawn", "attributes": {"price": "17.00"}}
{"item_id": "mug-dawn-2", "attributes": {"price": null}}
"""


def job_of_lines(row: str, example: str, rows: str) -> dict[str, Any]:
    """What every call that takes lines as a job declares; `row` describes a line, and `rows` are the example's."""
    schema = {"type": "string", "format": "binary", "description": f"{row} per line."}
    content = {media_type: {"schema": schema, "examples": {example: {"value": rows}}} for media_type in MEDIA_TYPES}
    location = {"Location": {"description": "The job's url.", "schema": {"type": "string"}}}
    return {
        "status_code": 202,
        "response_model": JobSummary,
        "responses": {202: {"headers": location}, **problem_answers(400, 413, 415, 422, 429, 503)},
        "openapi_extra": {"requestBody": {"required": True, "content": content}, "parameters": [PARAMETER]},
    }


@router.post(
    "/items/bulk",
    operation_id="create_items",
    summary="Add or change many products",
    **job_of_lines("One item, as the JSON body of POST /items,", "two mugs", EXAMPLE_ROWS),
)
async def create_items(request: Request, parts: ReadyParts) -> Response:
    """JSON Lines: one item per line, as the JSON body of POST /items; at most 100,000 lines and 256 MiB.

    202 once all lines are stored. The job puts them in order, as PUT /items/{item_id} would, and resumes after a
    restart. An invalid line is rejected; the job lists the reason. Jobs run one at a time.
    """
    return await submitted_job(request, parts, JobKind.ITEMS, "create_items", MAX_ROWS)


@router.patch(
    "/items/bulk",
    operation_id="patch_item_lines",
    summary="Change fields of many products",
    **job_of_lines("One change, as in `items` of PATCH /items,", "two prices", EXAMPLE_PATCHES),
)
async def patch_item_lines(request: Request, parts: ReadyParts) -> Response:
    """JSON Lines: one change per line, with `item_id`, as in PATCH /items; at most 100,000 lines and 256 MiB.

    202 once all lines are stored. The job applies them in order and resumes after a restart. A line of an unknown item
    or with an invalid value is rejected; the job lists the reason. For a price list of a whole shop.
    """
    return await submitted_job(request, parts, JobKind.PATCHES, "patch_item_lines", MAX_ROWS)


@router.get(
    "/jobs",
    operation_id="list_jobs",
    summary="List jobs",
    responses=problem_answers(503),
)
async def list_jobs(parts: ReadyParts) -> JobList:
    """Every job, the newest first. All unfinished ones and the last hundred finished ones are kept."""
    kept = await parts.jobs.newest(KEPT_JOBS + MAX_UNFINISHED_JOBS)
    return JobList(jobs=[job_summary(job) for job in kept])


@router.get(
    "/jobs/{job_id}",
    operation_id="get_job",
    summary="Job progress",
    responses=problem_answers(404, 422, 503),
)
async def get_job(
    job_id: Annotated[str, Path(max_length=64, description="job_id from POST /items/bulk or /feedback/bulk.")],
    parts: ReadyParts,
    cursor: Annotated[str | None, Query(max_length=64, description="next_cursor of the previous page.")] = None,
    limit: Annotated[QueryInteger, Query(ge=1, le=MAX_PAGE_ROWS, description="Rejected rows per page.")] = 100,
) -> JobAnswer:
    """Counts of rows done, accepted and rejected, and why each was rejected. The last hundred jobs are kept."""
    from_position = 0 if cursor is None else position_of(cursor)
    job = await _found(parts, job_id)
    rejected = await parts.jobs.rejected_rows(job_id, from_position, limit + 1)
    return JobAnswer(
        **job_summary(job).model_dump(),
        rejected=[RejectedRow(line=row.line, reason=row.reason or "") for row in rejected[:limit]],
        next_cursor=position_cursor(rejected[limit].position) if len(rejected) > limit else None,
    )


def job_summary(job: Job) -> JobSummary:
    """A job as JSON."""
    return JobSummary.model_validate(job, from_attributes=True)


async def submitted_job(request: Request, parts: Parts, kind: JobKind, call: str, max_rows: int) -> Response:
    """Store a body's lines as a job, and answer 202.

    Raises:
        OverloadedError: too many jobs are unfinished.
        ContentTooLargeError: there are more than `max_rows` lines.
        InvalidBodyError: there are none.
    """
    if await parts.jobs.num_unfinished() >= MAX_UNFINISHED_JOBS:
        raise OverloadedError(f"{MAX_UNFINISHED_JOBS} jobs are unfinished, the maximum; retry when one is done")
    job_id = uuid.uuid4().hex
    await parts.jobs.begin(job_id, kind)
    is_submitted = False
    try:
        read = await _receive(request, parts, job_id, max_rows)

        async def submit(_: Attempt) -> Response:
            nonlocal is_submitted
            await parts.jobs.submit(job_id, read.num_rows)
            is_submitted = True
            parts.bulk_jobs.wake()
            body = job_summary(await _found(parts, job_id)).model_dump_json()
            return Response(body, 202, {"Location": linked(f"/jobs/{job_id}")}, "application/json")

        digest = digest_of_texts(read.digest.hexdigest())
        return await parts.answered_once.answer(request, call, digest, submit)
    finally:
        if not is_submitted:
            # Also if the client disconnected: a half-received job must not stay.
            await asyncio.shield(parts.jobs.discard(job_id))


async def _receive(request: Request, parts: Parts, job_id: str, max_rows: int) -> LinesRead:
    """Store the body's rows as they arrive."""
    read = LinesRead()
    async with aclosing(row_batches(request.stream(), read, max_rows)) as batches:
        async for rows in batches:
            if read.num_rows > max_rows:
                raise ContentTooLargeError(f"the body has more than {max_rows:,} rows; split them over several jobs")
            await parts.jobs.add_rows(job_id, rows)
    if not read.num_rows:
        raise InvalidBodyError("the body has no rows; send one per line", [{"loc": ["body"], "msg": "no lines"}])
    return read


async def _found(parts: Parts, job_id: str) -> Job:
    job = await parts.jobs.find(job_id) if job_id.isalnum() and job_id.isascii() else None
    if job is None:
        raise UnknownJobError(f"no job {job_id!r}; only the last hundred finished jobs are kept")
    return job
