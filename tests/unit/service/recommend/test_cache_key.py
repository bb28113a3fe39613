"""Two answers that differ by a rule have two keys."""

from dataclasses import replace

import numpy as np

from clairo_core.items import UserHistory
from clairo_core.selection.item_filters import IsNew
from clairo_core.serving_points import ServingPoint
from service.recommend.recommendations import cache_key
from service.recommend.rules import RulesOfMoment
from service.recommend.wanted import Boost, Group, Pin, Wanted

WANTED = Wanted(history=UserHistory(("a",)), limit=3)
BOOST = Boost("boost-1", IsNew(), 0.7)
MASK, OTHER_MASK = np.array([True, False]), np.array([False, True])


def test_answers_under_different_rules_have_different_keys() -> None:
    requests = [
        (WANTED, RulesOfMoment()),
        (replace(WANTED, candidates=()), RulesOfMoment()),
        (replace(WANTED, candidates=("a", "b")), RulesOfMoment()),
        (replace(WANTED, candidates=("b", "a")), RulesOfMoment()),
        (replace(WANTED, given=("b",)), RulesOfMoment()),
        (replace(WANTED, exclude=("b",)), RulesOfMoment()),
        (replace(WANTED, group=Group("group", "brand", 2)), RulesOfMoment()),
        (replace(WANTED, group=Group("group", "brand", 3)), RulesOfMoment()),
        (replace(WANTED, group=Group("group", "kind", 2)), RulesOfMoment()),
        (WANTED, RulesOfMoment(pins=(Pin("pin-1", "b", 1),))),
        (WANTED, RulesOfMoment(pins=(Pin("pin-1", "b", 2),))),
        (WANTED, RulesOfMoment(pins=(Pin("hero", "b", 1),))),
        (WANTED, RulesOfMoment(is_allowed=MASK)),
        (WANTED, RulesOfMoment(boosted=((BOOST, MASK),))),
        (WANTED, RulesOfMoment(boosted=((BOOST, OTHER_MASK),))),
        (WANTED, RulesOfMoment(boosted=((replace(BOOST, log_factor=0.8), MASK),))),
        (WANTED, RulesOfMoment(boosted=((replace(BOOST, name="lamps"), MASK),))),
        (WANTED, RulesOfMoment(stranger_weights=np.array([1.0, 2.0]))),
        (WANTED, RulesOfMoment(stranger_weights=np.array([2.0, 1.0]))),
    ]
    keys = {cache_key("bundle", 1, ServingPoint(1, 1), wanted, 0.0, rules) for wanted, rules in requests}
    assert len(keys) == len(requests)


def test_the_placement_of_a_request_is_no_part_of_its_key() -> None:
    of_home, of_none = (
        cache_key("bundle", 1, ServingPoint(1, 1), replace(WANTED, placement=name), 0.0, RulesOfMoment())
        for name in ("home", None)
    )
    assert of_home == of_none
