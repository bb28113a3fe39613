"""JSON of bulk jobs."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

MAX_PAGE_ROWS = 1000


class RejectedRow(BaseModel):
    """A rejected row, and the reason."""

    line: int = Field(description="Counted from 1, blank lines included.")
    reason: str


class JobSummary(BaseModel):
    """Job progress."""

    job_id: str
    kind: Literal["items", "patches", "feedback"] = Field(default="items", description="What a row is.")
    state: Literal["receiving", "waiting", "running", "done"]
    num_rows: int
    num_done: int
    num_accepted: int = Field(
        description="Rows whose item was created, changed, restored or unchanged, or whose event is stored."
    )
    num_rejected: int
    num_duplicates: int = Field(default=0, description="Among the accepted rows: events that were stored before.")
    num_undeclared: int = Field(
        default=0,
        description="Among the accepted rows: events that count for nothing: the bundle's rules do not declare them.",
    )
    undeclared_types: dict[str, int] = Field(
        default={}, description="How many of them have each type, for the first hundred types."
    )
    created_at: datetime
    finished_at: datetime | None


class JobList(BaseModel):
    """Jobs, the newest first."""

    jobs: list[JobSummary]


class JobAnswer(JobSummary):
    """Job progress, and a page of rejected rows."""

    rejected: list[RejectedRow]
    next_cursor: str | None = Field(description="`cursor` of the next page of rejected rows; null at the end.")
