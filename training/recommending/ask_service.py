"""Ask a running service for the lists of all its users, into one file. Start at `ask_service`.

The service answers as POST /recommend: with its placements, posted items, live counts and experiments.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pyarrow as pa

from clairo_client import CLAIRO, ProblemError, RecommendRequest
from clairo_client.answers import RecommendAnswer
from clairo_core.errors import SettingsError, TrainingError
from clairo_core.progress import Progress
from clairo_core.storage.replaced_file import replace_text
from training.recommending.parts_folder import MAX_AGE_SECONDS, PartsFolder
from training.recommending.recommendations_file import check_out, table_of
from training.recommending.write_lists import USERS_PER_PART, write_lists

MAX_LIMIT = 100
"""Of POST /recommend."""
USERS_FILE = "users.json"
USERS_PER_PAGE = 1000
USERS_PER_CALL = 32
"""As many as one call of POST /recommend/batch computes at once."""
CALLS_AT_ONCE = 2
"""One is computed while the other travels: a shop's page waits behind 64 users at most."""
TIMEOUT_SECONDS = 600
WAITS_SECONDS = (0.5, 1, 2, 4, 8, 16, 30)
"""Before users are asked for again whom a busy service refused."""
BUSY = frozenset({429, 503, 504})


def is_address(text: str) -> bool:
    """Whether a text is a service's address and no folder.

    >>> is_address("http://127.0.0.1:8000"), is_address("bundles/demo")
    (True, False)
    """
    return urlsplit(text).scheme in ("http", "https")


def ask_service(
    url: str,
    placement: str | None,
    out: Path,
    limit: int,
    *,
    api_key: str | None,
    progress: Progress,
    report: Callable[[str], None],
) -> str:
    """Write what the service recommends to each of its users. The next run after a kill resumes. Return a summary.

    Users are those of GET /users when the run began. Another version of the placement begins again.

    Args:
        url: of the service.
        placement: whose rules apply; None is the one named `default`, if saved.
        out: file, Parquet or CSV by its ending.
        limit: items per user, up to `MAX_LIMIT`.
        api_key: of scope read, if the service has keys.
        progress: over users.
        report: gets one line per step.

    Raises:
        SettingsError: `out`, `limit`, `url` or `placement` is wrong.
        TrainingError: the service cannot be reached, or refuses.
        OSError: a file cannot be written.
    """
    started_at = time.monotonic()
    if limit > MAX_LIMIT:
        raise SettingsError(f"--limit {limit}: a service answers up to {MAX_LIMIT} items; lower the limit")
    if not urlsplit(url).netloc:
        raise SettingsError(f"{url!r}: expected http://HOST:PORT or https://HOST")
    check_out(out)
    with CLAIRO(url, api_key=api_key, timeout_seconds=TIMEOUT_SECONDS) as service:
        try:
            plan = {"service": url, "limit": limit, "users_per_part": USERS_PER_PART}
            plan |= {"placement": placement, "version": _placement_version(service, placement)}
            out.parent.mkdir(parents=True, exist_ok=True)
            parts = PartsFolder.open(out, plan, MAX_AGE_SECONDS)
            user_ids = _users_of(service, parts, progress)
            asked: RecommendRequest = {"limit": limit}
            if placement is not None:
                asked["placement"] = placement

            def recommend(left: Sequence[range]) -> Iterator[pa.Table]:
                for users in left:
                    ids = user_ids[users.start : users.stop]
                    yield table_of(ids, _answers(service, [{**asked, "user_id": user_id} for user_id in ids]))

            return write_lists(
                out, parts, len(user_ids), recommend, started_at=started_at, progress=progress, report=report
            )
        except ProblemError as error:
            hint = "; set CLAIRO_API_KEY to a key of scope read" if error.status in (401, 403) else ""
            raise TrainingError(f"the service at {url} refused: {error}{hint}") from error
        except httpx2.TransportError as error:
            raise TrainingError(
                f"the service at {url} does not answer ({error}); check that it runs there, then run again to resume"
            ) from error


def _placement_version(service: CLAIRO, placement: str | None) -> int | None:
    """The version of the placement's rules; None without rules."""
    saved = {one.name: one.version for one in service.list_placements().placements}
    if placement is not None and placement not in saved:
        raise SettingsError(
            f"--placement {placement} is not saved in the service, which has {', '.join(saved) or 'none'}; "
            "save it with PUT /placements first"
        )
    return saved.get(placement or "default")


def _users_of(service: CLAIRO, parts: PartsFolder, progress: Progress) -> list[str]:
    """All users of the service, each once; those of the run's beginning if it resumes."""
    file = parts.folder / USERS_FILE
    if not file.is_file():
        pages: Iterator[list[str]] = iter(progress(_user_pages(service), "listing users, in thousands", None))
        # A user whose only event is removed meanwhile may be listed again, as one of the bundle's.
        replace_text(file, json.dumps(list(dict.fromkeys(chain.from_iterable(pages)))))
    user_ids: list[str] = json.loads(file.read_text(encoding="utf-8"))
    return user_ids


def _user_pages(service: CLAIRO) -> Iterator[list[str]]:
    cursor: str | None = None
    while True:
        page = service.list_users(cursor=cursor, limit=USERS_PER_PAGE)
        yield [user.user_id for user in page.users]
        cursor = page.next_cursor
        if cursor is None:
            return


def _answers(service: CLAIRO, requests: Sequence[RecommendRequest]) -> list[RecommendAnswer]:
    """Answers in order, from a bounded number of calls at once."""
    calls = [requests[start : start + USERS_PER_CALL] for start in range(0, len(requests), USERS_PER_CALL)]
    with ThreadPoolExecutor(CALLS_AT_ONCE) as pool:
        return list(chain.from_iterable(pool.map(lambda call: _answers_of_call(service, call), calls)))


def _answers_of_call(service: CLAIRO, requests: Sequence[RecommendRequest]) -> list[RecommendAnswer]:
    """Answers in order. Requests that a busy service refused are sent again."""
    answers: dict[int, RecommendAnswer] = {}
    for wait_seconds in (0.0, *WAITS_SECONDS):
        time.sleep(wait_seconds)
        waiting = [number for number in range(len(requests)) if number not in answers]
        results = service.recommend_batch([requests[number] for number in waiting]).results
        problems = {}
        for number, result in zip(waiting, results, strict=True):
            if result.recommendation is not None:
                answers[number] = result.recommendation
            elif result.problem is not None:
                problems[number] = result.problem
        if not problems:
            return [answers[number] for number in range(len(requests))]
        wrong = {number: problem for number, problem in problems.items() if problem.status not in BUSY}
        if wrong:
            break
    number, problem = next(iter((wrong or problems).items()))
    raise TrainingError(
        f"the service refused user {requests[number]['user_id']!r}: {problem.status} {problem.title}: "
        f"{problem.detail}; run again to resume"
    )
