"""add_source: what is registered, and what is refused."""

from __future__ import annotations

import shutil
import tracemalloc
from typing import TYPE_CHECKING, Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp

from curate.errors import SourceError
from curate.gene_tables import gene_table
from curate.h5ad import matrix
from curate.sources.descriptions import Description
from curate.sources.register import Registered, add_source
from curate.sources.source import Source
from curate.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from curate.corpus import Corpus


@pytest.fixture
def corpus(fresh_screen_workspace: Path) -> Corpus:
    return Workspace.find(fresh_screen_workspace).corpus()


@pytest.fixture
def screen(coordinate_screen: Path) -> ad.AnnData:
    return ad.read_h5ad(coordinate_screen)


def written(adata: ad.AnnData, folder: Path, name: str = "other") -> Path:
    path = folder / f"{name}.h5ad"
    adata.write_h5ad(path)
    return path


def register(corpus: Corpus, path: Path, name: str = "other", **options: Any) -> Registered:
    return add_source(
        corpus, name, path, **{"perturbation_column": "gene", "control": ["control"], **options}
    )


def dense(source: Source) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.vstack([block.toarray() for block in source.counts(np.arange(source.n_cells))])


def test_counts_come_back_in_the_genes_of_the_corpus(corpus: Corpus, coordinate_screen: Path) -> None:
    source = register(corpus, coordinate_screen).source
    i, gene = np.ogrid[:90, :120]
    k = 99 - gene
    expected = np.where((i + k) % 4 == 0, 1 + (5 * i + 2 * k) % 40, 0)
    is_measured = (gene >= 10) & (gene < 100)
    assert np.array_equal(dense(source), np.where(is_measured, expected, 0))
    presence = source.genes().presence
    assert presence is not None
    assert presence.of("other").tolist() == is_measured[0].tolist()


def test_the_record_says_what_the_source_is_made_of(corpus: Corpus, coordinate_screen: Path) -> None:
    registered = register(corpus, coordinate_screen, map={"donor_id": "line"})
    header = registered.source.header
    assert header.perturbation.counts == {"A": 30, "control": 30, "B": 20, "C": 10}
    assert header.perturbation.n_control == 30
    assert (header.n_cells, header.genes.n_genes, header.genes.n_mapped, header.genes.n_measured) == (
        90,
        100,
        90,
        90,
    )
    assert header.genes.mapped_fraction == 0.9
    assert header.genes.measured_fraction == 0.75
    assert len(registered.genes.unmapped) == 10
    cells = registered.source.columns(
        ["perturbation", "is_control", "donor_id", "dataset_id", "cell_type", "none"]
    )
    assert cells.row(0) == ("control", True, "K562", "other", "B cell", None)
    assert cells.row(89) == ("C", False, "RPE1", "other", "B cell", None)


def test_totals_are_over_all_genes_of_the_source(
    corpus: Corpus, coordinate_screen: Path, screen: ad.AnnData
) -> None:
    held = register(corpus, coordinate_screen).source.columns(["raw_sum", "nnz"])
    assert held["raw_sum"].to_list() == screen.X.sum(axis=1).A1.tolist()
    assert held["nnz"].to_list() == np.diff(screen.X.indptr).tolist()


def test_genes_that_meet_are_summed(corpus: Corpus, screen: ad.AnnData, tmp_path: Path) -> None:
    names = list(screen.var_names)
    names[99] = f"{names[0]}.5"
    screen.var_names = names
    registered = register(corpus, written(screen, tmp_path))
    assert registered.genes.collisions == {"ENSG00000000099": ("ENSG00000000099", "ENSG00000000099.5")}
    summed = screen.X[:, [0, 99]].sum(axis=1).A1
    assert dense(registered.source)[:, 99].tolist() == summed.tolist()


@pytest.mark.parametrize("layout", ["dense", "csc", "int32"])
def test_the_fingerprint_is_of_the_content_whatever_the_bytes(
    corpus: Corpus, screen: ad.AnnData, tmp_path: Path, layout: str
) -> None:
    layouts = {"dense": screen.X.toarray(), "csc": screen.X.tocsc(), "int32": screen.X.astype(np.int32)}
    screen.X = layouts[layout]
    again = register(corpus, written(screen, tmp_path)).source
    first = Source.open(corpus.sources_path / "screen", corpus)
    assert again.id == first.id
    assert np.array_equal(dense(again), dense(first))


@pytest.mark.parametrize("change", ["count", "cell name", "gene name", "perturbation", "order"])
def test_every_change_of_content_changes_the_fingerprint(
    corpus: Corpus, screen: ad.AnnData, tmp_path: Path, change: str
) -> None:
    if change == "count":
        screen.X.data[7] += 1
    elif change == "cell name":
        screen.obs_names = ["other", *screen.obs_names[1:]]
    elif change == "gene name":
        screen.var_names = ["ENSG00000000119", *screen.var_names[1:]]
    elif change == "perturbation":
        screen.obs["gene"] = ["A", *screen.obs["gene"].astype(str)[1:]]
    else:
        screen = screen[::-1].copy()
    other = register(corpus, written(screen, tmp_path)).source
    assert other.id != Source.open(corpus.sources_path / "screen", corpus).id


def test_a_store_of_the_census_layout_is_a_source_too(
    corpus: Corpus, coordinate_census: Path, coordinate_counts: np.ndarray[Any, np.dtype[np.float32]]
) -> None:
    registered = register(
        corpus, coordinate_census, "store", perturbation_column="cell_type", control=["B cell"]
    )
    source = registered.source
    assert source.header.file.kind == "census"
    assert np.array_equal(dense(source), coordinate_counts)
    assert (
        source.columns(["dataset_id"])["dataset_id"].to_list()
        == ["dataset-a"] * 250 + ["dataset-b"] * 200 + ["dataset-c"] * 150
    )
    some = np.array([3, 77, 599])
    assert np.array_equal(np.vstack([b.toarray() for b in source.counts(some)]), coordinate_counts[some])


def test_values_that_are_no_counts_are_refused_and_the_layers_with_counts_named(
    corpus: Corpus, screen: ad.AnnData, tmp_path: Path
) -> None:
    screen.layers["umi"] = screen.X.copy()
    screen.X = screen.X.log1p()
    with pytest.raises(
        SourceError,
        match=r"X has values that are no integers \(.*\)\. Counts are in umi: take it with --layer umi",
    ):
        register(corpus, written(screen, tmp_path))
    assert (
        register(corpus, written(screen, tmp_path, "layered"), layer="umi").source.header.file.layer == "umi"
    )


def test_without_control_cells_a_source_is_refused(corpus: Corpus, coordinate_screen: Path) -> None:
    with pytest.raises(
        SourceError,
        match=r"has no control cells: none of 90 cells has 'non-targeting' in gene, most have 'A' \(30\)",
    ):
        register(corpus, coordinate_screen, control=["non-targeting"])
    assert not (corpus.sources_path / "other").exists()


def test_an_absent_perturbation_column_is_refused_with_the_nearest(
    corpus: Corpus, coordinate_screen: Path
) -> None:
    with pytest.raises(
        SourceError, match=r"no obs column 'genes' to take perturbations from; did you mean 'gene'"
    ):
        register(corpus, coordinate_screen, perturbation_column="genes")


def test_mouse_genes_are_refused_by_name(corpus: Corpus, screen: ad.AnnData, tmp_path: Path) -> None:
    names = gene_table("mus_musculus").filter(pl.col("feature_type") == "protein_coding")["feature_name"]
    screen.var_names = names.unique(maintain_order=True).head(100).to_list()
    with pytest.raises(
        SourceError,
        match=r"0 of its 100 genes are among the 120 of homo_sapiens.*genes of mus_musculus \('Xkr4'",
    ):
        register(corpus, written(screen, tmp_path))


def test_too_few_shared_genes_are_refused_with_both_shares(
    corpus: Corpus, screen: ad.AnnData, tmp_path: Path
) -> None:
    screen.var_names = [*screen.var_names[:30], *(f"strange-{k}" for k in range(70))]
    path = written(screen, tmp_path)
    with pytest.raises(
        SourceError,
        match=r"has 30 of its 100 genes \(30\.0%\); it measured 30 of the corpus' 120 \(25\.0%\);",
    ):
        register(corpus, path)
    assert register(corpus, path, min_overlap=0.3).source.header.genes.n_mapped == 30


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("screen", "has a source 'screen' already"),
        ("census", "are the corpus' own cells"),
        ("a b", "cannot be"),
    ],
)
def test_a_name_that_is_taken_or_none_is_refused(
    corpus: Corpus, coordinate_screen: Path, name: str, message: str
) -> None:
    with pytest.raises(SourceError, match=message):
        register(corpus, coordinate_screen, name)


def test_a_description_stands_in_and_differences_are_noted(corpus: Corpus, coordinate_screen: Path) -> None:
    description = Description(
        title="A screen",
        file="other.h5ad",
        n_bytes=5,
        n_cells=91,
        perturbation_column="gene",
        control=("control",),
    )
    header = add_source(
        corpus, "described", coordinate_screen, description=description, description_name="a-screen"
    ).source.header
    assert header.perturbation.n_control == 30
    assert header.description == "a-screen"
    assert [note.partition(": ")[2] for note in header.notes] == [
        "its name is 'screen.h5ad', described 'other.h5ad'",
        f"its size in bytes is {coordinate_screen.stat().st_size:,}, described 5",
        "its number of cells is 90, described 91",
    ]


def test_what_a_description_does_not_say_must_be_given(corpus: Corpus, coordinate_screen: Path) -> None:
    with pytest.raises(
        SourceError,
        match="--perturbation-column and --control must be given; the description 'A screen' does not",
    ):
        add_source(corpus, "described", coordinate_screen, description=Description(title="A screen"))


def test_memory_does_not_grow_with_a_dense_file(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_cells, n_genes = 60_000, 110
    path = tmp_path / "dense.h5ad"
    obs = pd.DataFrame({"gene": ["control", "A"] * (n_cells // 2)}, index=[f"c{n}" for n in range(n_cells)])
    var = pd.DataFrame(index=[f"ENSG{n:011d}" for n in range(n_genes)])
    ad.AnnData(sp.coo_array((n_cells, n_genes), dtype=np.float32).tocsr(), obs=obs, var=var).write_h5ad(path)
    with h5py.File(path, "a") as file:
        del file["X"]
        values = file.create_dataset(
            "X", (n_cells, n_genes), np.float64, chunks=(1000, n_genes), compression="gzip"
        )
        values.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
        for start in range(0, n_cells, 10_000):
            values[start : start + 10_000] = (np.arange(10_000)[:, None] + np.arange(n_genes)) % 7 == 0
    monkeypatch.setattr(matrix, "MAX_VALUES", 2**17)
    source = Source.open(corpus.sources_path / "screen", corpus)
    register(corpus, path, "warm", perturbation_column="gene")
    shutil.rmtree(corpus.sources_path / "warm")
    assert source.n_cells == 90
    tracemalloc.start()
    source = register(corpus, path, perturbation_column="gene").source
    for _ in source.counts(np.arange(0, n_cells, 3)):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The matrix is 53 MB; the obs columns of 60,000 cells are most of what is held.
    assert peak < 0.75 * 8 * n_cells * n_genes
