"""The table of several rankers, its files, its page and its charts."""

import json
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clairo_core.errors import SettingsError, TrainingError
from clairo_core.progress import silent
from training.baselines.counting_baselines import COUNTING_BASELINES
from training.baselines.fit_sequence_model import FitBudget
from training.comparison.figures import Comparison, compare_rankings
from training.comparison.run_comparison import ComparisonPlan, baseline_names, compare_on
from training.comparison.run_details import RunDetails
from training.comparison.svg_charts import Bar, Dot, Line, Span, bar_rows, dot_plot, line_chart, nice_ticks, scatter
from training.config.preset import TIME, Preset, SplitSettings
from training.evaluation.metrics import ndcg_at
from training.evaluation.rankings import Ranking, Rankings
from training.evaluation.slices import UserSlice
from training.evaluation.split import SEEN_ITEMS

SHOP = """
name = "corner shop"
[items]
file = "items.csv"
item_id = "item"
texts = ["title"]
[interactions]
file = "interactions.csv"
user_id = "user"
item_id = "item"
timestamp = "time"
"""


def rankings_of(ranks: list[int]) -> Rankings:
    shown = np.zeros((len(ranks), 10), dtype=np.int32)
    return {mode: Ranking(np.array(ranks), shown) for mode in SEEN_ITEMS}


def test_differences_are_paired_by_user_and_by_slice() -> None:
    slices = (
        UserSlice("all", "all", np.array([True] * 4)),
        UserSlice("training count", "<5", np.array([True, True, False, False])),
    )
    rankings = {"weak": [rankings_of([0, 0, 3, 3])], "strong": [rankings_of([1, 1, 3, 3])]}
    measured = compare_rankings(rankings, dict.fromkeys(SEEN_ITEMS, slices), np.array([1, 2]), num_resamples=200)
    overall, tail = (row for row in measured.differences if (row.seen_items, row.metric) == ("masked", "ndcg@10"))
    assert (overall.ranker, overall.other, overall.num_users) == ("strong", "weak", 4)
    assert overall.value == pytest.approx((ndcg_at(np.array([1, 1, 3, 3]), 10)).mean() - 0.25)
    assert overall.low <= overall.value <= overall.high
    assert (tail.slice_label, tail.num_users, tail.value, tail.low, tail.high) == ("<5", 2, 1.0, 1.0, 1.0)
    metrics = {row.metric for row in measured.figures if row.slice_kind == "all"}
    assert metrics == {"recall@5", "recall@10", "recall@20", "recall@50", "ndcg@5", "ndcg@10", "ndcg@20"}


def test_seeds_are_averaged_by_user_and_their_spread_is_reported() -> None:
    everybody = (UserSlice("all", "all", np.array([True] * 2)),)
    rankings = {"lucky": [rankings_of([1, 0]), rankings_of([1, 1])], "steady": [rankings_of([1, 0])]}
    measured = compare_rankings(rankings, dict.fromkeys(SEEN_ITEMS, everybody), np.array([1, 2]), num_resamples=50)
    lucky, steady = (row for row in measured.figures if (row.seen_items, row.metric) == ("masked", "recall@10"))
    assert (lucky.value, lucky.num_seeds) == (0.75, 2)
    assert lucky.spread == pytest.approx(0.5**0.5 / 2)
    assert (steady.value, steady.num_seeds, steady.spread) == (0.5, 1, 0.0)
    difference = next(row for row in measured.differences if (row.seen_items, row.metric) == ("masked", "recall@10"))
    assert difference.value == pytest.approx(-0.25)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Forty users who cycle through the same eight items: the next item is certain."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "dataset.toml").write_text(SHOP, encoding="utf-8")
    items = [f"i{item},thing {item}" for item in range(8)]
    (folder / "items.csv").write_text("\n".join(["item,title", *items]), encoding="utf-8")
    bought = [f"u{user},i{(user + step) % 8},{step}" for user in range(40) for step in range(6)]
    (folder / "interactions.csv").write_text("\n".join(["user,item,time", *bought]), encoding="utf-8")
    return folder


def plan_of(*baselines: str, bundles: tuple[Path, ...] = (), max_users: int = 0) -> ComparisonPlan:
    return ComparisonPlan(baselines, bundles, "test", max_users, 50, "cpu")


def test_one_call_writes_every_file_and_a_second_reuses_the_results(shop: Path, tmp_path: Path) -> None:
    out, news = tmp_path / "out", []
    table = compare_on(shop, plan_of("popularity", "markov", "ease"), out, silent, news.append)
    assert "corner shop, test: 40 users, full ranking over 8 items" in table
    # Nobody repeats: the best number for repeats is minus infinity, so weighed is masked.
    assert "\nmasked: as weighed, here and below\ncoverage@10: share of the catalogue" in table
    by_mode = Counter(
        line.split()[0] for line in table.splitlines() if line.startswith(("allowed", "weighed", "masked"))
    )
    assert by_mode["allowed"] == by_mode["weighed"] > by_mode["masked:"] == 1
    assert by_mode["masked"] == 0
    assert not news
    assert compare_on(shop, plan_of("popularity", "markov", "ease"), out, silent, news.append) == table
    assert len([message for message in news if "unchanged" in message]) == 3
    figures = pq.read_table(out / "figures.parquet").to_pylist()
    markov = next(row for row in figures if (row["ranker"], row["metric"]) == ("markov", "ndcg@10"))
    assert markov["value"] == 1.0
    assert pq.read_table(out / "ranks.parquet").num_rows == 40
    assert pq.read_table(out / "differences.parquet").num_rows > 0
    assert (out / "results.json").stat().st_size > 0


def viewed_and_bought(shop: Path, num_different: int, num_events: int = 2) -> Path:
    """The shop with every item of a user viewed and then bought, and `num_different` items per user."""
    events = [
        f"u{user},i{(user + step) % 8},{10 * step + again}"
        for user in range(40)
        for step in range(num_different)
        for again in range(num_events)
    ]
    (shop / "interactions.csv").write_text("\n".join(["user,item,time", *events]), encoding="utf-8")
    return shop


def test_masked_rankings_have_targets_of_their_own_where_users_repeat(shop: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    table = compare_on(viewed_and_bought(shop, 5), plan_of("markov"), out, silent, lambda _: None)
    assert "40 users, full ranking" in table
    (first, *_) = pq.read_table(out / "ranks.parquet").to_pylist()
    assert (first["target_item_id"], first["masked_target_item_id"]) == ("i4", "i4")
    # Seen items allowed, the purchase follows the view; masked, the next item follows the last.
    figures = pq.read_table(out / "figures.parquet").to_pylist()
    found = {row["seen_items"]: row["value"] for row in figures if row["metric"] == "recall@50"}
    assert (found["allowed"], found["masked"]) == (1.0, 1.0)
    assert next(row for row in figures if (row["seen_items"], row["metric"]) == ("masked", "ndcg@10"))["value"] == 1.0


def test_where_users_repeat_every_ranker_is_weighed_by_the_same_rule(shop: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    data = viewed_and_bought(shop, 4, num_events=3)
    table = compare_on(data, plan_of("popularity", "markov"), out, silent, lambda _: None)
    figures = pq.read_table(out / "figures.parquet").to_pylist()
    gain = {(row["ranker"], row["seen_items"]): row["value"] for row in figures if row["metric"] == "ndcg@10"}
    assert gain["popularity", "allowed"] < gain["popularity", "weighed"]
    assert gain["markov", "allowed"] <= gain["markov", "weighed"] == 1.0
    assert len(re.findall(r"^(?:popularity|markov): .*; weighed, repeats [+-][.\d]+$", table, re.MULTILINE)) == 2


def test_a_mode_in_which_nobody_has_a_target_is_left_out(shop: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    table = compare_on(viewed_and_bought(shop, 2), plan_of("markov"), out, silent, lambda _: None)
    assert "40 users, seen masked 0 users" in table
    assert {row["seen_items"] for row in pq.read_table(out / "figures.parquet").to_pylist()} == {"allowed", "weighed"}
    assert "masked_target_item_id" not in pq.read_table(out / "ranks.parquet").column_names
    assert 'id="weighed" checked' in (out / "report.html").read_text(encoding="utf-8")


def test_without_repeats_weighing_masks_every_ranker(shop: Path, tmp_path: Path) -> None:
    table = compare_on(shop, plan_of("popularity", "ease"), tmp_path / "out", silent, lambda _: None)
    assert table.count("weighed, repeats masked") == 2
    for row in pq.read_table(tmp_path / "out" / "ranks.parquet").to_pylist():
        assert row["ease, seen weighed"] == row["ease, seen masked"]


def test_the_tail_counts_targets_below_five_as_five(shop: Path, tmp_path: Path) -> None:
    # The shop once more, with two items that a few users buy at last: one has 6 interactions in training, one has 2.
    events = (shop / "interactions.csv").read_text(encoding="utf-8")
    for item, num_before in (("i8", 6), ("i9", 2)):
        events += "".join(f"\nv{item}{user},{item},0\nv{item}{user},i0,1" for user in range(num_before))
        events += "".join(f"\nw{item}{user},i{step},{step}" for user in range(2) for step in range(3))
        events += "".join(f"\nw{item}{user},{item},9" for user in range(2))
    (shop / "interactions.csv").write_text(events, encoding="utf-8")
    with (shop / "items.csv").open("a", encoding="utf-8") as items:
        items.write("\ni8,thing 8\ni9,thing 9\n")
    out = tmp_path / "out"
    table = compare_on(shop, plan_of("popularity"), out, silent, lambda _: None)
    assert "NDCG@10 by training count of the target (users); <10: counts below 5 taken as 5" in table
    figures = pq.read_table(out / "figures.parquet").to_pylist()
    wanted = ("training count", "masked", "ndcg@10")
    sizes = {
        row["slice_label"]: row["num_users"]
        for row in figures
        if (row["slice_kind"], row["seen_items"], row["metric"]) == wanted
    }
    assert list(sizes) == ["<5", "5-9", "<10", "20-49"]
    assert (sizes["<5"], sizes["5-9"], sizes["<10"]) == (2, 2, 4)
    assert "&lt;10" in (out / "report.html").read_text(encoding="utf-8")
    assert '"<10"' in (out / "results.json").read_text(encoding="utf-8")


def test_a_table_on_validation_says_what_was_chosen_on_its_users(shop: Path, tmp_path: Path) -> None:
    for split in ("validation", "test"):
        plan = ComparisonPlan(("popularity",), (), split, 0, 50, "cpu")
        table = compare_on(shop, plan, tmp_path / "out", silent, lambda _: None)
        page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
        assert ["chosen on these users" in text for text in (table, page)] == [split == "validation"] * 2


def test_by_time_every_table_says_so_and_has_all_later_targets(shop: Path, tmp_path: Path) -> None:
    days = [f"u{user},i{(user + step) % 8},{1_700_000_000 + 86_400 * step}" for user in range(40) for step in range(6)]
    (shop / "interactions.csv").write_text("\n".join(["user,item,time", *days, "new,i0,1700432000"]), encoding="utf-8")
    by_time = SplitSettings(TIME, horizon_days=1.0)
    plan = replace(plan_of("popularity", "markov"), held_out_by=by_time)
    out, rule = tmp_path / "out", "split by time, test from 2023-11-18 22:13 UTC"
    table = compare_on(shop, plan, out, silent, lambda _: None)
    said = f"{rule}: 80 targets, 0 of them items that training lacks; left out: 1 user without an earlier event"
    assert said in table
    page = (out / "report.html").read_text(encoding="utf-8")
    assert said in page
    assert "all items of the horizon to predict" in page
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert (results["split"], results["held_out"]["rule"]) == ("test", rule)
    figures = pq.read_table(out / "figures.parquet").to_pylist()
    assert {(row["split"], row["held_out"]) for row in figures} == {("test", rule)}
    # The next two items of everybody are certain.
    wanted = ("markov", "masked", "all")
    markov = [row for row in figures if (row["ranker"], row["seen_items"], row["slice_kind"]) == wanted]
    assert {(row["num_users"], row["value"]) for row in markov} == {(40, 1.0)}
    ranks = pq.read_table(out / "ranks.parquet").to_pylist()
    assert len(ranks) == 80
    assert sorted(row["markov, seen masked"] for row in ranks) == [1] * 40 + [2] * 40
    other = replace(plan, presets=(Preset("mine"),))
    with pytest.raises(
        SettingsError, match=r"mine has split\.kind=last, expected split\.kind=time, split\.horizon_days=1"
    ):
        compare_on(shop, other, out, silent, lambda _: None)


def test_a_neural_baseline_is_trained_once_per_seed(shop: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    budget = FitBudget(batch_size=16, max_epochs=2)

    def compare(num_seeds: int) -> tuple[str, list[str]]:
        plan = ComparisonPlan(("sasrec",), (), "test", 0, 50, "cpu", num_seeds=num_seeds, budget=budget)
        news: list[str] = []
        return compare_on(shop, plan, tmp_path / "out", silent, news.append), news

    alone, _ = compare(1)
    report = tmp_path / "out" / "report.html"
    assert "seeds" not in alone
    assert "standard deviation" not in report.read_text(encoding="utf-8")
    both, news = compare(2)
    assert "2 seeds" in both
    assert "; ± standard deviation over seeds\n" in both
    assert "± is the standard deviation over seeds" in report.read_text(encoding="utf-8")
    assert [message.split(":")[0] for message in news] == ["fit-sasrec-seed0", "rank-sasrec-seed0"]
    columns = pq.read_table(tmp_path / "out" / "ranks.parquet").column_names
    assert "sasrec, seed 1, seen masked" in columns
    assert "polyline" in report.read_text(encoding="utf-8")


def test_of_many_rankers_the_best_is_compared_with_every_other() -> None:
    slices = (UserSlice("all", "all", np.array([True] * 3)),)
    ranks = {"a": [2, 2, 2], "b": [1, 1, 1], "c": [0, 0, 0], "d": [3, 3, 3], "e": [4, 4, 4]}
    rankings = {name: [rankings_of(row)] for name, row in ranks.items()}
    measured = compare_rankings(rankings, dict.fromkeys(SEEN_ITEMS, slices), np.array([1, 2]), 20)
    details = {name: (RunDetails(),) for name in ranks}
    parts = (measured.figures, measured.differences, measured.breadths, details)
    comparison = Comparison("shop", "test", 3, 3, 2, 20, dict.fromkeys(ranks, ""), *parts)
    shown = comparison.shown_differences("masked")
    assert [(row.ranker, row.other) for row in shown] == [("b", "a"), ("b", "c"), ("b", "d"), ("b", "e")]
    assert all(0 < row.low <= row.value <= row.high for row in shown)


class PageReader(HTMLParser):
    """Collects open tags, fetched addresses and the number of charts."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.num_charts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href")]
        self.num_charts += tag == "svg"
        if tag not in ("meta", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Nothing stays open."""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_report_is_one_well_formed_page_that_fetches_nothing(shop: Path, tmp_path: Path) -> None:
    compare_on(shop, plan_of("popularity", "markov"), tmp_path / "out", silent, lambda news: None)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    reader = PageReader()
    reader.feed(page)
    assert reader.open == []
    assert reader.fetched == []
    assert reader.num_charts == 16
    assert "url(" not in page
    assert "prefers-color-scheme:dark" in page


def test_the_table_states_the_sample_of_users(shop: Path, tmp_path: Path) -> None:
    table = compare_on(shop, plan_of("popularity", max_users=7), tmp_path / "out", silent, lambda news: None)
    assert "7 of 40 users (seeded sample)" in table


def test_every_counting_baseline_stands_in_the_table_with_its_settings(shop: Path, tmp_path: Path) -> None:
    table = compare_on(shop, plan_of(*COUNTING_BASELINES), tmp_path / "out", silent, lambda _: None)
    for name, baseline in COUNTING_BASELINES.items():
        assert re.search(rf"^{name}: .*; chosen from {len(baseline.grid)} on validation", table, re.MULTILINE)


def test_baselines_follow_the_order_of_the_table() -> None:
    assert baseline_names("ease, popularity") == ("popularity", "ease")
    counting = ("markov", "ease", "graph", "vsknn", "slist", "tale")
    neural = ("sasrec", "sasrec_sampled", "esasrec", "hstu", "gru4rec", "bert4rec")
    assert baseline_names("all") == ("popularity", *counting, *neural)
    assert baseline_names("none") == ()
    for text, problem in (
        ("sasrek,ease,eaze", "names 'sasrek', 'eaze'; expected all, none, or some of popularity, markov"),
        ("all,none", "is 'all,none'; expected all alone, none alone, or some of popularity, markov"),
        ("graph,,slist,", "is 'graph,,slist,', which has an empty name; put one comma between two names"),
    ):
        with pytest.raises(SettingsError, match=f"^--baselines {problem}"):
            baseline_names(text)


def test_a_plan_that_cannot_run_is_refused_with_the_next_step(shop: Path, tmp_path: Path) -> None:
    def compare(plan: ComparisonPlan) -> None:
        compare_on(shop, plan, tmp_path / "out", silent, lambda news: None)

    with pytest.raises(SettingsError, match="nothing to compare"):
        compare(plan_of())
    with pytest.raises(SettingsError, match="--mix needs markov and ease, --baselines is markov; name both"):
        compare(ComparisonPlan(("markov",), (), "test", 0, 50, "cpu", mixes=True))
    with pytest.raises(SettingsError, match=r"manifest\.json"):
        compare(plan_of(bundles=(tmp_path / "empty",)))
    with pytest.raises(SettingsError, match="another ranker is called 'ease'"):
        compare(plan_of("popularity", bundles=(tmp_path / "ease",)))
    (shop / "interactions.csv").write_text("user,item,time\nu0,i0,0\nu0,i1,1\n", encoding="utf-8")
    with pytest.raises(TrainingError, match="no user has enough items"):
        compare(plan_of("popularity"))


@given(st.floats(-1, 1), st.floats(1e-6, 1))
def test_ticks_are_few_and_enclose_the_values(low: float, span: float) -> None:
    ticks = nice_ticks(low, low + span)
    assert ticks[0] <= low + 1e-6 * span
    assert ticks[-1] >= low + span * (1 - 1e-6)
    assert 2 <= len(ticks) <= 7


def test_labels_are_escaped_in_a_chart() -> None:
    chart = dot_plot([Span("<b>", 0.1, 0.05, 0.2, 0)], title='"quoted"')
    assert "<b>" not in chart
    assert "&lt;b&gt;" in chart


def test_a_line_passes_through_its_values() -> None:
    chart = line_chart([Line("a", [0.0, 0.5, 1.0], 0)], title="", step="epoch", starts_at_zero=True)
    assert ">epochs</text>" in chart
    assert "a: 1.0000 after 3 epochs" in chart
    assert "after 1 epoch<" in line_chart([Line("a", [0.5], 0)], title="", step="epoch", starts_at_zero=True)
    points = [tuple(map(float, point.split(","))) for point in chart.split('points="')[1].split('"')[0].split()]
    (left, bottom), (middle, half), (right, top) = points
    assert left < middle < right
    assert bottom > half > top
    assert half == pytest.approx((bottom + top) / 2, abs=0.1)


def test_scattered_dots_lie_by_their_values_inside_their_intervals() -> None:
    dots = [Dot("a", 0.0, 0.2, 0.1, 0.3, 0), Dot("b", 10.0, 0.4, 0.4, 0.4, 0), Dot("<c>", 5.0, 0.3, 0.2, 0.4, 1)]
    chart = scatter(dots, title="", below="milliseconds")
    assert "&lt;c&gt;" in chart
    places = [(float(x), float(y)) for x, y in re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', chart)]
    (left, low), (right, high), (middle, half) = places
    assert middle == pytest.approx((left + right) / 2, abs=0.1)
    assert half == pytest.approx((low + high) / 2, abs=0.1)
    assert high < half < low


def test_a_full_bar_covers_its_ground() -> None:
    chart = bar_rows([Bar("even", 1.0, 0, "4 of 4"), Bar("half", 0.5, 0, "4 of 8")], title="")
    ground, full, _, half = (float(part.split('"')[0]) for part in chart.split('width="')[1:])
    assert ground == full == pytest.approx(2 * half, abs=0.1)
