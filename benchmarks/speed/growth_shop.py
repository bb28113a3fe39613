"""Turn a number of items into the files of a made shop: titles, and 14 interactions per item in histories of 3 to 14.

Items lie in groups of 200. A group has words of its own; a user stays in one group nine times of ten, near the item
before, so that words, neighbours and followers all say something. Popularity follows Zipf's law inside a group, and
groups are of unequal popularity. The same size gives the same shop.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int64

from benchmarks.speed.corpora import zipf_sequences
from clairo_core.sequences import ItemSequences
from clairo_core.storage.replaced_file import replace_text, replaced_file

INTERACTIONS_PER_ITEM = 14
SHORTEST, LONGEST = 3, 14
GROUP_SIZE = 200
LEAVES_GROUP, STAYS_NEAR = 0.1, 0.5
NEAR = 10
WORDS_OF_GROUP, WORDS_OF_ITEM = 3, 2
SYLLABLES = tuple(f"{consonant}{vowel}" for consonant in "bdfgklmnprstvz" for vowel in "aeiou")
DATASET_TOML = """name = "made-shop-{num_items}"

[items]
file = "items.parquet"
item_id = "item_id"
texts = ["title"]

[interactions]
file = "interactions.parquet"
user_id = "user_id"
item_id = "item_id"
timestamp = "timestamp"
"""
FIRST_SECOND, SECONDS_BETWEEN, DAYS = 1_700_000_000, 3_600, 300
ROWS_AT_ONCE = 1_000_000


def write_made_shop(folder: Path, num_items: int) -> None:
    """Write items.parquet, interactions.parquet and, last, dataset.toml."""
    folder.mkdir(parents=True, exist_ok=True)
    ids = pa.array([item_id(row) for row in range(num_items)])
    items = pa.table({"item_id": ids, "title": made_titles(num_items)})
    with replaced_file(folder / "items.parquet") as aside:
        pq.write_table(items, aside)
    histories = made_histories(num_items)
    users = np.repeat(np.arange(len(histories)), histories.lengths)
    places = np.arange(len(users)) - np.repeat(histories.offsets[:-1], histories.lengths)
    begin = FIRST_SECOND + np.random.default_rng(3).integers(DAYS * 24, size=len(histories)) * SECONDS_BETWEEN
    seconds = begin[users] + places * SECONDS_BETWEEN
    schema = pa.schema([("user_id", pa.string()), ("item_id", pa.string()), ("timestamp", pa.int64())])
    with replaced_file(folder / "interactions.parquet") as aside, pq.ParquetWriter(aside, schema) as file:
        for start in range(0, len(users), ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            user_ids = pa.array([f"user-{user}" for user in users[rows].tolist()])
            columns = [user_ids, ids.take(pa.array(histories.items[rows])), pa.array(seconds[rows])]
            file.write_table(pa.table(columns, schema=schema))
    replace_text(folder / "dataset.toml", DATASET_TOML.format(num_items=num_items))


def item_id(row: int) -> str:
    """Id of an item."""
    return f"item-{row}"


def some_histories(folder: Path, count: int) -> list[list[str]]:
    """Item ids of the shop's first `count` users, fewer in a small shop."""
    batch = next(pq.ParquetFile(folder / "interactions.parquet").iter_batches(count * LONGEST))
    histories: dict[str, list[str]] = {}
    for user_id, of_user in zip(batch["user_id"].to_pylist(), batch["item_id"].to_pylist(), strict=True):
        histories.setdefault(user_id, []).append(of_user)
    return list(histories.values())[:count]


def made_titles(num_items: int) -> pa.Array:
    """Three words of the item's group, two of its own, and a number."""
    random = np.random.default_rng(1)
    num_groups = -(-num_items // GROUP_SIZE)
    # As many words as a shop of this size has: more items bring new words, but ever fewer.
    words = made_words(max(400, int(20 * num_items**0.5)), random)
    of_group = random.integers(len(words), size=(num_groups, WORDS_OF_GROUP))[np.arange(num_items) // GROUP_SIZE]
    of_item = random.integers(len(words), size=(num_items, WORDS_OF_ITEM))
    chosen = np.concatenate([of_item, of_group], axis=1).tolist()
    numbers = random.integers(100, size=num_items).tolist()
    return pa.array(
        [f"{' '.join(words[word] for word in row)} {number}" for row, number in zip(chosen, numbers, strict=True)]
    )


def made_words(count: int, random: np.random.Generator) -> list[str]:
    """Different words of three syllables each."""
    drawn = random.choice(len(SYLLABLES) ** 3, size=count, replace=False).tolist()
    first, second = len(SYLLABLES) ** 2, len(SYLLABLES)
    return [SYLLABLES[w // first] + SYLLABLES[w // second % second] + SYLLABLES[w % second] for w in drawn]


def made_histories(num_items: int) -> ItemSequences:
    """Histories by the rules above; an item is seldom twice in one."""
    random = np.random.default_rng(2)
    lengths = random.integers(SHORTEST, LONGEST + 1, size=2 * INTERACTIONS_PER_ITEM * num_items // (SHORTEST + LONGEST))
    users = np.repeat(np.arange(len(lengths)), lengths)
    is_first = np.zeros(len(users), dtype=np.bool_)
    is_first[np.cumsum(lengths) - lengths] = True
    num_groups = -(-num_items // GROUP_SIZE)
    # The root of a uniform number: the first groups have several times the users of the last.
    group = (num_groups * random.random(len(lengths)) ** 1.5).astype(np.int64)[users]
    size = min(GROUP_SIZE, num_items)
    in_group = zipf_sequences(np.array([len(users)]), size).items.astype(np.int64)
    stays_near = (random.random(len(users)) < STAYS_NEAR) & ~is_first
    in_group = near_the_last(in_group, stays_near, random.integers(1, NEAR, size=len(users)), size)
    items = np.minimum(group * GROUP_SIZE + in_group, num_items - 1)
    leaves = random.random(len(users)) < LEAVES_GROUP
    items[leaves] = random.integers(num_items, size=int(leaves.sum()))
    return ItemSequences.from_lengths(items.astype(np.int32), lengths)


def near_the_last(
    drawn: Int64[np.ndarray, "position"], stays_near: np.ndarray, steps: Int64[np.ndarray, "position"], size: int
) -> Int64[np.ndarray, "position"]:
    """Where `stays_near`, the last drawn place and the steps since, modulo the size; the drawn place elsewhere.

    >>> near_the_last(np.array([5, 0, 0, 3]), np.array([False, True, True, False]), np.array([9, 1, 2, 9]), 7).tolist()
    [5, 6, 1, 3]
    """
    last = np.maximum.accumulate(np.where(stays_near, 0, np.arange(len(drawn))))
    walked = np.cumsum(np.where(stays_near, steps, 0))
    near: Int64[np.ndarray, "position"] = (drawn[last] + walked - walked[last]) % size
    return near
