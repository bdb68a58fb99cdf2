"""Rules on quality in a recipe: dropped in order and counted; the mitochondrial share from the counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp

from curate.census import Census, CensusWriter, Dataset
from curate.corpus.build import build_corpus
from curate.corpus.corpus import CELLS_FILE
from curate.errors import RecipeError
from curate.recipe import Recipe

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from curate.corpus import Corpus

N_CELLS = 60


@pytest.fixture(scope="module")
def counts() -> NDArray[np.float32]:
    """float32 [60, 4]; the last two genes are mitochondrial. Cell i has 100 + i counts, i of them there."""
    i = np.arange(N_CELLS)
    return np.stack([np.full(N_CELLS, 60), np.full(N_CELLS, 40), i // 2, i - i // 2], axis=1).astype(
        np.float32
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, counts: NDArray[np.float32]) -> Path:
    """Two datasets of 30 cells, donors of 10, 20, 25 and 5 cells, every fourth cell a copy."""
    path = tmp_path_factory.mktemp("quality") / "store"
    genes = pl.DataFrame(
        {
            "feature_id": [f"ENSG{j:011d}" for j in range(4)],
            "feature_name": ["GENE", "METTL1", "MT-CO1", "mt-Nd1"],
            "feature_type": ["protein_coding"] * 4,
            "feature_length": [1000] * 4,
        }
    )
    i = np.arange(30)
    with CensusWriter(path, genes=genes, build_date="2026-01-31", label="quality") as writer:
        for number, (dataset, first) in enumerate({"a": 10, "b": 25}.items()):
            obs = pl.DataFrame(
                {
                    "cell_type": ["B cell"] * 30,
                    "cell_type_ontology_term_id": ["CL:0000236"] * 30,
                    "assay": ["10x 3' v3"] * 30,
                    "is_primary_data": i % 4 != 0,
                    "donor_id": np.where(i < first, "1", "2"),
                }
            )
            rows = sp.csr_array(counts[30 * number : 30 * (number + 1)])
            writer.add_dataset(Dataset(dataset, "quality"), obs, [rows], measured=np.ones(4, np.bool_))
    return path


def build(store: Path, path: Path, *, block_cells: int = 2**19, **rules: object) -> Corpus:
    recipe = Recipe.model_validate({"name": "quality", **rules})
    with Census.open(uri=store) as census:
        return build_corpus(recipe, census, path, block_cells=block_cells)


def dropped(corpus: Corpus) -> dict[str, tuple[str, int, int]]:
    return {each.rule: (each.setting, each.n_cells, each.n_matching) for each in corpus.header.dropped}


def test_each_rule_drops_what_was_counted_by_hand(store: Path, tmp_path: Path) -> None:
    quality = {"primary_only": True, "min_counts": 110, "max_counts": 150, "min_genes": 3, "max_genes": 4}
    corpus = build(store, tmp_path / "corpus", quality=quality)
    assert dropped(corpus) == {
        # Rows 0, 4, …, 28 of each dataset.
        "primary_only": ("true", 16, 16),
        # Cells 1, 2, 3, 5, 6, 7, 9 of 0 … 9.
        "min_counts": ("110", 7, 10),
        # 51 … 59 but for 54 and 58 (rows 24 and 28 of b).
        "max_counts": ("150", 7, 9),
        # Cell 0 has two genes, and cell 1 three.
        "min_genes": ("3", 0, 1),
        "max_genes": ("4", 0, 0),
    }
    assert corpus.header.n_read - sum(each.n_cells for each in corpus.header.dropped) == corpus.n_cells == 30


@pytest.mark.parametrize("block_cells", [2**19, 7])
def test_the_mitochondrial_share_is_computed_and_kept(
    store: Path, tmp_path: Path, counts: NDArray[np.float32], block_cells: int
) -> None:
    quality = {"max_mito": 0.2}
    cells = {"filter": "dataset_id == 'a'"}
    corpus = build(store, tmp_path / "corpus", quality=quality, cells=cells, block_cells=block_cells)
    share = counts[:30, 2:].sum(axis=1, dtype=np.float64) / counts[:30].sum(axis=1, dtype=np.float64)
    assert dropped(corpus)["max_mito"] == ("0.2", int((share > 0.2).sum()), int((share > 0.2).sum()))
    np.testing.assert_array_equal(
        corpus.columns(["mito_share"])["mito_share"].to_numpy(), share[share <= 0.2]
    )
    assert corpus.header.columns[-1] == "mito_share"


def test_a_column_of_obs_goes_before_the_counts(store: Path, tmp_path: Path) -> None:
    corpus = build(store, tmp_path / "corpus", quality={"max_mito": 150, "mito_column": "raw_sum"})
    assert dropped(corpus)["max_mito"] == ("150", 9, 9)
    assert "mito_share" not in corpus.header.columns


def test_a_corpus_with_a_rule_that_drops_nothing_is_that_without(store: Path, tmp_path: Path) -> None:
    plain = build(store, tmp_path / "plain")
    ruled = build(store, tmp_path / "ruled", quality={"min_counts": 1, "min_cells_per_donor": 5})
    assert dropped(ruled) == {"min_counts": ("1", 0, 0), "min_cells_per_donor": ("5", 0, 0)}
    assert ruled.id == plain.id


@pytest.mark.parametrize("cell_types", [{}, {"min_cells": 1}])
def test_small_donors_are_left_out_by_dataset_after_the_rules_on_cells(
    store: Path, tmp_path: Path, cell_types: dict[str, int]
) -> None:
    quality = {"primary_only": True, "min_cells_per_donor": 8}
    corpus = build(store, tmp_path / "corpus", quality=quality, cell_types=cell_types, block_cells=11)
    # Primary cells: 7 of a/1, 15 of a/2, 18 of b/1, 4 of b/2.
    assert dropped(corpus)["min_cells_per_donor"] == ("8", 11, 11)
    assert corpus.header.dropped[1].values == {"a": 7, "b": 4}
    donors = corpus.columns(["dataset_id", "donor_id"]).cast(pl.String)
    assert sorted(donors.unique().iter_rows()) == [("a", "2"), ("b", "1")]
    assert corpus.n_cells == 33


def test_the_block_size_changes_nothing(store: Path, tmp_path: Path) -> None:
    quality = {"max_mito": 0.3, "min_cells_per_donor": 8, "min_counts": 103}
    whole = build(store, tmp_path / "whole", quality=quality)
    pieces = build(store, tmp_path / "pieces", block_cells=9, quality=quality)
    assert pieces.id == whole.id
    assert (pieces.path / CELLS_FILE).is_file()
    assert dropped(pieces) == dropped(whole)


@pytest.mark.parametrize(
    ("quality", "message"),
    [
        (
            {"max_doublet_score": 0.2},
            "max_doublet_score needs the obs column 'doublet_score', which this Census",
        ),
        (
            {"max_mito": 0.2, "mito_column": "pct"},
            "max_mito needs the obs column 'pct', which this Census has not",
        ),
        (
            {"min_counts": 150, "max_mito": 0.1},
            r"none of the 60 cells: the rule min_counts \(150\) drops 50, max_mito \(0.1\) drops 10; loosen",
        ),
        ({"max_mito": 0.2, "mito_column": "raw_sum"}, r"raw_sum goes up to 159, so that it holds per cent"),
    ],
)
def test_what_cannot_be_applied_is_one_line(
    store: Path, tmp_path: Path, quality: dict[str, object], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        build(store, tmp_path / "corpus", quality=quality)
    assert not (tmp_path / "corpus").exists()


def test_a_census_without_mitochondrial_genes_cannot_give_the_share(
    coordinate_census: Path, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match="no gene of the Census has a symbol that begins with MT-"):
        build(coordinate_census, tmp_path / "corpus", quality={"max_mito": 0.2})
