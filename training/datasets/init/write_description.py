"""Write a commented dataset.toml for files of items and interactions. Start at `write_description`."""

import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clairo_core.errors import SettingsError
from training.datasets.dataset_toml import describe
from training.datasets.init.column_words import TITLES, USERS, best_column
from training.datasets.init.file_sample import FileSample, sample_file
from training.datasets.init.guess_interactions import (
    ItemLink,
    event_of_file,
    events_in,
    events_section,
    guess_interactions,
    link_items,
)
from training.datasets.init.guess_items import guess_items
from training.datasets.init.layouts import known_layout
from training.datasets.init.settings import Section, Setting


@dataclass(frozen=True, slots=True)
class Written:
    """What was written, for people."""

    path: Path
    recognized: list[str]
    """Each file, and what it was taken for."""
    to_fill_in: list[str]
    """Keys whose columns were not found."""


def write_description(files: Sequence[Path | str], out: Path) -> Written:
    """Look at the columns and first rows of the files, and write a description to edit.

    Args:
        files: one of items, the others of interactions, in any order; folders and addresses are Parquet data sets.
        out: the new file; paths in it are relative to its folder.

    Raises:
        SettingsError: `out` exists, or the files are not one of items and others of interactions.
        DatasetError: a file cannot be read.
    """
    if out.exists():
        raise SettingsError(f"--out {out} exists; name another file, or move it away")
    samples = [sample_file(str(file)) for file in files]
    items, tables = _sort_out(samples)
    sections = _sections(items, tables, out.parent)
    names = " and ".join(sample.name for sample in samples)
    intro = (
        f"# Guessed by clairo-train init from {names}. Edit it, then run: clairo-train check {out.name}\n"
        "# docs/datasets.md explains every key.\n"
    )
    name = Setting("name", out.resolve().parent.name or "shop")
    text = "\n\n".join([f"{intro}{name}", *map(str, sections)]) + "\n"
    # What is written is read without an error, whatever the columns are called.
    describe(out, tomllib.loads(text))
    out.write_text(text, encoding="utf-8")
    return Written(
        out,
        [
            f"{sample.name}: {section.what or section.header.strip('[]')}"
            for sample, section in zip([items, *tables], sections, strict=False)
        ],
        [f"{section.header} {key}" for section in sections for key in section.to_fill_in],
    )


def _sort_out(samples: Sequence[FileSample]) -> tuple[FileSample, list[FileSample]]:
    """Tell the items file from the others: the only one without users, else the only one of these with titles."""
    if len(samples) < 2:
        raise SettingsError(f"got {len(samples)} file, expected one of items and one or more of interactions; add them")
    found = [sample for sample in samples if _is_items(sample)]
    if len(found) > 1:
        # A column of users may have a name that is not known.
        titled = [sample for sample in found if best_column(sample.columns, TITLES) is not None]
        if len(titled) != 1:
            names = " and ".join(sample.name for sample in found)
            raise SettingsError(
                f"{names} have no column that is named as a user, expected that of one file, the items; "
                "leave out the others, or call their column of users user_id"
            )
        found = titled
    items = found[0] if found else samples[0]
    return items, [sample for sample in samples if sample is not items]


def _is_items(sample: FileSample) -> bool:
    layout = known_layout(sample.columns)
    return layout.is_items if layout is not None else best_column(sample.columns, USERS) is None


def _sections(items: FileSample, tables: Sequence[FileSample], folder: Path) -> list[Section]:
    links = [link_items(table, items) for table in tables]
    item_column = next((link.item_column for link in links if link.item_column is not None), None)
    of_items = _finished(guess_items(items, item_column, folder), items, folder)
    _set_item_keys(of_items, links)
    of_tables = [
        _finished(guess_interactions(table, link, items.name), table, folder)
        for table, link in zip(tables, links, strict=True)
    ]
    sections = [of_items, *of_tables]
    counts: Counter[str] = Counter()
    for table, section in zip(tables, of_tables, strict=True):
        counts.update(events_in(table, section))
    if len(tables) > 1 or counts:
        for table, section in zip(tables, of_tables, strict=True):
            if section.get("type") is None:
                event = event_of_file(table)
                section.set("event", event, "the type of all rows, by the file's name")
                counts.setdefault(event, 0)
    _hold_for_all(of_tables, "unknown_items")
    if any(not isinstance(weight.value, str) for weight in events_section(counts)[0].settings):
        events, targets = events_section(counts)
        of_tables[0].set("targets", targets, "learned and measured; without this key, all positive types are")
        sections.append(events)
    if len(of_tables) == 1:
        of_tables[0].header = "[interactions]"
    return sections


def _finished(section: Section, sample: FileSample, folder: Path) -> Section:
    """Add the file and its form in front, and the columns not used."""
    front = [Setting("file", sample.seen_from(folder))]
    if sample.form.encoding != "utf-8":
        front.append(Setting("encoding", sample.form.encoding, "the bytes are not UTF-8"))
    section.settings[:0] = front
    used: set[str] = set()
    for setting in section.settings:
        value = setting.value
        if isinstance(value, str):
            used |= {value, value.split("[")[0]}
        elif isinstance(value, dict) and setting.key != "attribute_types":
            used |= {*value, *value.values()}
        elif not isinstance(value, float | dict):
            used |= set(value)
    section.unused = tuple(column for column in sample.columns if column not in used)
    return section


def _set_item_keys(items: Section, links: Sequence[ItemLink]) -> None:
    """Name the columns by which interactions refer to items, besides the id."""
    given = {items.get("item_id"), items.get("item_key")}
    further = [link.item_column for link in links if link.item_column is not None and link.item_column not in given]
    if further and items.get("item_key") is None:
        items.set("item_key", tuple(dict.fromkeys(further)), "interactions name items by it")


def _hold_for_all(tables: Sequence[Section], key: str) -> None:
    """Keep a key that holds for all tables in the first one that has it."""
    holding = [table for table in tables if table.get(key) is not None]
    for table in holding[1:]:
        table.settings = [setting for setting in table.settings if setting.key != key]
