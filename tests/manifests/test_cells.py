"""Cells: one order, one digest and few bits, whatever they came as."""

import hashlib
import io
import json

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import ManifestError
from curate.manifests.cells import Cells
from curate.manifests.document import SPLITS

FRAME = pl.DataFrame(
    {
        "source": ["screen", "census", "census", "census"],
        "soma_joinid": [2, 30, 10, 20],
        "split": ["train", "test", "train", "val"],
    }
)


def random_frame(seed: int, *, n: int = 200, **extra: pl.Series) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    source = np.repeat(["census", "screen"], [n - n // 4, n // 4])
    joinids = np.concatenate([rng.choice(10 * n, size, replace=False) for size in (n - n // 4, n // 4)])
    split = rng.choice(SPLITS, n, p=[0.8, 0.1, 0.1])
    return pl.DataFrame({"source": source, "soma_joinid": joinids, "split": split, **extra})


def test_cells_are_ordered_by_source_and_joinid() -> None:
    assert Cells.from_frame(FRAME).to_frame().rows() == [
        ("census", 10, "train"),
        ("census", 20, "val"),
        ("census", 30, "test"),
        ("screen", 2, "train"),
    ]
    assert Cells.from_frame(FRAME).sources == {"census": 3, "screen": 1}
    assert Cells.from_frame(FRAME).n_by_split == {"train": 2, "val": 1, "test": 1}


def test_the_digest_is_of_little_endian_columns_source_by_source() -> None:
    def sha(content: bytes) -> str:
        return hashlib.sha256(content).hexdigest()

    census = {
        "soma_joinid": sha(b"".join(joinid.to_bytes(8, "little") for joinid in (10, 20, 30))),
        "split": sha(bytes([0, 1, 2])),
    }
    screen = {"soma_joinid": sha((2).to_bytes(8, "little")), "split": sha(bytes([0]))}
    canonical = json.dumps({"census": census, "screen": screen}, sort_keys=True, separators=(",", ":"))
    assert Cells.from_frame(FRAME).digest() == sha(canonical.encode())


@given(st.integers(0, 2**32 - 1), st.sampled_from(["string", "categorical", "enum", "arrow", "narrow"]))
def test_neither_order_nor_encoding_changes_the_digest(seed: int, encoding: str) -> None:
    frame = random_frame(0)
    shuffled = frame[np.random.default_rng(seed).permutation(len(frame))]
    if encoding == "categorical":
        shuffled = shuffled.with_columns(pl.col("source", "split").cast(pl.Categorical))
    elif encoding == "enum":
        shuffled = shuffled.with_columns(pl.col("split").cast(pl.Enum(["test", "other", "val", "train"])))
    elif encoding == "arrow":
        table = shuffled.to_arrow()
        codes = pa.array(table["split"].to_pylist()).dictionary_encode()
        held = pl.from_arrow(table.set_column(2, "split", codes))
        assert isinstance(held, pl.DataFrame)
        shuffled = held
    elif encoding == "narrow":
        shuffled = shuffled.with_columns(pl.col("soma_joinid").cast(pl.UInt32))
    assert Cells.from_frame(shuffled).digest() == Cells.from_frame(frame).digest()


@pytest.mark.parametrize(
    "change",
    [
        {"soma_joinid": pl.Series([2, 30, 10, 21])},
        {"split": pl.Series(["train", "test", "val", "train"])},
        {"source": pl.Series(["screens", "census", "census", "census"])},
        {"weight": pl.Series([1.0, 1.0, 1.0, 1.0])},
        {"rank": pl.Series([0, 1, 2, 3])},
    ],
)
def test_any_other_value_changes_the_digest(change: dict[str, pl.Series]) -> None:
    assert Cells.from_frame(FRAME.with_columns(**change)).digest() != Cells.from_frame(FRAME).digest()


def test_what_is_written_is_read_again() -> None:
    n = 200
    weights = np.random.default_rng(1).random(n).astype(np.float32)
    weight = pl.Series(
        [None if row == 3 else value for row, value in enumerate(weights.tolist())], dtype=pl.Float32
    )
    rank = pl.Series([None if row == 5 else n - row for row in range(n)], dtype=pl.Int32)
    cells = Cells.from_frame(random_frame(0, n=n, weight=weight, rank=rank))
    again = Cells.from_parquet(cells.to_parquet())
    assert again.digest() == cells.digest()
    assert again.to_frame().equals(cells.to_frame())
    assert again.to_frame()["weight"].null_count() == again.to_frame()["rank"].null_count() == 1


def test_the_file_is_the_same_bytes_whatever_the_order_of_the_input() -> None:
    frame = random_frame(0)
    assert Cells.from_frame(frame[::-1]).to_parquet() == Cells.from_frame(frame).to_parquet()


def test_any_parquet_reader_sees_plain_columns() -> None:
    content = Cells.from_frame(FRAME).to_parquet()
    expected = {
        "source": ["census", "census", "census", "screen"],
        "soma_joinid": [10, 20, 30, 2],
        "split": ["train", "val", "test", "train"],
    }
    assert pl.read_parquet(io.BytesIO(content)).to_dict(as_series=False) == expected
    assert (
        pd.read_parquet(io.BytesIO(content)).astype({"source": str, "split": str}).to_dict("list") == expected
    )
    assert pq.read_table(io.BytesIO(content)).schema.field("soma_joinid").type == pa.int64()


@pytest.mark.parametrize("settings", [{"compression": "snappy", "version": "1.0"}, {"row_group_size": 7}])
def test_the_digest_does_not_depend_on_how_the_parquet_was_written(settings: dict[str, object]) -> None:
    cells = Cells.from_frame(random_frame(0))
    sink = io.BytesIO()
    pq.write_table(
        cells.to_frame().with_columns(pl.col("split").cast(pl.String)).to_arrow(), sink, **settings
    )
    assert sink.getvalue() != cells.to_parquet()
    assert Cells.from_parquet(sink.getvalue()).digest() == cells.digest()


@pytest.mark.parametrize(
    ("fraction", "n_corpus"), [(0.01, 22_189_056), (0.1, 4_000_000), (0.5, 2_000_000), (0.75, 2_000_000)]
)
def test_a_cell_takes_at_most_a_third_more_bits_than_its_entropy(fraction: float, n_corpus: int) -> None:
    rng = np.random.default_rng(0)
    joinids = np.flatnonzero(rng.random(n_corpus) < fraction)
    split = rng.choice(3, len(joinids), p=[0.8, 0.1, 0.1]).astype(np.uint8)
    content = Cells({"census": len(joinids)}, joinids, split).to_parquet()
    chosen = -(fraction * np.log2(fraction) + (1 - fraction) * np.log2(1 - fraction)) / fraction
    splits = -(0.8 * np.log2(0.8) + 0.2 * np.log2(0.1))
    assert 8 * len(content) / len(joinids) <= 1.35 * (chosen + splits)


def test_weights_and_ranks_that_no_cell_has_are_left_out() -> None:
    none = pl.Series([None] * 4, dtype=pl.Float32)
    cells = Cells.from_frame(FRAME.with_columns(weight=none, rank=none.cast(pl.Int32)))
    assert cells.to_frame().columns == ["source", "soma_joinid", "split"]
    assert cells.digest() == Cells.from_frame(FRAME).digest()


def test_one_zero_and_one_missing_weight_stand_for_all_of_them() -> None:
    one = Cells.from_frame(FRAME.with_columns(weight=pl.Series([-0.0, None, 1.0, 2.0])))
    other = Cells.from_frame(FRAME.with_columns(weight=pl.Series([0.0, -float("nan"), 1.0, 2.0])))
    assert one.digest() == other.digest()


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (FRAME.drop("split"), "no column 'split'"),
        (FRAME.with_columns(cell_type=pl.lit("B cell")), "a column 'cell_type'"),
        (
            FRAME.with_columns(soma_joinid=pl.Series([2, 10, 10, 20])),
            "cell 10 of source 'census' stands twice",
        ),
        (FRAME.with_columns(soma_joinid=pl.Series([2, -1, 10, 20])), "not a whole number of at least 0"),
        (FRAME.with_columns(soma_joinid=pl.Series([2, None, 10, 20])), "not a whole number of at least 0"),
        (FRAME.with_columns(soma_joinid=pl.col("soma_joinid").cast(pl.Float64)), "not a whole number"),
        (FRAME.with_columns(split=pl.lit("holdout")), "the split 'holdout'; there are: train, val, test"),
        (FRAME.with_columns(split=pl.Series(["train", None, None, "val"])), "2 cells have no split"),
        (FRAME.with_columns(source=pl.Series([None, "a", "a", "a"])), "1 cells have no source"),
        (FRAME.with_columns(weight=pl.lit(-1.0)), "weight below 0 or infinite"),
        (FRAME.with_columns(weight=pl.lit(float("inf"))), "weight below 0 or infinite"),
        (FRAME.with_columns(rank=pl.lit(-2)), "rank that is not a whole number"),
        (FRAME.with_columns(rank=pl.lit(0.5)), "rank that is not a whole number"),
    ],
)
def test_cells_that_no_manifest_can_hold_are_refused(frame: pl.DataFrame, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        Cells.from_frame(frame)


@pytest.mark.parametrize("rows", [[1, 0, 2, 3], [0, 0, 1, 2]])
def test_a_file_whose_cells_are_out_of_order_or_double_is_refused(rows: list[int]) -> None:
    table = Cells.from_frame(FRAME).to_frame()[rows].to_arrow()
    sink = io.BytesIO()
    pq.write_table(table, sink)
    with pytest.raises(ManifestError, match="not in ascending order of source and soma_joinid at row 1"):
        Cells.from_parquet(sink.getvalue())


def test_bytes_that_are_not_parquet_are_refused() -> None:
    with pytest.raises(ManifestError, match="cannot be read as Parquet"):
        Cells.from_parquet(b"PAR1 and then nothing")
