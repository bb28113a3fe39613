"""Timing of calls that take turns."""

from benchmarks.speed.timing import fastest_in_turn, timed


def test_sides_take_turns_and_each_counts_its_fastest_call():
    now, calls = [0.0], []

    def side(name, durations):
        remaining = iter(durations)

        def call():
            calls.append(name)
            now[0] += next(remaining)

        return call

    ours, rival = side("ours", [3.0, 1.0, 2.0]), side("rival", [5.0])
    assert fastest_in_turn({"ours": (ours, 3), "rival": (rival, 1)}, lambda: now[0]) == {"ours": 1.0, "rival": 5.0}
    assert calls == ["ours", "rival", "ours", "ours"]


def test_a_timed_call_returns_its_result_and_its_seconds():
    result, seconds = timed(lambda: "done")
    assert result == "done"
    assert seconds >= 0
