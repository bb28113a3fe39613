"""Published layouts of ids are read and written without loss, and duplicates never pass unnoticed."""

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clairo_core.errors import DatasetError, SettingsError
from training.ids.export_ids import export_ids
from training.ids.grid_tensor import items_beside
from training.ids.import_ids import import_ids
from training.ids.item_ids import ItemIds, Origin, default_names, load_ids, unique_ids
from training.ids.layouts import Layout

ENDINGS = {Layout.LCREC: "json", Layout.MINIONEREC: "json", Layout.GRID: "pt"}


def read(
    path: Path,
    columns: tuple[str, ...] = (),
    *,
    codebook_size: int = 0,
    is_numbered: bool = False,
    report: Callable[[str], None] = lambda line: None,
) -> ItemIds:
    return import_ids(
        path,
        item_id="item_id",
        columns=columns,
        codebook_size=codebook_size,
        is_numbered=is_numbered,
        report=report,
    )


def rows_by_item(ids: ItemIds) -> dict[str, list[int]]:
    return dict(zip(ids.item_ids, ids.whole.tolist(), strict=True))


@st.composite
def some_ids(draw: st.DrawFn) -> ItemIds:
    """Few codes, so that many items share them; names with spaces, quotes and numbers."""
    num_codebooks = draw(st.integers(1, 4))
    names = draw(
        st.lists(st.one_of(st.integers(0, 9).map(str), st.text("aé\"' ,1", min_size=1)), min_size=1, unique=True)
    )
    codes = [[draw(st.integers(0, 2)) for _ in range(num_codebooks)] for _ in names]
    return unique_ids(
        tuple(names),
        np.array(codes),
        default_names(num_codebooks),
        (draw(st.integers(3, 5)),) * num_codebooks,
        Origin("drawn"),
    )


@given(some_ids())
@settings(max_examples=60, deadline=None)
def test_ids_come_back_from_every_layout_and_from_the_file(ids: ItemIds) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        ids.save(folder / "ids.parquet")
        saved = load_ids(folder / "ids.parquet")
        assert rows_by_item(saved) == rows_by_item(ids)
        assert (saved.codebook_names, saved.codebook_sizes) == (ids.codebook_names, ids.codebook_sizes)
        assert saved.origin == ids.origin
        for layout, ending in ENDINGS.items():
            path = folder / f"{layout}.{ending}"
            export_ids(ids, layout, path)
            assert rows_by_item(read(path)) == rows_by_item(ids)


@given(some_ids())
@settings(max_examples=30, deadline=None)
def test_a_published_file_is_written_again_as_it_was(ids: ItemIds) -> None:
    with TemporaryDirectory() as name:
        for layout, ending in ENDINGS.items():
            first, again = Path(name) / f"first.{ending}", Path(name) / f"again.{ending}"
            export_ids(ids, layout, first)
            export_ids(read(first), layout, again)
            if ending == "json":
                assert json.loads(again.read_text()) == json.loads(first.read_text())
            else:
                assert torch.equal(torch.load(again, weights_only=True), torch.load(first, weights_only=True))


def test_an_index_json_of_lc_rec_gives_codes_by_item(tmp_path: Path) -> None:
    path = tmp_path / "Games.index.json"
    path.write_text('{"0": ["<a_124>", "<b_19>", "<c_2>"], "1": ["<a_3>", "<b_0>", "<c_7>"]}')
    ids = read(path, codebook_size=256)
    assert rows_by_item(ids) == {"0": [124, 19, 2], "1": [3, 0, 7]}
    assert ids.codebook_sizes == (256, 256, 256)
    assert ids.collision_indices is None
    assert ids.in_words() == "2 items, 3 codes each, no two semantic ids alike"
    assert ids.toml(tmp_path / "ids.parquet").endswith("sizes = [256, 256, 256]\nunique = true")


def test_only_items_that_share_tokens_have_one_more_in_minionerec(tmp_path: Path) -> None:
    path = tmp_path / "Office.index.json"
    index = {"0": ["<a_1>", "<b_2>", "<d_1>"], "1": ["<a_1>", "<b_2>", "<d_2>"], "2": ["<a_4>", "<b_2>"]}
    path.write_text(json.dumps(index))
    lines: list[str] = []
    ids = read(path, report=lines.append)
    assert lines == [
        "the last token of 2 ids is taken as a number among items that share the others; 1 id without it: '2'"
    ]
    assert ids.semantic_ids.tolist() == [[1, 2], [1, 2], [4, 2]]
    assert ids.collision_indices is not None
    assert ids.collision_indices.tolist() == [1, 2, 0]
    told = export_ids(ids, Layout.MINIONEREC, tmp_path / "again.json")
    assert "these ids have 2, and one more only where two items share them; make ids of three levels" in told
    # The third token has the third letter, whatever it was.
    expected = path.read_text().replace("<d_", "<c_")
    assert json.loads((tmp_path / "again.json").read_text()) == json.loads(expected)


def test_the_last_level_of_grid_numbers_items_that_share_codes(tmp_path: Path) -> None:
    path = tmp_path / "merged_predictions_tensor.pt"
    torch.save(torch.tensor([[5, 5, 2], [1, 1, 1], [0, 1, 0]]), path)
    ids = read(path)
    assert ids.semantic_ids.tolist() == [[5, 1], [5, 1], [2, 1]]
    assert rows_by_item(ids) == {"0": [5, 1, 0], "1": [5, 1, 1], "2": [2, 1, 0]}
    assert "2 items share 1 semantic id and differ in column 'collision' alone: '0', '1'" in ids.in_words()
    told = export_ids(ids, Layout.GRID, tmp_path / "again.pt")
    assert told.endswith("num_hierarchies=3 codebook_width=6")


def test_numbers_of_items_that_share_codes_are_no_codes(tmp_path: Path) -> None:
    path = tmp_path / "tiger.index.json"
    path.write_text('{"x": ["<a_1>", "<b_0>"], "y": ["<a_1>", "<b_1>"], "z": ["<a_2>", "<b_0>"]}')
    lines: list[str] = []
    assert read(path, report=lines.append).semantic_ids.tolist() == [[1, 0], [1, 1], [2, 0]]
    assert lines == [
        "the last token of tiger.index.json looks like a number; --numbered takes it as one, not as a code"
    ]
    path.write_text('{"x": [1, 0], "y": [1, 1], "z": [2, 0]}')
    numbered = read(path, is_numbered=True, report=lines.append)
    assert len(lines) == 1
    assert numbered.semantic_ids.tolist() == [[1], [1], [2]]
    assert rows_by_item(numbered) == rows_by_item(read(path))
    (tmp_path / "one.json").write_text('{"x": ["<a_1>"]}')
    with pytest.raises(DatasetError, match="expected one before the number"):
        read(tmp_path / "one.json", is_numbered=True)


def test_grid_columns_follow_ids_that_are_numbers(tmp_path: Path) -> None:
    ids = unique_ids(("2", "0", "1"), np.array([[7], [5], [6]]), ("code_0",), (8,), Origin("drawn"))
    export_ids(ids, Layout.GRID, tmp_path / "ids.pt")
    assert torch.load(tmp_path / "ids.pt", weights_only=True).tolist() == [[5, 6, 7]]
    items_beside(tmp_path / "ids.pt").write_text('["only one"]')
    with pytest.raises(DatasetError, match="expected a list of 3 item ids"):
        read(tmp_path / "ids.pt")


def test_code_columns_of_a_table_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    table = pa.table({"item_id": [4, 9], "rq_1": [0, 3], "rq_0": [8, 8], "title": ["mug", "cup"]})
    pq.write_table(table, tmp_path / "codes.parquet")
    assert rows_by_item(read(tmp_path / "codes.parquet", ("rq",))) == {"4": [8, 0], "9": [8, 3]}
    (tmp_path / "codes.csv").write_text("item_id,b,a\nx,1,2\ny,1,2\n")
    shared = read(tmp_path / "codes.csv", ("a", "b"))
    assert rows_by_item(shared) == {"x": [2, 1, 0], "y": [2, 1, 1]}
    assert shared.codebook_names == ("a", "b")
    shared.save(tmp_path / "ids.parquet")
    again = read(tmp_path / "ids.parquet", ("a", "b", "collision"))
    assert rows_by_item(again) == rows_by_item(shared)
    assert again.codebook_names == ("a", "b")
    with pytest.raises(DatasetError, match="neither 'item_id' nor 'collision'; rename them"):
        read(tmp_path / "ids.parquet", ("collision", "a"))
    with pytest.raises(SettingsError, match="name the columns of codes by --columns"):
        read(tmp_path / "codes.csv")
    (tmp_path / "codes.csv").write_text("id,b,a\nx,1,2\n")
    with pytest.raises(SettingsError, match=r"--item-id is 'item_id', .* choose among 'id', 'b', 'a'$"):
        read(tmp_path / "codes.csv", ("a", "b"))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('{"x": ["<a_1>"], "y": ["<a_2>"], "x": ["<a_3>"]}', "'x' occurs twice"),
        ('{"x": ["<a_1>", "<b_1>"], "y": ["<a_1>", "<c_1>"]}', "item 'y', token 2: got '<c_1>', expected <b_NUMBER>"),
        ('{"x": ["<a_1>"], "y": ["<a_1>", "<b_1>", "<c_1>"]}', "item 'y' has 3 tokens, others 1"),
        ('{"x": ["<a_1>"], "y": ["<a_1>", "<b_0>"]}', "items 'x', 'y' have the same id"),
        ('{"x": ["<a_1>"], "y": []}', "item 'y' has 0 tokens"),
        ('{"x": ["<a_9>"]}', "item 'x' has code 9 at level 1, expected 0 to 7; raise --codebook-size"),
        ('{"x": [1, 4294967296]}', "item 'x', token 2: got 4294967296, expected <a_NUMBER>"),
        ('["x"]', "expected an object like"),
        ('{"x": ["<a_1>"]', "expected an index JSON"),
    ],
)
def test_a_faulty_index_json_is_refused_with_its_item(tmp_path: Path, content: str, problem: str) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(DatasetError, match=problem):
        read(tmp_path / "x.json", codebook_size=8)


def test_a_file_with_two_ids_for_an_item_or_one_for_two_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="item 'x' has two ids"):
        unique_ids(("x", "y", "x"), np.array([[1], [2], [3]]), ("code_0",), (4,), Origin("drawn"))
    ids = unique_ids(("x", "y"), np.array([[1], [2]]), ("code_0",), (4,), Origin("drawn"))
    ids.save(tmp_path / "ids.parquet")
    table = pq.read_table(tmp_path / "ids.parquet")
    edited = table.set_column(1, "code_0", pa.array([2, 2], pa.int32()))
    pq.write_table(edited, tmp_path / "ids.parquet")
    with pytest.raises(DatasetError, match="items 'x', 'y' have the same id \\[2\\]"):
        load_ids(tmp_path / "ids.parquet")
    pq.write_table(table.replace_schema_metadata(None), tmp_path / "ids.parquet")
    with pytest.raises(DatasetError, match="expected a file of clairo-train ids make or ids import"):
        load_ids(tmp_path / "ids.parquet")
    (tmp_path / "ids.parquet").write_bytes((tmp_path / "ids.parquet").read_bytes()[:-9])
    with pytest.raises(DatasetError, match="it is damaged: make or import it again"):
        load_ids(tmp_path / "ids.parquet")
    (tmp_path / "ids.json").write_text("{}")
    with pytest.raises(DatasetError, match="import it first"):
        load_ids(tmp_path / "ids.json")


def test_a_file_that_is_missing_is_no_damaged_one(tmp_path: Path) -> None:
    for ending in ("json", "pt", "csv"):
        with pytest.raises(DatasetError, match="there is no such file; correct the path"):
            read(tmp_path / f"nope.{ending}", ("a",) if ending == "csv" else ())
    with pytest.raises(DatasetError, match="there is no such file; correct the path"):
        load_ids(tmp_path / "nope.parquet")


def test_a_tensor_of_fractions_is_not_one_of_ids(tmp_path: Path) -> None:
    torch.save(torch.tensor([[0.5, 1.0]]), tmp_path / "x.pt")
    with pytest.raises(DatasetError, match="not whole numbers from 0"):
        read(tmp_path / "x.pt")
    for content in (b"no tensor", (tmp_path / "x.pt").read_bytes()[:-40]):
        (tmp_path / "x.pt").write_bytes(content)
        with pytest.raises(DatasetError, match="expected a plain tensor saved by PyTorch, and undamaged") as refused:
            read(tmp_path / "x.pt")
        assert "\n" not in str(refused.value)


def test_an_export_says_how_many_tokens_items_have(tmp_path: Path) -> None:
    one = unique_ids(("x",), np.array([[1]]), ("code_0",), (4,), Origin("drawn"))
    assert export_ids(one, Layout.LCREC, tmp_path / "x.json") == "each item has 1 token"
    assert "these ids have 1; make ids" in export_ids(one, Layout.MINIONEREC, tmp_path / "x.json")
    three = unique_ids(("x", "y"), np.array([[1, 2, 3]] * 2), default_names(3), (4,) * 3, Origin("drawn"))
    told = export_ids(three, Layout.MINIONEREC, tmp_path / "x.json")
    assert told == "each item has 3 tokens, and one more only where two items share them"


def test_another_ending_than_the_layouts_is_refused(tmp_path: Path) -> None:
    ids = unique_ids(("x",), np.array([[1]]), ("code_0",), (4,), Origin("drawn"))
    with pytest.raises(SettingsError, match=r"got ending '\.json', expected \.pt for grid"):
        export_ids(ids, Layout.GRID, tmp_path / "x.json")
    with pytest.raises(SettingsError, match="which only tables have"):
        read(tmp_path / "x.json", ("a",))
