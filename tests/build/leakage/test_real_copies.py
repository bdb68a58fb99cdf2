"""Real copies: the same cells in two public files, processed apart, and thinned, normalised or cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

from curate.build.leakage.compared import CorpusCells
from curate.build.leakage.guard import find_overlap, read_evaluation
from curate.census.from_h5ad import create
from curate.corpus.build import build_corpus
from curate.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from curate.build.leakage.guard import Method
    from curate.corpus import Corpus

CORPUS_FILES = ("kang_pbmc_harmony", "pbmc_multi_ismb2021", "pbmc4k_soupx")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Corpus:
    return corpus_of(CORPUS_FILES, tmp_path_factory.mktemp("copies"), shared_data)


@pytest.fixture(scope="module")
def muscat_corpus(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Corpus:
    files = ("kang_pbmc_muscat", "pbmc3k_clustifyr", "skin_ctcl_scillus")
    return corpus_of(files, tmp_path_factory.mktemp("muscat"), shared_data)


def corpus_of(files: tuple[str, ...], root: Path, data: Path) -> Corpus:
    from curate.census import Census

    create(root / "store", [data / f"{name}.h5ad" for name in files])
    with Census.open(uri=root / "store") as census:
        return build_corpus(Recipe.model_validate({"name": "copies"}), census, root / "copies")


def barcode(name: str) -> str:
    return name.split("_")[-1].split("-")[0]


@pytest.fixture(scope="module")
def kang(shared_data: Path) -> tuple[ad.AnnData, set[tuple[str, int]]]:
    """kang_pbmc_muscat, and the truth: pairs of its cells and rows of kang_pbmc_harmony."""
    muscat = ad.read_h5ad(shared_data / "kang_pbmc_muscat.h5ad")
    harmony = ad.read_h5ad(shared_data / "kang_pbmc_harmony.h5ad", backed="r")
    rows = {
        (barcode(name), condition): row
        for row, (name, condition) in enumerate(
            zip(harmony.obs_names, harmony.obs["perturbation"], strict=True)
        )
    }
    keys = zip(muscat.obs_names, muscat.obs["perturbation"], strict=True)
    truth = {(name, rows[barcode(name), c]) for name, c in keys if (barcode(name), c) in rows}
    assert len(truth) == 114
    return muscat, truth


def found_pairs(corpus: Corpus, path: Path, by: Method = "near") -> set[tuple[str, str, int]]:
    """Return the pairs that a method finds: evaluation cell, dataset, row in the dataset."""
    with corpus.open_census() as census:
        evaluation = read_evaluation(corpus, path, census=census)
        overlap = find_overlap(CorpusCells(corpus, census), evaluation, by=["exact", "near"])
    assert overlap.scan is not None
    near = overlap.scan.pairs.filter(f"is_{by}")
    of_corpus = corpus.columns(["dataset_id"])["dataset_id"].cast(str).to_list()
    first = {name: of_corpus.index(name) for name in set(of_corpus)}
    return {
        (evaluation.names[cell], of_corpus[row], row - first[of_corpus[row]])
        for row, cell in near.select("row", "cell").iter_rows()
    }


def thinned(cells: ad.AnnData, rng: np.random.Generator) -> ad.AnnData:
    counts = sp.csr_matrix(cells.X)
    counts.data = rng.binomial(counts.data.astype(np.int64), 0.8).astype(np.float32)
    counts.eliminate_zeros()
    cells.X = counts
    return cells


def logged(cells: ad.AnnData, rng: np.random.Generator) -> ad.AnnData:
    counts = sp.csr_matrix(cells.X)
    scaled = sp.csr_matrix(counts.multiply(1e4 / counts.sum(axis=1)))
    scaled.data = np.log1p(scaled.data).astype(np.float32)
    cells.X = scaled
    return cells


def panel(cells: ad.AnnData, rng: np.random.Generator) -> ad.AnnData:
    return cells[:, np.sort(rng.choice(cells.n_vars, 300, replace=False))].copy()


def unchanged(cells: ad.AnnData, rng: np.random.Generator) -> ad.AnnData:
    return cells


@pytest.mark.parametrize(
    ("change", "seed"), [(unchanged, 0), (logged, 0), (thinned, 0), (thinned, 1), (panel, 0), (panel, 1)]
)
def test_the_shared_cells_of_two_files_are_found_without_their_barcodes(
    corpus: Corpus,
    kang: tuple[ad.AnnData, set[tuple[str, int]]],
    tmp_path: Path,
    change: Callable[[ad.AnnData, np.random.Generator], ad.AnnData],
    seed: int,
) -> None:
    muscat, truth = kang
    path = tmp_path / "eval.h5ad"
    changed = change(muscat.copy(), np.random.default_rng(seed))
    names = changed.obs_names.to_list()
    changed.obs_names = [f"renamed-{k}" for k in range(changed.n_obs)]
    changed.write_h5ad(path)
    found = {
        (names[int(cell.removeprefix("renamed-"))], dataset, row)
        for cell, dataset, row in found_pairs(corpus, path)
    }
    right = found & {(cell, "kang_pbmc_harmony", row) for cell, row in truth}
    print(f"{change.__name__} {seed}: {len(found)} found, {len(right)} of {len(truth)}")
    assert len(right) >= 0.95 * len(truth)
    assert len(right) >= 0.95 * len(found)


@pytest.mark.parametrize("seed", range(4))
def test_the_shared_cells_are_found_where_the_larger_file_is_cut_and_forty_genes_are_shared(
    muscat_corpus: Corpus,
    kang: tuple[ad.AnnData, set[tuple[str, int]]],
    shared_data: Path,
    tmp_path: Path,
    seed: int,
) -> None:
    muscat, truth = kang
    harmony = ad.read_h5ad(shared_data / "kang_pbmc_harmony.h5ad")
    cut = panel(harmony, np.random.default_rng(seed))
    cut.obs_names = [f"renamed-{k}" for k in range(cut.n_obs)]
    cut.write_h5ad(tmp_path / "eval.h5ad")
    found = found_pairs(muscat_corpus, tmp_path / "eval.h5ad", by="exact")
    place = {name: row for row, name in enumerate(muscat.obs_names)}
    right = found & {(f"renamed-{row}", "kang_pbmc_muscat", place[name]) for name, row in truth}
    assert len(right) >= 0.95 * len(truth)
    assert found == right


def test_a_panel_of_another_kind_of_cell_is_not_found_in_blood(
    muscat_corpus: Corpus, corpus: Corpus, shared_data: Path
) -> None:
    for blood in (muscat_corpus, corpus):
        path = shared_data / "papalexi_thp1_eccite_sceptre.h5ad"
        assert found_pairs(blood, path) == set()


def test_cells_quantified_again_are_found_and_other_blood_is_not(corpus: Corpus, shared_data: Path) -> None:
    found = found_pairs(corpus, shared_data / "pbmc3k_clustifyr.h5ad")
    multi = ad.read_h5ad(shared_data / "pbmc_multi_ismb2021.h5ad", backed="r")
    rows = {barcode(name): row for row, name in enumerate(multi.obs_names) if name.startswith("GSE115189")}
    truth = {
        (cell, "pbmc_multi_ismb2021", rows[barcode(cell)])
        for cell in ad.read_h5ad(shared_data / "pbmc3k_clustifyr.h5ad", backed="r").obs_names
        if barcode(cell) in rows
    }
    assert len(truth) == 297
    assert len(found & truth) >= 0.9 * len(truth)
    assert {dataset for _, dataset, _ in found} == {"pbmc_multi_ismb2021"}
    assert len(found - truth) == 0
