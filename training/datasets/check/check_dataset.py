"""Find every fault of a dataset in one run, and count what it holds. Nothing is encoded. Start at `check_dataset`."""

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from clairo_core.errors import DatasetError
from clairo_core.progress import Progress, silent
from training.datasets import DESCRIPTION_NAME, describe_dataset
from training.datasets.check.advice import advise
from training.datasets.check.column_tests import column_tests, is_implausible, price_column, time_column
from training.datasets.check.description_faults import sound_description
from training.datasets.check.facts import Facts, history_facts, item_facts
from training.datasets.check.faults import FaultLog
from training.datasets.check.page import advice_page, facts_page, faults_page
from training.datasets.check.picture_faults import check_pictures
from training.datasets.check.sound_tables import SoundTables
from training.datasets.check.user_ids import compare_user_ids
from training.datasets.columns.arrow_columns import plain_column
from training.datasets.description import DatasetDescription
from training.datasets.event_times import SECONDS_PER_DAY, units_per_second
from training.datasets.interactions_table import joined, read_each
from training.datasets.items_table import LoadedItems, read_items
from training.datasets.user_sequences import Interactions, build_sequences


@dataclass(frozen=True, slots=True)
class Check:
    """What a check found."""

    faults: FaultLog
    facts: Facts | None
    """Of the rows without faults; None if too little could be read."""
    advice: list[str]

    def __str__(self) -> str:
        parts = []
        if self.facts is not None:
            parts.append(facts_page(self.facts))
        if self.advice:
            parts.append(advice_page(self.advice))
        if len(self.faults):
            parts.append(faults_page(self.faults))
        return "\n\n".join(parts)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "faults": [one for fault in self.faults for one in fault.as_dicts()],
            "facts": None if self.facts is None else dataclasses.asdict(self.facts),
            "advice": self.advice,
        }


def check_dataset(source: Path, *, decode_all: bool = False, progress: Progress = silent) -> Check:
    """Check a dataset's TOML, or any folder that `load_dataset` reads.

    Args:
        source: the TOML or the folder.
        decode_all: decode every picture, not a sample.
        progress: of reading files and pictures.
    """
    toml = source / DESCRIPTION_NAME if source.is_dir() else source
    faults = FaultLog(toml.parent)
    description = sound_description(toml, faults) if toml.is_file() else _described(source, faults)
    if description is None:
        return Check(faults, None, [])
    return _DescribedCheck(description, faults, progress).run(decode_all=decode_all)


def _described(source: Path, faults: FaultLog) -> DatasetDescription | None:
    try:
        return describe_dataset(source)
    except DatasetError as error:
        faults.add(error)
        return None


class _DescribedCheck:
    """A check of the tables of one description."""

    def __init__(self, description: DatasetDescription, faults: FaultLog, progress: Progress) -> None:
        self._described = description
        self._faults = faults
        self._progress = progress
        self._tables = SoundTables(faults, column_tests(description), progress)

    def run(self, *, decode_all: bool) -> Check:
        """Check items, then pictures, then interactions."""
        items = self._items()
        num_dropped = 0
        if items is not None:
            num_dropped = check_pictures(self._described, self._tables, decode_all=decode_all, progress=self._progress)
        interactions = self._interactions(items)
        facts = None
        if items is not None and interactions is not None:
            try:
                facts = self._facts(items, interactions, num_dropped)
            except DatasetError as error:
                self._faults.add(error)
        return Check(self._faults, facts, [] if facts is None else advise(facts, self._described.rules))

    def _items(self) -> LoadedItems | None:
        described = self._described.items
        # Pictures have a check of their own: an item without its picture is an item.
        lenient = dataclasses.replace(self._described, items=dataclasses.replace(described, unreadable_pictures="drop"))
        items = self._tables.collect(lambda: read_items(lenient, self._progress, self._tables.read))
        if items is not None:
            for name in described.attributes:
                if "price" in name.lower():
                    self._tables.test(described.file, name, price_column)
        return items

    def _interactions(self, items: LoadedItems | None) -> list[Interactions] | None:
        """Read every table of interactions; None if one cannot be read."""
        tables, rules = self._described.interactions, self._described.rules
        names: list[str] = []
        if items is None:
            # Which items are unknown cannot be said without their table.
            rules = dataclasses.replace(rules, unknown_items="drop")
        else:
            names = [*items.names.names, *self._names_of_faulty_items()]

        def read_all() -> list[Interactions]:
            return read_each(tables, rules, names, self._progress, self._tables.read_parts)

        each = self._tables.collect(read_all)
        if each is None or not tables[0].is_time or not is_implausible(joined(each).order).any():
            return each
        for table in tables:
            self._tables.test_order(table.file, table.order, time_column, table.form)
        return self._tables.collect(read_all)

    def _names_of_faulty_items(self) -> list[str]:
        """Ids and keys in rows left out: a faulty item is not an unknown one."""
        described = self._described.items
        names: list[str] = []
        for column in (described.item_id, *described.item_key):
            source = self._tables.faulty_rows(described.file, column)
            if source is not None:
                names += [str(name) for name in plain_column(source, column).to_pylist() if name is not None]
        return names

    def _facts(self, items: LoadedItems, each: list[Interactions], num_dropped: int) -> Facts:
        described = self._described
        interactions = joined(each)
        users = compare_user_ids([one.user_ids for one in each])
        # Faulty items are one more item, whose interactions are in no history.
        item_of_name = np.append(items.names.items, len(items.items))
        of_items = item_of_name[np.minimum(interactions.items, len(item_of_name) - 1)]
        built = build_sequences(
            dataclasses.replace(interactions, items=of_items),
            np.append(items.is_wanted, False),
            described.rules,
            source_name=", ".join(str(table.file) for table in described.interactions),
            is_time=described.interactions[0].is_time,
        )
        kept = tuple(item for item, keep in zip(items.items, built.is_item_kept, strict=False) if keep)
        return Facts(
            name=described.name,
            items=item_facts(kept, built.sequences),
            histories=history_facts(built.sequences, built.days, today=_today()),
            events_by_type={} if built.counts is None else dict(built.counts.by_type),
            unreadable_pictures=num_dropped,
            has_picture_column=items.picture_origin is not None,
            unknown_items=interactions.num_unknown,
            skipped=dict(interactions.skipped),
            unmatched=interactions.num_unmatched,
            steps=0 if built.counts is None else built.counts.num_steps,
            users_alike=users.alike,
            have_strangers=users.have_strangers,
            are_undated=described.interactions[0].is_time and built.days is None,
            has_times_of_day=not described.interactions[0].is_time or _has_times_of_day(interactions.order),
        )


def _has_times_of_day(order: Int64[np.ndarray, "event"] | Float64[np.ndarray, "event"]) -> bool:
    per_second = units_per_second(order)
    return per_second is None or bool(np.any(order % (per_second * SECONDS_PER_DAY) != 0))


def _today() -> float:
    return time.time() / SECONDS_PER_DAY
