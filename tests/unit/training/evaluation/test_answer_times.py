"""Times of single answers."""

from training.evaluation.answer_times import time_answers


def test_warm_up_answers_are_not_timed() -> None:
    asked: list[int] = []
    assert len(time_answers(asked.append, 8)) == 3
    assert asked == list(range(8))
    assert len(time_answers(asked.append, 2)) == 2, "with too few users, warm-up answers are timed"
