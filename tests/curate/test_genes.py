from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import SourceError
from curate.genes import GeneMapping, GeneSpace, How, gene_table, map_genes, strip_version

if TYPE_CHECKING:
    from pathlib import Path

TABLE = pl.DataFrame(
    {
        "feature_id": [
            "ENSG00000000001",
            "ENSG00000000002",
            "ENSG00000000003",
            "ENSG00000000004",
            "ENSG00000000005",
        ],
        "feature_name": ["ONE", "TWIN", "TWIN", "PAIR", "PAIR"],
        "feature_type": ["protein_coding", "lncRNA", "protein_coding", "lncRNA", "lncRNA"],
    }
)


def test_the_digest_is_that_of_the_ordered_ids() -> None:
    space = GeneSpace(("b", "a"), ("B", "A"))
    assert space.digest == hashlib.sha256(b"b\na").hexdigest()
    assert space.digest == GeneSpace(("b", "a"), ("other", "names")).digest
    assert space.digest != GeneSpace(("a", "b"), ("A", "B")).digest


def test_a_gene_space_is_read_from_a_list_in_its_order(tmp_path: Path) -> None:
    path = tmp_path / "genes.csv"
    path.write_text("feature_id,feature_name\nb,B\na,A\n")
    space = GeneSpace.read(path)
    assert space == GeneSpace(("b", "a"), ("B", "A"))
    assert space.n_genes == 2
    assert space.index == {"b": 0, "a": 1}
    assert GeneSpace.from_table(space.table()) == space


def test_a_gene_that_stands_twice_is_refused() -> None:
    with pytest.raises(SourceError, match=r"1 gene ids stand more than once \(a 2 times\)"):
        GeneSpace(("a", "b", "a"), ("A", "B", "A"))


def test_names_and_ids_must_be_as_many() -> None:
    with pytest.raises(SourceError, match="2 gene ids but 1 gene names"):
        GeneSpace(("a", "b"), ("A",))


@pytest.mark.parametrize(
    ("name", "position", "how"),
    [
        ("ENSG00000000001", 0, "index id"),
        ("ENSG00000000001.7", 0, "index id"),
        ("ENSG00000000001.7_PAR_Y", 0, "index id"),
        ("ONE", 0, "index symbol"),
        ("TWIN", 2, "index symbol"),
        ("PAIR", -1, "ambiguous symbol"),
        ("NONE", -1, "unmapped"),
        ("ENSG00000000009", -1, "unmapped"),
    ],
)
def test_a_gene_is_mapped_by_its_name(name: str, position: int, how: str) -> None:
    mapping = map_genes([name], table=TABLE)
    assert mapping.target.tolist() == [position]
    assert mapping.how == (how,)


def test_ids_go_before_symbols_and_the_index_before_the_columns() -> None:
    mapping = map_genes(
        ["ENSG00000000001", "ENSG00000000009", "ONE", "ONE", "ENSG00000000009"],
        ids=["ENSG00000000002", "ENSG00000000002.3", "ENSG00000000003", None, None],
        symbols=["TWIN", "ONE", "ONE", "TWIN", "ONE"],
        table=TABLE,
    )
    assert mapping.target.tolist() == [0, 1, 2, 2, 0]
    assert mapping.how == ("index id", "column id", "column id", "column symbol", "column symbol")


def test_without_types_a_symbol_of_two_genes_is_ambiguous() -> None:
    assert map_genes(["TWIN"], table=TABLE.drop("feature_type")).how == ("ambiguous symbol",)
    assert map_genes(["TWIN", "ONE"], table=GeneSpace.from_table(TABLE)).target.tolist() == [-1, 0]


def test_a_pseudoautosomal_symbol_is_the_gene_on_x_with_or_without_types() -> None:
    for table in (gene_table(), gene_table().drop("feature_type"), GeneSpace.from_table(gene_table())):
        mapping = map_genes(["CD99", "IL3RA"], table=table)
        assert [mapping.space.feature_ids[t] for t in mapping.target] == [
            "ENSG00000002586",
            "ENSG00000185291",
        ]


def test_columns_must_have_one_value_a_gene() -> None:
    with pytest.raises(SourceError, match="1 symbols for 2 genes"):
        map_genes(["a", "b"], symbols=["A"], table=TABLE)


def test_what_did_not_map_and_what_met_is_listed() -> None:
    mapping = map_genes(["ONE", "PAIR", "ENSG00000000001", "NONE", "TWIN"], table=TABLE)
    assert mapping.unmapped == ("PAIR", "NONE")
    assert mapping.collisions == {"ENSG00000000001": ("ONE", "ENSG00000000001")}
    assert mapping.n_mapped == 3
    assert mapping.how_counts == {"ambiguous symbol": 1, "index id": 1, "index symbol": 2, "unmapped": 1}
    assert mapping.measured.tolist() == [True, False, True, False, False]


def test_aligned_counts_drop_unmapped_genes_and_sum_those_that_meet() -> None:
    mapping = map_genes(["ONE", "PAIR", "ENSG00000000001", "TWIN"], table=TABLE)
    counts = sp.csr_array(np.array([[1, 2, 3, 4], [0, 5, 0, 0], [0, 0, 7, 0]], dtype=np.float32))
    aligned = mapping.align(counts)
    assert aligned.toarray().tolist() == [[4, 0, 4, 0, 0], [0, 0, 0, 0, 0], [7, 0, 0, 0, 0]]
    assert aligned.dtype == np.float32
    assert aligned.indptr.dtype == np.int64
    assert aligned.nnz == 3


def test_a_restricted_mapping_aligns_to_the_chosen_genes_in_their_order() -> None:
    mapping = map_genes(["ONE", "TWIN", "ENSG00000000004"], table=TABLE).restricted(np.array([2, 0]))
    assert mapping.space.feature_ids == ("ENSG00000000003", "ENSG00000000001")
    assert mapping.target.tolist() == [1, 0, -1]
    assert mapping.unmapped == ("ENSG00000000004",)
    counts = sp.csr_array(np.array([[1, 2, 3]], dtype=np.float32))
    assert mapping.align(counts).toarray().tolist() == [[2, 1]]


@given(
    target=st.lists(st.integers(-1, 4), min_size=1, max_size=12),
    values=st.lists(st.integers(0, 9), min_size=36, max_size=36),
)
def test_alignment_equals_the_sum_over_the_genes_that_map_there(target: list[int], values: list[int]) -> None:
    n = len(target)
    dense = np.array(values[: 3 * n], dtype=np.float32).reshape(3, n)
    space = GeneSpace.from_table(TABLE)
    how: list[How] = ["index id"] * n
    mapping = GeneMapping(np.array(target), space, tuple("g" * n), tuple(how))
    expected = np.zeros((3, 5), dtype=np.float32)
    for j, place in enumerate(target):
        if place >= 0:
            expected[:, place] += dense[:, j]
    aligned = mapping.align(sp.csr_array(dense))
    assert np.array_equal(aligned.toarray(), expected)
    assert aligned.has_canonical_format


@pytest.mark.parametrize(
    ("gene", "stripped"),
    [
        ("ENSG00000141510.18", "ENSG00000141510"),
        ("ENSMUSG00000051951.6", "ENSMUSG00000051951"),
        ("AL627309.1", "AL627309.1"),
        ("FBgn0000001", "FBgn0000001"),
    ],
)
def test_only_ensembl_ids_lose_their_version(gene: str, stripped: str) -> None:
    assert strip_version(gene) == stripped


def test_every_unique_symbol_of_the_shipped_table_maps_to_its_gene() -> None:
    table = gene_table()
    unique = table.filter(~pl.col("feature_name").is_duplicated())
    mapping = map_genes(unique["feature_name"].to_list(), table=table)
    assert mapping.n_mapped == unique.height
    assert [mapping.space.feature_ids[i] for i in mapping.target] == unique["feature_id"].to_list()


def test_the_gene_list_of_the_study_is_read_in_order(shared_data: Path) -> None:
    space = GeneSpace.read(shared_data / "reference" / "sctab_genes.csv.gz")
    assert space.n_genes == 19_331
    assert space.feature_names[0] == "OR4F5"
