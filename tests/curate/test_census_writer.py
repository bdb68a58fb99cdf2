from __future__ import annotations

import resource
from typing import TYPE_CHECKING, Any

import cellxgene_census
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp

from curate.census import Census, CensusWriter, Dataset, observation_joinids
from curate.errors import WriteError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

HUMAN = "homo_sapiens"


def genes(n: int) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "feature_id": [f"ENSG{j:011d}" for j in range(n)],
            "feature_name": [f"GENE{j}" for j in range(n)],
            "feature_type": ["protein_coding"] * n,
            "feature_length": [1000] * n,
        }
    )


def obs(n: int, **columns: Any) -> pl.DataFrame:
    return pl.DataFrame({"donor_id": ["donor"] * n, **columns})


def writer(path: Path, *, n_genes: int = 3, **settings: Any) -> CensusWriter:
    return CensusWriter(path, genes=genes(n_genes), build_date="2026-01-31", label="test", **settings)


def counts(rows: list[list[float]]) -> sp.csr_array:
    return sp.csr_array(np.array(rows, np.float32))


def all_measured(n_genes: int = 3) -> NDArray[np.bool_]:
    return np.ones(n_genes, np.bool_)


def read_obs(path: Path) -> pl.DataFrame:
    with Census.open(uri=path) as census:
        frame = pl.from_arrow(pa.concat_tables(census.read_obs(HUMAN, census.obs_columns(HUMAN))))
    assert isinstance(frame, pl.DataFrame)
    return frame.with_columns(pl.col(pl.Categorical).cast(pl.String))


def read_counts(path: Path, layer: str = "raw") -> sp.csr_array:
    with Census.open(uri=path) as census:
        joinids = np.arange(census.n_cells(HUMAN))
        blocks = list(census.read_counts(HUMAN, joinids, layer=layer))
    return sp.csr_array(sp.vstack([block.counts for block in blocks]))


@pytest.mark.filterwarnings("ignore:Transforming to str index")
def test_the_real_package_reads_the_count_of_a_known_gene_in_a_known_cell(
    coordinate_census: Path, coordinate_counts: NDArray[np.float32]
) -> None:
    with cellxgene_census.open_soma(uri=str(coordinate_census)) as census:
        adata = cellxgene_census.get_anndata(
            census, "Homo sapiens", obs_coords=[301], var_value_filter="feature_name == 'GENE2'"
        )
        whole = cellxgene_census.get_anndata(census, "Homo sapiens")
    # 1 + (7 * 301 + 3 * 2) % 50
    assert adata.X.toarray().tolist() == [[14.0]]
    assert adata.obs["observation_joinid"].tolist() == ["cell-0301"]
    assert np.array_equal(whole.X.toarray(), coordinate_counts)


def test_the_real_package_reads_obs_through_a_filter_and_the_presence_matrix(
    coordinate_census: Path, coordinate_obs: pl.DataFrame
) -> None:
    with cellxgene_census.open_soma(uri=str(coordinate_census)) as census:
        cells = cellxgene_census.get_obs(
            census,
            "Homo sapiens",
            value_filter="cell_type == 'B cell' and is_primary_data == True",
            column_names=["soma_joinid", "dataset_id", "nnz"],
        )
        presence = cellxgene_census.get_presence_matrix(census, "Homo sapiens")
        var = cellxgene_census.get_var(census, "Homo sapiens", column_names=["feature_id"])
    expected = (coordinate_obs["cell_type"] == "B cell") & coordinate_obs["is_primary_data"]
    assert cells["soma_joinid"].tolist() == np.flatnonzero(expected).tolist()
    assert set(cells["nnz"]) == {40}
    assert presence.shape == (3, 120)
    assert presence.sum() == 360
    assert var["feature_id"].tolist()[7] == "ENSG00000000007"


def test_counts_over_many_tiles_and_fragments_stand_where_they_were_put(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curate.census.counts_writer.FRAGMENT_NONZEROS", 5000)
    n_cells, n_genes = 4500, 4200
    i = np.repeat(np.arange(n_cells), 8)
    j = (i * 37 + np.tile(np.arange(8) * 523, n_cells)) % n_genes
    x = sp.csr_array(((i + j) % 91 + 1, (i, j)), shape=(n_cells, n_genes)).astype(np.float32)
    with writer(tmp_path / "store", n_genes=n_genes) as store:
        for name, first, last in [("a", 0, 3000), ("b", 3000, 3001), ("c", 3001, n_cells)]:
            measured = all_measured(n_genes)
            store.add_dataset(
                Dataset(name, name), obs(last - first), iter([x[first:last]]), measured=measured
            )
    read = read_counts(tmp_path / "store")
    assert (read - x).count_nonzero() == 0
    assert read[4321, (4321 * 37 + 523) % n_genes] == (4321 + (4321 * 37 + 523) % n_genes) % 91 + 1


def test_how_blocks_and_fragments_are_cut_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, coordinate_counts: NDArray[np.float32]
) -> None:
    x = sp.csr_array(coordinate_counts)
    for name, size, n_nonzeros in [("one", 600, 2**22), ("many", 7, 300)]:
        monkeypatch.setattr("curate.census.counts_writer.FRAGMENT_NONZEROS", n_nonzeros)
        with writer(tmp_path / name, n_genes=120) as store:
            blocks = (x[first : first + size] for first in range(0, 600, size))
            store.add_dataset(Dataset("d", "d"), obs(600), blocks, measured=all_measured(120))
    assert read_obs(tmp_path / "one").equals(read_obs(tmp_path / "many"))
    for layer in ("raw", "normalized"):
        one, many = (read_counts(tmp_path / name, layer) for name in ("one", "many"))
        assert (one - many).count_nonzero() == 0


def test_blocks_of_other_types_and_with_stored_zeros_are_taken(tmp_path: Path) -> None:
    # Gene 0 of the first cell is stored twice, 2 + 3; gene 1 is a stored zero.
    data, indices, indptr = np.array([2, 3, 0, 4]), np.array([0, 0, 1, 2]), np.array([0, 3, 4])
    with writer(tmp_path / "store") as store:
        store.add_dataset(
            Dataset("d", "d"),
            obs(2),
            [sp.csr_array((data, indices, indptr), shape=(2, 3))],
            measured=all_measured(),
        )
    assert read_counts(tmp_path / "store").toarray().tolist() == [[5, 0, 0], [0, 0, 4]]
    assert read_obs(tmp_path / "store")["nnz"].to_list() == [1, 1]


def test_a_cell_without_counts_stays_a_cell(tmp_path: Path) -> None:
    with writer(tmp_path / "store") as store:
        store.add_dataset(
            Dataset("d", "d"), obs(3), [counts([[1, 0, 2], [0, 0, 0], [0, 0, 0]])], measured=all_measured()
        )
    assert read_counts(tmp_path / "store").toarray().tolist() == [[1, 0, 2], [0, 0, 0], [0, 0, 0]]
    read = read_obs(tmp_path / "store")
    assert read["raw_sum"].to_list() == [3, 0, 0]
    assert read["raw_mean_nnz"].to_list() == [1.5, 0, 0]
    assert read["raw_variance_nnz"].to_list() == [0.5, 0, 0]


def test_enumerations_grow_over_datasets(tmp_path: Path) -> None:
    # 200 labels need more than one byte.
    first, second = [f"type {k}" for k in range(100)], [f"type {k}" for k in range(199, 49, -1)]
    with writer(tmp_path / "store") as store:
        for name, labels in [("a", first), ("b", second)]:
            store.add_dataset(
                Dataset(name, name), obs(len(labels), cell_type=labels), None, measured=all_measured()
            )
    read = read_obs(tmp_path / "store")
    assert read["cell_type"].to_list() == first + second
    assert read["dataset_id"].to_list() == ["a"] * 100 + ["b"] * 150
    with Census.open(uri=tmp_path / "store") as census:
        assert census.enumeration(HUMAN, "cell_type") == first + [f"type {k}" for k in range(199, 99, -1)]


def test_many_small_datasets_make_few_fragments_of_obs(tmp_path: Path) -> None:
    with writer(tmp_path / "store") as store:
        for k in range(20):
            store.add_dataset(Dataset(f"d{k}", ""), obs(2), None, measured=all_measured())
    fragments = tmp_path / "store" / "census_data" / HUMAN / "obs" / "__fragments"
    assert len(list(fragments.iterdir())) == 1
    assert read_obs(tmp_path / "store").height == 40


def test_missing_columns_are_filled_in(tmp_path: Path) -> None:
    cells = pl.DataFrame({"cell_type": ["B cell", None], "is_primary_data": [False, None]})
    with writer(tmp_path / "store") as store:
        store.add_dataset(Dataset("d", "d"), cells, [counts([[1, 0, 0], [0, 2, 0]])], measured=all_measured())
    read = read_obs(tmp_path / "store")
    assert read["cell_type"].to_list() == ["B cell", "unknown"]
    assert read["is_primary_data"].to_list() == [False, True]
    assert read["tissue_general_ontology_term_id"].to_list() == ["unknown", "unknown"]
    assert read["observation_joinid"].to_list() == observation_joinids("d", [0, 1])


def test_observation_joinids_are_distinct_hashes_of_dataset_and_name() -> None:
    joinids = observation_joinids("d", ["AAAC-1", "AAAC-2"]) + observation_joinids("e", ["AAAC-1"])
    assert len(set(joinids)) == 3
    assert {len(each) for each in joinids} == {10}
    # Computed once, to notice when they change.
    assert joinids[0] == "K}so43k0Hv"


def test_genes_that_a_dataset_did_not_measure_are_absent_from_the_presence_matrix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curate.census.writer._DATASETS", 1)
    with writer(tmp_path / "store") as store:
        some = np.array([True, False, True])
        store.add_dataset(Dataset("a", ""), obs(2), [counts([[1, 0, 1], [1, 0, 0]])], measured=some)
        store.add_dataset(Dataset("b", ""), obs(1), [counts([[1, 1, 1]])], measured=all_measured())
        store.add_dataset(Dataset("c", ""), obs(1), None, measured=~all_measured())
    with Census.open(uri=tmp_path / "store") as census:
        assert census.presence(HUMAN).toarray().tolist() == [
            [True, False, True],
            [True, True, True],
            [False, False, False],
        ]
        var = census.read_var(HUMAN)
    assert var["n_measured_obs"].to_list() == [3, 1, 3]
    assert var["nnz"].to_list() == [3, 1, 2]
    assert read_obs(tmp_path / "store")["n_measured_vars"].to_list() == [2, 2, 3, None]


def test_cells_are_counted_by_category(tmp_path: Path) -> None:
    cells = obs(
        3,
        cell_type=["B cell", "B cell", "T cell"],
        cell_type_ontology_term_id=["CL:0000236", "CL:0000236", "CL:0000084"],
        is_primary_data=[True, False, True],
    )
    with writer(tmp_path / "store") as store:
        store.add_dataset(Dataset("a", ""), cells, None, measured=all_measured())
        store.add_dataset(Dataset("b", ""), cells[:1], None, measured=all_measured())
    with Census.open(uri=tmp_path / "store") as census:
        table = census.read_cell_counts().filter(pl.col("category").is_in(["all", "cell_type"]))
    assert table.drop("soma_joinid", "organism").rows() == [
        ("all", "na", "na", 4, 3),
        ("cell_type", "T cell", "CL:0000084", 1, 1),
        ("cell_type", "B cell", "CL:0000236", 3, 2),
    ]


def test_statistics_of_a_store_without_counts_are_taken_from_obs_or_null(tmp_path: Path) -> None:
    with writer(tmp_path / "store") as store:
        store.add_dataset(Dataset("a", ""), obs(2, nnz=[5, 6]), None, measured=all_measured())
        store.add_dataset(Dataset("b", ""), obs(1), None, measured=all_measured())
    read = read_obs(tmp_path / "store")
    assert read["nnz"].to_list() == [5, 6, None]
    assert read["raw_sum"].to_list() == [None, None, None]
    assert read_counts(tmp_path / "store").nnz == 0


def test_a_store_of_an_older_schema_lacks_its_later_columns(tmp_path: Path) -> None:
    with writer(tmp_path / "store", schema_version="1.1.0") as store:
        store.add_dataset(Dataset("a", ""), obs(1), [counts([[1, 0, 0]])], measured=all_measured())
    with Census.open(uri=tmp_path / "store") as census:
        columns = census.obs_columns(HUMAN)
        assert census.schema_version == "1.1.0"
        assert census.layers(HUMAN) == ("normalized", "raw")
    assert "nnz" in columns
    assert not {"observation_joinid", "tissue_type"} & set(columns)


def test_another_organism_is_written_under_its_name(tmp_path: Path) -> None:
    with writer(tmp_path / "store", organism="mus_musculus") as store:
        store.add_dataset(Dataset("a", ""), obs(1), None, measured=all_measured())
    with Census.open(uri=tmp_path / "store") as census:
        assert census.organisms == ("mus_musculus",)
        assert census.n_cells("Mus musculus") == 1


ONE = counts([[1, 0, 0]])


@pytest.mark.parametrize(
    ("cells", "blocks", "message"),
    [
        (obs(1), [counts([[0.5, 0, 0]])], "not counts"),
        (obs(1), [counts([[-1, 0, 0]])], "not counts"),
        (obs(1), [counts([[np.nan, 0, 0]])], "not counts"),
        (obs(1), [counts([[np.inf, 0, 0]])], "not counts"),
        (obs(1), [counts([[1, 0]])], "a block has 2 genes, the store 3"),
        (obs(2), [ONE], "blocks hold 1 cells, obs 2"),
        (obs(1), [ONE, ONE], "blocks hold more than the 1 cells of obs"),
        (obs(1), [counts([[1, 0, 2]])], "1 genes have counts and are not in measured"),
        (obs(0), [ONE], "has no cells"),
        (obs(1, celltype=["x"]), [ONE], "obs has columns celltype; the columns to give are assay, "),
        (obs(1, dataset_id=["x"]), [ONE], "obs has columns dataset_id"),
        (obs(1, nnz=[1]), [ONE], "obs has columns nnz"),
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_nothing(
    tmp_path: Path, cells: pl.DataFrame, blocks: list[sp.csr_array], message: str
) -> None:
    measured = np.array([True, True, False])
    with pytest.raises(ValueError, match=message), writer(tmp_path / "store") as store:
        store.add_dataset(Dataset("d", "d"), cells, blocks, measured=measured)
    assert list(tmp_path.iterdir()) == []


def test_a_dataset_added_twice_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="the dataset 'd' was added before"),
        writer(tmp_path / "store") as store,
    ):
        for _ in range(2):
            store.add_dataset(Dataset("d", "d"), obs(1), None, measured=all_measured())
    assert list(tmp_path.iterdir()) == []


def test_a_store_cannot_be_finished_after_a_dataset_failed_half_way(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="counts cannot be taken back"), writer(tmp_path / "store") as store:
        with pytest.raises(ValueError, match="blocks hold 1 cells"):
            store.add_dataset(Dataset("a", ""), obs(2), [ONE], measured=all_measured())
        store.add_dataset(Dataset("b", ""), obs(1), [ONE], measured=all_measured())
    assert list(tmp_path.iterdir()) == []


def test_a_store_without_datasets_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no dataset was added"), writer(tmp_path / "store"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_genes_must_be_distinct(tmp_path: Path) -> None:
    twice = pl.concat([genes(2), genes(1)])
    with pytest.raises(ValueError, match="3 genes with 2 distinct feature_ids"):
        CensusWriter(tmp_path / "store", genes=twice, build_date="", label="")


def test_an_existing_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="exists"), writer(tmp_path):
        pass


def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    def blocks() -> Iterator[sp.csr_array]:
        yield ONE
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), writer(tmp_path / "store") as store:
        store.add_dataset(Dataset("d", "d"), obs(2), blocks(), measured=all_measured())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("n_bytes", [20_000, 200_000])
def test_a_disk_that_takes_no_more_leaves_nothing(tmp_path: Path, n_bytes: int) -> None:
    # A limit on the size of files fails a write as a full disk does; obs or X meets it first.
    rng = np.random.default_rng(0)
    x = sp.csr_array(rng.poisson(0.5, (2000, 500)).astype(np.float32))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        with (
            pytest.raises(WriteError, match=r"could not write .*store: .*; nothing was changed"),
            writer(tmp_path / "store", n_genes=500) as store,
        ):
            store.add_dataset(Dataset("d", "d"), obs(2000), [x], measured=all_measured(500))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_about_full_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curate.census.tables.MIN_FREE_BYTES", 2**70)
    with pytest.raises(WriteError, match="bytes free; a store needs"), writer(tmp_path / "store"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_read_back_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Census, "n_nonzeros", lambda self, organism: 0)
    with (
        pytest.raises(
            WriteError, match=r"\(1, 0, 3\) cells, counts and measured genes can be read of \(1, 1, 3\)"
        ),
        writer(tmp_path / "store") as store,
    ):
        store.add_dataset(Dataset("d", "d"), obs(1), [ONE], measured=all_measured())
    assert list(tmp_path.iterdir()) == []
