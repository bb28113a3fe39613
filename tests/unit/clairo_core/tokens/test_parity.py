"""Our vocabulary and encodings are exactly those of the published algorithm, corrected, on real input.

The expected outputs lie in a folder `shared` beside the checkout (or in CLAIRO_SHARED). Without them, the worked
example in test_learn_vocabulary still checks the same semantics, and this module prints that it compared nothing.
"""

import dataclasses

import numpy as np
import pyarrow.parquet as pq

from clairo_core.sequences import ItemSequences
from clairo_core.tokens.tokenizer import Tokenizer
from clairo_core.tokens.vocabulary import Vocabulary
from tests.repository import SHARED
from training.vocabulary.learn_vocabulary import learn_vocabulary

PARITY = SHARED / "parity"
DATA = SHARED / "data" / "amazon2018_instruments_mql"
NUM_INITIAL_TOKENS = 1020
LAST_TOKEN = 21_444
ENCODING_TOKENS = 9_999
"""The last token of the first 10,000, padding included."""
CATEGORY_SIZES = (256, 256, 256, 256, 128)


def is_here() -> bool:
    """Whether the expected outputs exist; prints a line if not."""
    if PARITY.is_dir() and DATA.is_dir():
        return True
    print(f"no expected outputs at {PARITY}: parity was NOT compared")
    return False


def training_sequences() -> ItemSequences:
    table = pq.read_table(DATA / "interactions.parquet", columns=["user_idx", "item_idx", "position"])
    users, items, positions = (table[name].to_numpy() for name in ("user_idx", "item_idx", "position"))
    order = np.lexsort((positions, users))
    boundaries = np.flatnonzero(np.diff(users[order])) + 1
    return ItemSequences.from_lists([sequence[:-2].tolist() for sequence in np.split(items[order], boundaries)])


def learn(feature_sets: np.ndarray, num_tokens: int) -> Vocabulary:
    """The published vocabulary has one special token and the occurring features; ours has two and every feature."""
    size = 2 + sum(CATEGORY_SIZES) + num_tokens - NUM_INITIAL_TOKENS
    names = ("text_0", "text_1", "text_2", "text_3", "hash")
    return learn_vocabulary(feature_sets, names, CATEGORY_SIZES, training_sequences(), size)


def ours_of_theirs(vocabulary: Vocabulary) -> np.ndarray:
    """Our token for each published one: the order is the same, only the numbers differ."""
    initial = pq.read_table(PARITY / "instruments_text.initial_tokens.parquet").to_pylist()
    merges = len(vocabulary.left)
    ours = np.zeros(NUM_INITIAL_TOKENS + merges + 1, dtype=np.int64)
    for row in initial:
        if row["token"] > 0:
            ours[row["token"]] = vocabulary.category_offsets[row["category"]] + row["value"]
    ours[NUM_INITIAL_TOKENS + 1 :] = vocabulary.first_merge_token + np.arange(merges)
    return ours


def test_merges_and_counts_are_those_of_the_published_algorithm_corrected() -> None:
    if not is_here():
        return
    table = pq.read_table(PARITY / "instruments_text.item_features.parquet")
    features = np.array(table["features"].to_pylist(), dtype=np.int32)[np.argsort(table["item_idx"].to_numpy())]
    vocabulary = learn(features, LAST_TOKEN)
    expected = pq.read_table(PARITY / "instruments_text.merges.parquet")
    ours = ours_of_theirs(vocabulary)
    assert len(expected) == LAST_TOKEN - NUM_INITIAL_TOKENS == len(vocabulary.left)
    assert np.array_equal(vocabulary.left, ours[expected["left"].to_numpy()])
    assert np.array_equal(vocabulary.right, ours[expected["right"].to_numpy()])
    assert np.array_equal(vocabulary.scaled_counts, expected["scaled_count"].to_numpy())


def test_encodings_are_those_of_the_published_algorithm() -> None:
    if not is_here():
        return
    table = pq.read_table(PARITY / "instruments_text.item_features.parquet")
    features = np.array(table["features"].to_pylist(), dtype=np.int32)[np.argsort(table["item_idx"].to_numpy())]
    vocabulary = learn(features, ENCODING_TOKENS)
    tokenizer, ours = Tokenizer(vocabulary), ours_of_theirs(vocabulary)
    # With one category, sets have no order to draw: a view merges the published order as it stands.
    one_category = {"category_names": ("feature",), "category_sizes": (vocabulary.num_features,)}
    flat = Tokenizer(dataclasses.replace(vocabulary, **one_category))
    checked = dict.fromkeys(("view", "canonical", "item"), 0)
    for row in pq.read_table(PARITY / "instruments_text.encodings_10000.parquet").to_pylist():
        given = ours[np.array(row["input"])].astype(np.int32)
        expected = ours[np.array(row["tokens"])].tolist()
        if row["kind"] == "view":
            found = flat.encode_history_views(given[:, None], 1, seed=0, eos=False)[0]
        else:
            found = tokenizer.encode_canonical(given.reshape(-1, len(CATEGORY_SIZES)))
        assert found.tolist() == expected, row["kind"]
        checked[row["kind"]] += 1
    assert min(checked.values()) > 0
