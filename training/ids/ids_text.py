"""The figures of ids as text for the terminal."""

from collections.abc import Callable

from clairo_core.values.counted import counted
from training.ids.ids_figures import WINDOW, Depth, IdsFigures, Level, Likeness, Mean


def text_of(figures: IdsFigures, ids: str, dataset: str) -> str:
    """Collisions, use of each level, and likeness of items that share codes."""
    lines = [f"{ids} on {dataset}: {figures.num_items:,} items", *summary(figures), ""]
    lines += _columns(
        ("level", "codes", "used", "dead", "perplexity", "same code: together", "x any pair"),
        *(_level_row(level, figures.any_pair) for level in figures.levels),
    )
    depths = _columns(
        ("first codes shared", "pairs", "content", "behaviour", "together"), *map(_depth_row, figures.depths)
    )
    return "\n".join([*lines, "", *depths, "", MEANINGS])


MEANINGS = (
    "content and behaviour are cosines of item embeddings and of vectors from neighbours in histories; together is\n"
    f"the share of pairs that were at most {WINDOW} places apart in a history; -: nothing to compare. Ids aligned\n"
    "with behaviour have learned these histories."
)


def summary(figures: IdsFigures) -> list[str]:
    """Sentences about all ids."""
    sharing = figures.num_sharing
    shared = "no two items share one"
    if sharing:
        share = sharing / figures.num_items
        shared = f"{sharing:,} items ({share:.1%}) share theirs, {figures.largest_group:,} at most the same"
    lines = [f"{counted(figures.num_distinct, 'different semantic id')}; {shared}"]
    if figures.reconstruction_error is not None:
        lines.append(f"codes lose {figures.reconstruction_error:.1%} of the item embeddings' variance")
    if figures.num_without_ids:
        lines.append(f"{figures.num_without_ids:,} items of the data set have no id")
    return lines


def as_number(mean: Mean | None) -> str:
    """Three decimals, and half of the interval."""
    if mean is None or mean.half_interval is None:
        return "-" if mean is None else f"{mean.value:.3f}"
    return f"{mean.value:.3f} ±{mean.half_interval:.3f}"


def as_share(mean: Mean | None) -> str:
    """A percentage, and half of the interval."""
    if mean is None or mean.half_interval is None:
        return "-" if mean is None else f"{mean.value:.1%}"
    return f"{mean.value:.1%} ±{mean.half_interval:.1%}"


def times_any_pair(likeness: Likeness, any_pair: Likeness) -> str:
    """The share bought together as a multiple of that of any pair."""
    if likeness.together is None or any_pair.together is None or not any_pair.together.value:
        return "-"
    return f"{likeness.together.value / any_pair.together.value:.2f}"


def _level_row(level: Level, any_pair: Likeness) -> tuple[str, ...]:
    return (
        level.name,
        f"{level.size:,}",
        f"{level.num_used:,}",
        f"{level.num_dead:,}",
        f"{level.perplexity:.1f}",
        as_share(level.same_code.together),
        times_any_pair(level.same_code, any_pair),
    )


def _depth_row(depth: Depth) -> tuple[str, ...]:
    likeness = depth.likeness
    return (
        str(depth.num_shared),
        f"{depth.num_pairs:,}",
        as_number(likeness.content),
        as_number(likeness.behaviour),
        as_share(likeness.together),
    )


def _columns(*rows: tuple[str, ...]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    justify: list[Callable[[str, int], str]] = [str.ljust, *[str.rjust] * (len(widths) - 1)]
    return [
        "  ".join(aligned(cell, width) for aligned, cell, width in zip(justify, row, widths, strict=True)).rstrip()
        for row in rows
    ]
