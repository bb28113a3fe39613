"""Experiments: stable arms by share, independent of each other; each event counts once."""

import pytest

from clairo_core.errors import SettingsError
from clairo_core.events import Condition, EventType, InteractionRules
from service.bundles import outcomes as outcomes_module
from service.bundles.experiment import Arm, Experiment, parsed_experiment
from service.bundles.outcomes import ArmCounts, Outcomes
from tests.fake_feedback import FakeFeedback

HALF = Experiment("half", 0.5, "shop-2")
USERS = [f"user-{number}" for number in range(4000)]


def test_a_user_stays_in_one_arm_and_the_share_is_kept() -> None:
    for share in (0.0, 0.1, 0.5, 1.0):
        experiment = Experiment("share", share, "shop-2")
        arms = [experiment.arm_of(user) for user in USERS]
        assert arms == [experiment.arm_of(user) for user in USERS]
        assert arms.count(Arm.TREATMENT) / len(USERS) == pytest.approx(share, abs=0.03)


def test_raising_the_share_moves_no_user_out_of_the_treatment() -> None:
    tenth = Experiment("grow", 0.1, "shop-2")
    third = Experiment("grow", 0.3, "shop-2")
    for user in USERS:
        assert tenth.arm_of(user) is Arm.CONTROL or third.arm_of(user) is Arm.TREATMENT


def test_experiments_of_other_names_split_independently() -> None:
    other = Experiment("other", 0.5, "shop-2")
    both = sum(HALF.arm_of(user) is other.arm_of(user) is Arm.TREATMENT for user in USERS)
    assert both / len(USERS) == pytest.approx(0.25, abs=0.03)


def test_a_recommendation_id_names_the_arm_of_its_own_experiment_only() -> None:
    marked = HALF.mark("0123abcd", Arm.TREATMENT)
    assert HALF.arm_of_recommendation(marked) is Arm.TREATMENT
    assert Experiment("other", 0.5, "shop-2").arm_of_recommendation(marked) is None
    for foreign in ("", "0123abcd", "0123abcd.half", "0123abcd.half.neither", "..", "a.b.c.d"):
        assert HALF.arm_of_recommendation(foreign) is None


@pytest.mark.parametrize(
    "text", ["", "name", "name:0.5", "name:2:shop", "name:-0.1:shop", "Name:0.5:shop", "a.b:0.5:shop", "name:0.5:"]
)
def test_a_malformed_experiment_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="name:share:bundle_id"):
        parsed_experiment(text)


@pytest.mark.parametrize(("share", "number"), [("0", 0), ("1", 1), ("0.25", 0.25), (".5", 0.5), ("1.0", 1)])
def test_a_well_formed_experiment_is_read(share: str, number: float) -> None:
    assert parsed_experiment(f"new_bundle-2:{share}:shop-0123") == Experiment("new_bundle-2", number, "shop-0123")


async def test_a_hit_counts_once_and_only_for_a_shown_recommendation() -> None:
    feedback = FakeFeedback()
    outcomes = Outcomes(HALF, feedback, InteractionRules)
    shown, ignored, unshown = (HALF.mark(name, Arm.TREATMENT) for name in ("a", "b", "c"))
    control = HALF.mark("d", Arm.CONTROL)
    for event_type, recommendation_id in [
        ("impression", shown),
        ("impression", shown),
        ("click", shown),
        ("purchase", shown),
        ("impression", ignored),
        ("dislike", ignored),
        ("click", unshown),
        ("click", control),
        ("impression", control),
        ("click", None),
        ("click", "of nobody"),
    ]:
        feedback.add(event_type, recommendation_id)
    await outcomes.catch_up()
    assert outcomes.counts[Arm.TREATMENT] == ArmCounts(0, num_shown=2, num_hit=1)
    # The click came before its impression: order does not matter.
    assert outcomes.counts[Arm.CONTROL] == ArmCounts(0, num_shown=1, num_hit=1)
    feedback.add("impression", unshown)
    await outcomes.catch_up()
    assert outcomes.counts[Arm.TREATMENT] == ArmCounts(0, num_shown=3, num_hit=2)


@pytest.mark.parametrize(
    ("event_type", "value", "is_hit"),
    [
        ("purchase", None, True),
        ("wish", None, True),
        ("return", None, False),
        ("shown", None, False),
        ("search", None, False),
        ("teleport", None, False),
        ("dislike", None, False),
        ("rating", 4.0, True),
        ("rating", 2.0, False),
        ("rating", None, False),
    ],
)
async def test_the_rules_decide_which_events_are_hits(event_type: str, value: float | None, is_hit: bool) -> None:
    rules = InteractionRules(
        types={
            "purchase": EventType(),
            "wish": EventType(is_read=False),
            "return": EventType(meaning="negative"),
            "shown": EventType(meaning="impression"),
            "search": EventType(meaning="ignored"),
            "loved": EventType(when=Condition.parse("rating >= 4")),
        }
    )
    feedback = FakeFeedback()
    outcomes = Outcomes(HALF, feedback, lambda: rules)
    feedback.add("shown", HALF.mark("a", Arm.CONTROL))
    feedback.add(event_type, HALF.mark("a", Arm.CONTROL), value)
    await outcomes.catch_up()
    assert outcomes.counts[Arm.CONTROL] == ArmCounts(0, num_shown=1, num_hit=int(is_hit))


async def test_events_after_a_swap_are_read_by_the_new_bundles_rules() -> None:
    rules = InteractionRules()
    feedback = FakeFeedback()
    outcomes = Outcomes(HALF, feedback, lambda: rules)
    for name in ("before", "after"):
        feedback.add("impression", HALF.mark(name, Arm.CONTROL))
        feedback.add("view", HALF.mark(name, Arm.CONTROL))
        await outcomes.catch_up()
        rules = InteractionRules(types={"view": EventType(meaning="ignored"), "purchase": EventType()})
    assert outcomes.counts[Arm.CONTROL] == ArmCounts(0, num_shown=2, num_hit=1)


async def test_remembered_recommendations_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes_module, "MAX_TRACKED", 10)
    monkeypatch.setattr(outcomes_module, "EVENTS_AT_ONCE", 7)
    feedback = FakeFeedback()
    outcomes = Outcomes(HALF, feedback, InteractionRules)
    for number in range(100):
        feedback.add("impression", HALF.mark(str(number), Arm.CONTROL))
    await outcomes.catch_up()
    assert outcomes.counts[Arm.CONTROL].num_shown == 100
    assert len(outcomes._tracked) == 10


def test_the_interval_contains_the_rate_and_narrows_with_more_users() -> None:
    assert ArmCounts().interval is None
    assert ArmCounts().hit_rate is None
    few, many = ArmCounts(0, 20, 4).interval, ArmCounts(0, 2000, 400).interval
    assert few is not None
    assert many is not None
    # By hand, for 4 of 20: (0.2 + 0.09604 -+ 0.2102) / 1.19207.
    assert few == pytest.approx((0.0807, 0.4160), abs=1e-3)
    assert few[0] < many[0] < 0.2 < many[1] < few[1]


async def test_a_removed_event_counts_for_no_arm() -> None:
    feedback = FakeFeedback()
    outcomes = Outcomes(HALF, feedback, InteractionRules)
    outcomes.counts[Arm.TREATMENT].num_served = 5
    for event_type in ("impression", "purchase"):
        feedback.add(event_type, HALF.mark("a", Arm.TREATMENT))
    await outcomes.catch_up()
    assert outcomes.counts[Arm.TREATMENT] == ArmCounts(5, num_shown=1, num_hit=1)
    feedback.remove("purchase")
    await outcomes.catch_up()
    assert outcomes.counts[Arm.TREATMENT] == ArmCounts(5, num_shown=1, num_hit=0)
