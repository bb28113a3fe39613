"""Format a comparison as text for the terminal."""

from training.comparison.figures import Comparison, Difference
from training.evaluation.metrics import FEWEST_TARGETS, METRICS
from training.evaluation.slices import EDGES, TAIL
from training.evaluation.split import CHOSEN_ON_THESE_USERS, MASKED

BREADTH_IN_WORDS = (
    "coverage@10: share of the catalogue among the first ten items of some user; gini@10: 0 if all items are "
    "recommended equally often, near 1 if few are; popularity: mean training count of the recommended items"
)


def table_of_comparison(comparison: Comparison) -> str:
    """Figures with 95% intervals, slices, paired differences, and notes; equal modes once."""
    modes = tuple(mode for mode in comparison.modes if comparison.same_mode(mode) == mode)
    return "\n\n".join(
        part
        for part in (
            table_title(comparison),
            _figures(comparison),
            *(_slices(comparison, seen_items, "training count") for seen_items in modes),
            *(_slices(comparison, seen_items, "history length") for seen_items in modes),
            _differences(comparison, modes),
            "\n".join(f"{name}: {note}" for name, note in comparison.notes.items()),
        )
        if part
    )


def table_title(comparison: Comparison) -> str:
    """Dataset, users, protocol, intervals, split and modes, and on validation what was chosen there."""
    return (
        f"{comparison.dataset}, {comparison.split}: {users_in_words(comparison)}, full ranking over "
        f"{comparison.num_items:,} items by item id, ties against the target;\n"
        f"95% bootstrap interval over users ({comparison.num_resamples:,} resamples)"
        f"{'; ± standard deviation over seeds' if comparison.num_seeds > 1 else ''}\n"
        f"{comparison.held_out}\n"
        "seen items allowed without a rule for repeats, weighed by one rule for every ranker, or masked"
        + (f"\n{CHOSEN_ON_THESE_USERS}" if comparison.split == "validation" else "")
    )


def users_in_words(comparison: Comparison) -> str:
    """How many users' targets the figures rest on, per mode where the modes differ."""
    users = f"{comparison.num_users:,} users"
    if comparison.num_users < comparison.num_users_in_split:
        users = f"{comparison.num_users:,} of {comparison.num_users_in_split:,} users (seeded sample)"
    num_masked = comparison.num_targets(MASKED) if MASKED in comparison.modes else 0
    return users if num_masked == comparison.num_users else f"{users}, seen masked {num_masked:,} users"


def _figures(comparison: Comparison) -> str:
    width = ranker_width(comparison)
    header = f"{'seen':8} {'ranker':{width}}" + "".join(f"{metric:>15}" for metric in METRICS)
    lines = [header + f"{'coverage@10':>13}{'gini@10':>9}{'popularity':>12}"]
    for seen_items in comparison.modes:
        if (same := comparison.same_mode(seen_items)) != seen_items:
            lines.append(f"{seen_items}: as {same}, here and below")
            continue
        for ranker in comparison.rankers:
            figures = [comparison.figure(ranker, seen_items, metric) for metric in METRICS]
            breadth = comparison.breadth(ranker, seen_items)
            lines.append(
                f"{seen_items:8} {ranker:{width}}"
                + "".join(f"{figure.value:15.4f}" for figure in figures)
                + f"{breadth.coverage:13.3f}{breadth.gini:9.3f}{breadth.mean_popularity:12.1f}"
            )
            intervals = (f"{figure.low:.4f}-{figure.high:.4f}" for figure in figures)
            lines.append(" " * (9 + width) + "".join(f"{interval:>15}" for interval in intervals))
            if figures[0].num_seeds > 1:
                spreads = "".join(f"{f'±{figure.spread:.4f}':>15}" for figure in figures)
                lines.append(f"{'':8} {f'{figures[0].num_seeds} seeds':>{width}}{spreads}")
    return "\n".join([*lines, BREADTH_IN_WORDS])


def ranker_width(comparison: Comparison) -> int:
    """Width of the longest name in characters."""
    return max(10, *map(len, comparison.rankers))


def _slices(comparison: Comparison, seen_items: str, kind: str) -> str:
    sizes = comparison.slice_sizes(seen_items, kind)
    what = "training count of the target" if kind == "training count" else "length of the history"
    width = ranker_width(comparison)
    tail = f"; {TAIL}: counts below {EDGES[1]} taken as {EDGES[1]}" if TAIL in sizes else ""
    heads = (f"{f'{label} ({size:,})':>14}" for label, size in sizes.items())
    lines = [f"NDCG@10 by {what} (users){tail}", f"{'seen':8} {'ranker':{width}}" + "".join(heads)]
    for ranker in comparison.rankers:
        values = (comparison.figure(ranker, seen_items, "ndcg@10", label, kind).value for label in sizes)
        lines.append(f"{seen_items:8} {ranker:{width}}" + "".join(f"{value:14.4f}" for value in values))
    return "\n".join(lines)


def _differences(comparison: Comparison, modes: tuple[str, ...]) -> str:
    shown = [row for seen_items in modes for row in comparison.shown_differences(seen_items)]
    if not shown:
        return ""
    return "\n".join(["NDCG@10, paired by user", *map(difference_in_words, shown)])


def difference_in_words(row: Difference) -> str:
    """One difference on one line, marked if its interval includes zero or rests on too few users."""
    verdict = "" if row.low > 0 or row.high < 0 else "  (not significant)"
    if row.num_users < FEWEST_TARGETS:
        verdict = f"  (not significant: {row.num_users} users)"
    pair = f"{row.ranker} - {row.other}"
    return f"{row.seen_items:8} {pair:44} {row.value:+.4f}  {row.low:+.4f} to {row.high:+.4f}{verdict}"
