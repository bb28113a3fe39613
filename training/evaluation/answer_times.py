"""Time answers to single users."""

import time
from collections.abc import Callable

ANSWERS_TIMED = 40
ANSWERS_UNTIMED = 5
"""Warm-up answers: code is compiled, caches fill."""


def time_answers(answer: Callable[[int], object], num_users: int) -> tuple[float, ...]:
    """Measure the milliseconds of `answer(user)` for the first users, after a few warm-up answers."""
    milliseconds = []
    for number in range(min(ANSWERS_UNTIMED + ANSWERS_TIMED, num_users)):
        started = time.perf_counter()
        answer(number)
        milliseconds.append((time.perf_counter() - started) * 1000)
    return tuple(milliseconds[ANSWERS_UNTIMED:] or milliseconds)
