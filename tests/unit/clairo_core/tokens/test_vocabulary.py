"""Vocabularies in memory and in files: invariants, and refused inputs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clairo_core.errors import VocabularyError, VocabularyFileError, VocabularySizeError
from clairo_core.tokens.vocabulary import HEADER_FILE, MERGES_FILE, Vocabulary, load_vocabulary, weight_scale
from tests.tiny import tiny_vocabulary

VOCABULARY = tiny_vocabulary((2, 3), [(2, 4)])
"""Tokens 2 and 3, then 4 to 6, then 7 = 2 + 4."""


def test_tokens_are_pad_eos_features_and_merges() -> None:
    vocabulary = tiny_vocabulary((2, 3), [(2, 4), (5, 7)])
    assert (vocabulary.num_features, vocabulary.first_merge_token, vocabulary.size) == (5, 7, 9)
    assert [vocabulary.features_of(token) for token in range(9)] == [
        (), (), ((0, 0),), ((0, 1),), ((1, 0),), ((1, 1),), ((1, 2),),
        ((0, 0), (1, 0)), ((1, 1), (0, 0), (1, 0)),
    ]  # fmt: skip
    assert vocabulary.feature_counts.tolist() == [0, 0, 1, 1, 1, 1, 1, 2, 3]
    assert vocabulary.feature_tokens([[1, 2]]).tolist() == [[3, 6]]


def test_every_pair_weight_is_whole_in_the_scale() -> None:
    for num_categories in range(1, 10):
        scale = weight_scale(num_categories)
        sizes = range(1, num_categories + 1)
        assert all(2 * scale % size == 0 for size in sizes)
        assert all(scale % (one * other) == 0 for one in sizes for other in sizes)


@pytest.mark.parametrize("token", [-1, 9])
def test_an_unknown_token_has_no_features(token: int) -> None:
    with pytest.raises(VocabularyError, match=r"is unknown, expected 0 to 7"):
        VOCABULARY.features_of(token)


@pytest.mark.parametrize("token", [0, 6, 8])
def test_only_merges_have_a_rule(token: int) -> None:
    with pytest.raises(VocabularyError, match=r"is not made by a rule, expected 7 to 7"):
        VOCABULARY.rule_of(token)


def test_rules_that_do_not_fit_are_refused() -> None:
    with pytest.raises(VocabularyError, match="use older tokens"):
        tiny_vocabulary((2, 3), [(2, 7)])
    with pytest.raises(VocabularyError, match="the smaller one first"):
        tiny_vocabulary((2, 3), [(4, 2)])
    with pytest.raises(VocabularyError, match="give each pair one rule"):
        tiny_vocabulary((2, 3), [(2, 4), (2, 4)])
    with pytest.raises(VocabularySizeError, match="choose a size of at least"):
        tiny_vocabulary((2**21,))
    nothing = np.empty(0, np.int32)
    with pytest.raises(VocabularyError, match="one name and one size per category"):
        Vocabulary(("a",), (2, 2), nothing, nothing, nothing)
    with pytest.raises(VocabularyError, match="at least one value"):
        Vocabulary(("a",), (0,), nothing, nothing, nothing)
    with pytest.raises(VocabularyError, match="expected ascending merge tokens"):
        Vocabulary(("a",), (2,), nothing, nothing, nothing, expanded_at=(3,))


def test_a_loaded_vocabulary_equals_the_saved_one(tmp_path: Path) -> None:
    VOCABULARY.save(tmp_path / "deep" / "folder")
    loaded = load_vocabulary(tmp_path / "deep" / "folder")
    assert list(loaded.rules()) == list(VOCABULARY.rules())
    assert (loaded.category_names, loaded.category_sizes) == (VOCABULARY.category_names, VOCABULARY.category_sizes)
    assert sorted(path.name for path in (tmp_path / "deep" / "folder").iterdir()) == [MERGES_FILE, HEADER_FILE]


def header_changed(folder: Path, **changes: Any) -> None:
    path = folder / HEADER_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_newer_file_is_refused_by_version(tmp_path: Path) -> None:
    VOCABULARY.save(tmp_path)
    header_changed(tmp_path, schema_version=9)
    with pytest.raises(VocabularyFileError, match="schema version 9, this CLAIRO reads up to 2; update CLAIRO"):
        load_vocabulary(tmp_path)


@pytest.mark.parametrize("version", [0, None, "1"])
def test_a_file_without_a_version_is_refused(tmp_path: Path, version: object) -> None:
    VOCABULARY.save(tmp_path)
    header_changed(tmp_path, schema_version=version)
    with pytest.raises(VocabularyFileError, match="has no schema version"):
        load_vocabulary(tmp_path)


@pytest.mark.parametrize("name", [HEADER_FILE, MERGES_FILE])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    VOCABULARY.save(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(VocabularyFileError, match=rf"not hold a whole vocabulary .*{name}.*; copy the folder again"):
        load_vocabulary(tmp_path)


def test_a_changed_header_is_refused(tmp_path: Path) -> None:
    VOCABULARY.save(tmp_path)
    header_changed(tmp_path, category_sizes=[3, 2])
    with pytest.raises(VocabularyFileError, match=r"sha256 .* expected .*; copy the folder again"):
        load_vocabulary(tmp_path)


def test_every_damaged_or_missing_byte_is_detected(tmp_path: Path) -> None:
    VOCABULARY.save(tmp_path)
    for name in (HEADER_FILE, MERGES_FILE):
        path, whole = tmp_path / name, (tmp_path / name).read_bytes()
        for place in range(0, len(whole), 7):
            for damaged in (
                whole[:place],
                whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :],
            ):
                path.write_bytes(damaged)
                try:
                    loaded = load_vocabulary(tmp_path)
                except VocabularyFileError:
                    continue
                # White space between the header's fields does not matter.
                assert list(loaded.rules()) == list(VOCABULARY.rules())
        path.write_bytes(whole)
