from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from curate.errors import SourceError
from curate.genes import GeneSpace, gene_table
from curate.h5ad.genes import map_source_genes
from curate.h5ad.source import H5adSource

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

IDS = ["ENSG00000141510", "ENSG00000111640", "ENSG00000090382", "ENSG00000156738", "ENSG00000198851"]


def mapped(path: Path, **options: str | None) -> tuple[list[str | None], dict[str, int]]:
    """Return the feature_id that each gene of a file maps to, and the number of genes by how."""
    with H5adSource.open(path) as source:
        mapping = map_source_genes(source, table=gene_table(), organism="homo_sapiens", **options)
    ids = [mapping.space.feature_ids[t] if t >= 0 else None for t in mapping.target]
    return ids, mapping.how_counts


def test_symbols_in_the_index_are_mapped(write_h5ad: Callable[..., Path]) -> None:
    assert mapped(write_h5ad()) == (IDS, {"index symbol": 5})


def test_versioned_ids_in_the_index_are_mapped(write_h5ad: Callable[..., Path]) -> None:
    assert mapped(write_h5ad(var_names=[f"{gene}.3" for gene in IDS])) == (IDS, {"index id": 5})


@pytest.mark.parametrize("column", ["gene_ids", "feature_id"])
def test_ids_in_a_column_of_common_name_go_before_symbols(
    write_h5ad: Callable[..., Path], column: str
) -> None:
    path = write_h5ad(var_names=["a", "b", "c", "d", "CD3E"], var={column: [*IDS[1:], None]})
    assert mapped(path) == ([*IDS[1:], IDS[4]], {"column id": 4, "index symbol": 1})


def test_a_retired_id_is_mapped_by_its_symbol(write_h5ad: Callable[..., Path]) -> None:
    names = ["ENSG00000999999", *IDS[1:]]
    path = write_h5ad(var_names=names, var={"feature_name": ["TP53", "x", "x", "x", "x"]})
    assert mapped(path) == (IDS, {"column symbol": 1, "index id": 4})


def test_a_named_column_is_taken_for_ids_and_symbols(write_h5ad: Callable[..., Path]) -> None:
    path = write_h5ad(var_names=list("abcde"), var={"my genes": ["TP53", *IDS[1:]]})
    assert mapped(path, gene_column="my genes") == (IDS, {"column id": 4, "column symbol": 1})


def test_an_absent_column_is_refused_with_the_nearest(write_h5ad: Callable[..., Path]) -> None:
    with pytest.raises(SourceError, match="no var column 'gene_id'; did you mean 'gene_ids'"):
        mapped(write_h5ad(var={"gene_ids": IDS}), gene_column="gene_id")


def test_an_antibody_is_not_the_gene_of_its_name(write_h5ad: Callable[..., Path]) -> None:
    kinds = ["Gene Expression"] * 4 + ["Antibody Capture"]
    ids, how = mapped(write_h5ad(var={"feature_types": kinds}))
    assert ids == [*IDS[:4], None]
    assert how == {"index symbol": 4, "no gene": 1}


def test_genes_that_no_table_knows_are_refused_with_what_they_look_like(
    write_h5ad: Callable[..., Path],
) -> None:
    with pytest.raises(
        SourceError,
        match=r"0 of its 5 genes are among the 78,894 of homo_sapiens.*'g1', 'g2', 'g3', ….*--gene-column",
    ):
        mapped(write_h5ad(var_names=["g1", "g2", "g3", "g4", "g5"]))


@pytest.mark.parametrize(
    "names",
    [
        ["Xkr4", "Trp53", "Lyz2", "Ms4a1", "Cd3e"],
        [f"ENSMUSG{n:011d}" for n in (51951, 25900, 33845, 25903, 33813)],
    ],
)
def test_mouse_genes_are_refused_as_human_with_the_organism_named(
    write_h5ad: Callable[..., Path], names: list[str]
) -> None:
    with pytest.raises(
        SourceError,
        match=r"[345] of them are genes of mus_musculus \('.*, …\): take a file of homo_sapiens, "
        r"or a Census of mus_musculus for this one",
    ):
        mapped(write_h5ad(var_names=names))


def test_a_few_shared_names_do_not_hide_that_the_genes_are_mouse(write_h5ad: Callable[..., Path]) -> None:
    mouse = (
        gene_table("mus_musculus").filter(pl.col("feature_type") == "protein_coding")["feature_name"].unique()
    )
    names = ["TP53", *sorted(mouse.to_list())[:400]]
    with pytest.raises(SourceError, match="genes of mus_musculus"):
        mapped(write_h5ad(x=np.ones((2, len(names)), dtype=np.float32), var_names=names))


def test_genes_map_into_a_gene_space_too(write_h5ad: Callable[..., Path]) -> None:
    space = GeneSpace((IDS[4], "other", IDS[0]), ("CD3E", "OTHER", "TP53"))
    with H5adSource.open(write_h5ad()) as source:
        mapping = map_source_genes(source, table=space)
        aligned = np.vstack([mapping.align(block).toarray() for block in source.blocks(11)])
        original = np.vstack([block.toarray() for block in source.blocks(30)])
    assert mapping.measured.tolist() == [True, False, True]
    assert np.array_equal(aligned[:, [0, 2]], original[:, [4, 0]])
    assert not aligned[:, 1].any()
