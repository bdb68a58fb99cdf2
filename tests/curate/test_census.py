from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from curate.census import Census, CensusWriter, Dataset
from curate.errors import CensusError, FilterError
from curate.where import Where

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

HUMAN = "homo_sapiens"


@pytest.fixture(scope="module")
def census(coordinate_census: Path) -> Iterator[Census]:
    with Census.open(uri=coordinate_census) as census:
        yield census


@pytest.fixture(scope="module")
def old_census(
    tmp_path_factory: pytest.TempPathFactory, coordinate_genes: pl.DataFrame, coordinate_obs: pl.DataFrame
) -> Iterator[Census]:
    """A store of schema 1.0: no statistics, no observation_joinid, no tissue_type."""
    path = tmp_path_factory.mktemp("census") / "old"
    with CensusWriter(
        path, genes=coordinate_genes, build_date="2023-05-15", label="old", schema_version="1.0.0"
    ) as writer:
        obs = coordinate_obs.drop("dataset_id", "observation_joinid", "tissue_type")
        writer.add_dataset(Dataset("d", "d"), obs, None, measured=np.ones(120, np.bool_))
    with Census.open(uri=path) as census:
        yield census


def read_obs(
    census: Census,
    *columns: str,
    where: str | None = None,
    joinids: NDArray[np.int64] | slice | None = None,
) -> pl.DataFrame:
    condition = None if where is None else Where.parse(where)
    tables = list(census.read_obs(HUMAN, columns, where=condition, joinids=joinids))
    frame = pl.from_arrow(pa.concat_tables(tables))
    assert isinstance(frame, pl.DataFrame)
    return frame.with_columns(pl.col(pl.Categorical).cast(pl.String))


def read_counts(
    census: Census,
    joinids: NDArray[np.int64],
    *,
    var_joinids: NDArray[np.int64] | None = None,
    block_cells: int = 4096,
    layer: str = "raw",
) -> NDArray[np.float32]:
    blocks = census.read_counts(HUMAN, joinids, var_joinids=var_joinids, block_cells=block_cells, layer=layer)
    return np.vstack([block.counts.toarray() for block in blocks])


def test_open_tells_what_the_store_is(census: Census, coordinate_census: Path) -> None:
    assert census.uri == str(coordinate_census)
    assert census.release == "2026-01-31"
    assert census.schema_version == "2.4.0"
    assert census.organisms == ("homo_sapiens",)
    assert census.summary["total_cell_count"] == "600"
    # dataset-c holds every fifth cell as non-primary: joinids 450, 455, ..., 595.
    assert census.summary["unique_cell_count"] == "570"
    assert census.summary["number_donors_homo_sapiens"] == "12"
    assert census.n_cells("Homo sapiens") == 600
    assert census.layers(HUMAN) == ("normalized", "raw")


def test_read_obs_gives_the_columns_asked_for_after_the_joinid_in_joinid_order(
    census: Census, coordinate_obs: pl.DataFrame
) -> None:
    read = read_obs(census, "disease", "observation_joinid", "is_primary_data", "dataset_id")
    assert read.columns == ["soma_joinid", "disease", "observation_joinid", "is_primary_data", "dataset_id"]
    assert read["soma_joinid"].to_list() == list(range(600))
    assert read.drop("soma_joinid").equals(coordinate_obs.select(read.columns[1:]))


def test_read_obs_gives_text_as_dictionaries_of_int32_and_string(census: Census) -> None:
    table = next(census.read_obs(HUMAN, ["cell_type", "observation_joinid", "nnz", "raw_sum"]))
    assert table.schema == pa.schema(
        [
            pa.field("soma_joinid", pa.int64()),
            pa.field("cell_type", pa.dictionary(pa.int32(), pa.string())),
            pa.field("observation_joinid", pa.string()),
            pa.field("nnz", pa.int64()),
            pa.field("raw_sum", pa.float64()),
        ]
    )


def test_the_statistics_columns_are_those_of_the_counts(
    census: Census, coordinate_counts: NDArray[np.float32]
) -> None:
    read = read_obs(census, "raw_sum", "nnz", "raw_mean_nnz", "raw_variance_nnz", "n_measured_vars")
    cell = coordinate_counts[301]
    present = cell[cell > 0].astype(np.float64)
    assert read.row(301)[1:] == (
        present.sum(),
        len(present),
        present.mean(),
        pytest.approx(present.var(ddof=1), rel=1e-12),
        120,
    )
    assert read["raw_sum"].to_list() == coordinate_counts.sum(axis=1, dtype=np.float64).tolist()


@pytest.mark.parametrize(
    ("where", "n_cells"),
    [
        ("disease == 'normal'", 200),
        ("disease == 'COVID-19'", 400),
        ("disease == 'type 2 diabetes mellitus'", 200),
        ("disease == 'COVID-19 || type 2 diabetes mellitus'", 200),
        ("is_primary_data == True", 570),
        ('not is_primary_data == True and assay != "10x 3\' v3"', 20),
        ("nnz < 0", 0),
        ("disease == 'measles'", 0),
    ],
)
def test_a_filter_is_applied_while_reading_and_agrees_with_the_same_filter_on_a_frame(
    census: Census, coordinate_obs: pl.DataFrame, where: str, n_cells: int
) -> None:
    read = read_obs(census, "assay", where=where)
    assert read.height == n_cells
    if "nnz" not in where:
        expected = np.flatnonzero(Where.parse(where).mask(coordinate_obs).to_numpy())
        assert read["soma_joinid"].to_list() == expected.tolist()


def test_read_obs_takes_joinids_or_a_range_of_them_before_the_filter(census: Census) -> None:
    joinids = np.array([1, 2, 59, 60, 599])
    assert read_obs(census, "assay", joinids=joinids)["soma_joinid"].to_list() == joinids.tolist()
    dense = np.setdiff1d(np.arange(100, 200), [150])
    assert read_obs(census, "assay", joinids=dense)["soma_joinid"].to_list() == dense.tolist()
    assert read_obs(census, joinids=slice(590, None))["soma_joinid"].to_list() == list(range(590, 600))
    assert read_obs(census, joinids=joinids, where="disease == 'normal'")["soma_joinid"].to_list() == [
        1,
        2,
        60,
    ]


def test_read_obs_in_small_blocks_gives_the_same_cells(
    census: Census, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = read_obs(census, "cell_type", "nnz")
    monkeypatch.setattr("curate.census.obs_reader.RANGE_CELLS", 7)
    assert read_obs(census, "cell_type", "nnz").equals(whole)


def test_read_obs_names_the_nearest_column(census: Census) -> None:
    with pytest.raises(CensusError, match=r"no column 'celltype'; did you mean 'cell_type'\?"):
        census.read_obs(HUMAN, ["celltype"])


def test_a_filter_that_names_an_absent_column_is_refused(census: Census) -> None:
    with pytest.raises(FilterError, match="names the column 'celltype'"):
        census.read_obs(HUMAN, ["cell_type"], where=Where.parse("celltype == 'B cell'"))


@pytest.mark.parametrize(
    ("where", "joinids"),
    [
        ("nnz == 5.5", []),
        ("nnz < 5.5", [0]),
        ("nnz != 5", [1, 2]),
        ("not nnz == 5 and assay == 'unknown'", [1, 2]),
        ("raw_sum in [1, 2]", [1]),
        ("soma_joinid >= 1 and nnz > 0", [1]),
    ],
)
def test_numbers_and_missing_numbers_are_compared_as_in_a_frame(
    tmp_path: Path, coordinate_genes: pl.DataFrame, where: str, joinids: list[int]
) -> None:
    path = tmp_path / "store"
    with CensusWriter(path, genes=coordinate_genes, build_date="2026-01-31", label="numbers") as writer:
        obs = pl.DataFrame({"nnz": [5, 6, None], "raw_sum": [1.5, 2.0, None]})
        writer.add_dataset(Dataset("d", "d"), obs, None, measured=np.ones(120, np.bool_))
    with Census.open(uri=path) as census:
        assert read_obs(census, "dataset_id", where=where)["soma_joinid"].to_list() == joinids


def test_no_cells_are_one_empty_table_with_its_types(census: Census) -> None:
    (table,) = census.read_obs(HUMAN, ["cell_type"], joinids=np.array([], np.int64))
    assert table.num_rows == 0
    assert table.schema == next(census.read_obs(HUMAN, ["cell_type"])).schema


def test_a_filter_that_compares_text_with_numbers_is_refused(census: Census) -> None:
    with pytest.raises(FilterError, match="the column 'nnz' holds numbers; 'a' equals none of them"):
        census.read_obs(HUMAN, ["nnz"], where=Where.parse("nnz == 'a'"))


def test_columns_that_an_older_release_lacks_are_typed_nulls(old_census: Census) -> None:
    assert "nnz" not in old_census.obs_columns(HUMAN)
    table = next(
        old_census.read_obs(HUMAN, ["cell_type", "nnz", "raw_sum", "tissue_type", "observation_joinid"])
    )
    assert table.num_rows == 600
    assert table["cell_type"].null_count == 0
    assert [table[name].null_count for name in table.column_names[2:]] == [600] * 4
    assert table.schema.types[2:] == [
        pa.int64(),
        pa.float64(),
        pa.dictionary(pa.int32(), pa.string()),
        pa.string(),
    ]


def test_text_that_an_older_release_does_not_enumerate_reads_and_filters_the_same(
    census: Census, old_census: Census
) -> None:
    columns = ("disease", "cell_type", "donor_id", "is_primary_data")
    where = "disease == 'COVID-19' and cell_type != 'B cell'"
    assert read_obs(old_census, *columns).equals(read_obs(census, *columns))
    assert read_obs(old_census, *columns, where=where).equals(read_obs(census, *columns, where=where))
    assert sorted(census.enumeration(HUMAN, "cell_type")) == old_census.enumeration(HUMAN, "cell_type")


def test_var_of_an_older_release_has_null_statistics(old_census: Census) -> None:
    var = old_census.read_var(HUMAN)
    assert var.select("nnz", "n_measured_obs").null_count().row(0) == (120, 120)
    assert var.schema["nnz"] == pl.Int64


def test_an_older_release_has_no_normalised_layer(old_census: Census) -> None:
    assert old_census.schema_version == "1.0.0"
    with pytest.raises(CensusError, match="no layer 'normalized'; there are: raw"):
        old_census.read_counts(HUMAN, np.arange(3), layer="normalized")


def test_counts_of_scattered_cells_and_a_gene_subset_stand_where_their_coordinates_say(
    census: Census, coordinate_counts: NDArray[np.float32]
) -> None:
    joinids, genes = np.array([0, 3, 77, 300, 301, 599]), np.array([7, 2, 119, 0])
    assert read_counts(census, joinids, var_joinids=genes).tolist() == (
        coordinate_counts[joinids][:, genes].tolist()
    )


@pytest.mark.parametrize("block_cells", [1, 13, 600, 4096])
def test_blocks_hold_the_same_counts_whatever_their_size(
    census: Census, coordinate_counts: NDArray[np.float32], block_cells: int
) -> None:
    blocks = list(census.read_counts(HUMAN, np.arange(600), block_cells=block_cells))
    assert np.concatenate([block.joinids for block in blocks]).tolist() == list(range(600))
    assert [block.start for block in blocks] == [int(block.joinids[0]) for block in blocks]
    assert max(len(block.joinids) for block in blocks) == min(block_cells, 600)
    assert np.array_equal(np.vstack([block.counts.toarray() for block in blocks]), coordinate_counts)


def test_index_pointers_are_int64_and_indices_sorted(census: Census) -> None:
    genes = np.arange(120)[::-1].copy()
    (block,) = census.read_counts(HUMAN, np.arange(600), var_joinids=genes)
    assert block.counts.indptr.dtype == np.int64
    assert block.counts.dtype == np.float32
    assert block.counts.has_canonical_format
    ends = block.counts.indptr[1:-1]
    rising = np.diff(block.counts.indices) > 0
    rising[ends[(ends > 0) & (ends < block.counts.nnz)] - 1] = True
    assert rising.all()


def test_totals_are_over_the_genes_that_are_read_or_over_others(
    census: Census, coordinate_counts: NDArray[np.float32]
) -> None:
    joinids, genes, others = np.arange(3, 597, 5), np.array([40, 7, 2]), np.arange(0, 120, 7)
    for totals_over, expected in [(None, genes), (others, others)]:
        blocks = list(
            census.read_counts(HUMAN, joinids, var_joinids=genes, totals_over=totals_over, block_cells=50)
        )
        totals = np.concatenate([block.totals for block in blocks])
        np.testing.assert_array_equal(totals, coordinate_counts[joinids][:, expected].sum(axis=1))
        counts = np.vstack([block.counts.toarray() for block in blocks])
        np.testing.assert_array_equal(counts, coordinate_counts[joinids][:, genes])


def test_blocks_shrink_where_cells_have_many_counts(census: Census, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.census.counts.BLOCK_NONZEROS", 400)
    sizes = [len(block.joinids) for block in census.read_counts(HUMAN, np.arange(600), block_cells=60)]
    # 40 of 120 genes have counts, so that ten cells hold 400.
    assert sizes == [60] + [10] * 54


def test_no_cells_are_no_blocks_and_no_genes_are_refused(census: Census) -> None:
    assert list(census.read_counts(HUMAN, np.array([], np.int64))) == []
    with pytest.raises(ValueError, match="no genes"):
        census.read_counts(HUMAN, np.arange(3), var_joinids=np.array([], np.int64))


def test_a_reader_that_stops_early_leaves_nothing_running(census: Census) -> None:
    blocks = census.read_counts(HUMAN, np.arange(600), block_cells=5)
    assert next(blocks).joinids.tolist() == [0, 1, 2, 3, 4]
    del blocks
    assert read_counts(census, np.array([5])).shape == (1, 120)


@pytest.mark.parametrize(
    ("joinids", "error", "message"),
    [
        (np.array([5, 600]), CensusError, "joinids 5 to 600 of cells: there are 0 to 599"),
        (np.array([-1, 5]), CensusError, "joinids -1 to 5 of cells"),
        (np.array([5, 4]), ValueError, "must ascend"),
        (np.array([4, 4]), ValueError, "must ascend"),
        (np.array([4.0]), ValueError, "give int64"),
    ],
)
def test_joinids_that_cannot_be_read_are_refused(
    census: Census, joinids: NDArray[np.int64], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        census.read_counts(HUMAN, joinids)


def test_genes_asked_for_twice_are_refused(census: Census) -> None:
    with pytest.raises(ValueError, match="joinids of genes must be distinct"):
        census.read_counts(HUMAN, np.arange(3), var_joinids=np.array([1, 1]))


def test_the_normalised_layer_is_the_share_of_a_cell_to_15_bits(
    census: Census, coordinate_counts: NDArray[np.float32], coordinate_genes: pl.DataFrame
) -> None:
    read = read_counts(census, np.arange(600), layer="normalized")
    # Cell 301 is 10x; cell 120 is Smart-seq2, whose counts are divided by the length of the gene first.
    assert np.allclose(read[301], coordinate_counts[301] / coordinate_counts[301].sum(), rtol=2**-15, atol=0)
    per_base = coordinate_counts[120] / coordinate_genes["feature_length"].to_numpy()
    assert np.allclose(read[120], per_base / per_base.sum(), rtol=2**-15, atol=0)
    assert (read.view(np.int32) % 256 == 0).all()


def test_var_holds_genes_with_their_numbers_of_cells(
    census: Census, coordinate_genes: pl.DataFrame, coordinate_counts: NDArray[np.float32]
) -> None:
    var = census.read_var(HUMAN)
    assert var["soma_joinid"].to_list() == list(range(120))
    assert var.select(coordinate_genes.columns).equals(coordinate_genes)
    assert var["nnz"].to_list() == (coordinate_counts > 0).sum(axis=0).tolist()
    assert var["n_measured_obs"].unique().to_list() == [600]


def test_datasets_and_presence_are_addressed_by_joinid(census: Census) -> None:
    datasets = census.read_datasets()
    assert datasets["dataset_id"].to_list() == ["dataset-a", "dataset-b", "dataset-c"]
    assert datasets["dataset_title"].to_list()[1] == "title of dataset-b"
    assert datasets["dataset_total_cell_count"].to_list() == [250, 200, 150]
    assert census.presence(HUMAN).toarray().all()
    assert census.presence(HUMAN).shape == (3, 120)


def test_an_enumeration_holds_each_value_once(census: Census) -> None:
    assert census.enumeration(HUMAN, "disease") == [
        "normal",
        "COVID-19",
        "COVID-19 || type 2 diabetes mellitus",
    ]
    with pytest.raises(CensusError, match="holds int64, not text"):
        census.enumeration(HUMAN, "nnz")


def test_an_unknown_organism_is_answered_with_those_there_are(census: Census) -> None:
    with pytest.raises(CensusError, match="no organism 'mus_musculus'; there are: homo_sapiens"):
        census.n_cells("mus_musculus")
