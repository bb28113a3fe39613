"""The JSON of bulk jobs: what clients get. Never passed inward."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

MAX_PAGE_ROWS = 1000


class RejectedRow(BaseModel):
    """A row that was not taken."""

    line: int = Field(description="Counted from 1, blank lines included.")
    reason: str


class JobSummary(BaseModel):
    """A job as it stands."""

    job_id: str
    state: Literal["receiving", "waiting", "running", "done"]
    num_rows: int
    num_done: int
    num_accepted: int = Field(description="Added, changed, brought back, or there with this content already.")
    num_rejected: int
    created_at: datetime
    finished_at: datetime | None


class JobAnswer(JobSummary):
    """A job as it stands, and some of the rows that were rejected so far."""

    rejected: list[RejectedRow]
    next_cursor: str | None = Field(description="Give it as `cursor` to get further rejected rows; null at the end.")
