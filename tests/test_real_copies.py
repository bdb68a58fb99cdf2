"""Copies among real cells: a data set under two names, and one cell in two data sets of other genes."""

import shutil
from pathlib import Path

import pytest

from curate.build.duplicates import census_duplicates
from curate.build.holdout import holdout
from curate.census import Census
from curate.census.from_h5ad import create
from curate.corpus.build import build_corpus
from curate.manifests.registry import Registry
from curate.recipe import Recipe

HUMAN = "homo_sapiens"


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> dict[str, Path]:
    """An earlier store, a later one with a data set of it under another name, and one of both."""
    folder = tmp_path_factory.mktemp("real")
    again = folder / "pbmc3k_again.h5ad"
    shutil.copyfile(shared_data / "pbmc3k_clustifyr.h5ad", again)
    pbmc3k, muscat, harmony = (
        shared_data / f"{name}.h5ad" for name in ("pbmc3k_clustifyr", "kang_pbmc_muscat", "kang_pbmc_harmony")
    )
    files = {"earlier": [pbmc3k, muscat], "later": [harmony, again], "both": [pbmc3k, again, muscat, harmony]}
    for name, held in files.items():
        create(folder / name, held)
    return {name: folder / name for name in files}


def test_a_data_set_under_two_names_is_found_cell_by_cell(stores: dict[str, Path], tmp_path: Path) -> None:
    with Census.open(uri=stores["both"]) as census:
        found, cells = census_duplicates(tmp_path, census, HUMAN)
    assert [(each.dataset_a, each.dataset_b, each.n_cells) for each in found.pairs] == [
        ("pbmc3k_again", "pbmc3k_clustifyr", 2638)
    ]
    assert (found.n_surplus, cells.height, found.n_too_few) == (2638, 5276, 2)


def test_cells_in_two_data_sets_of_other_genes_are_found_over_those_of_both(
    stores: dict[str, Path], tmp_path: Path
) -> None:
    with Census.open(uri=stores["both"]) as census:
        found, _ = census_duplicates(tmp_path, census, HUMAN, shared_genes=True)
    pairs = {(each.dataset_a, each.dataset_b): each.n_cells for each in found.pairs}
    assert pairs == {
        ("pbmc3k_again", "pbmc3k_clustifyr"): 2638,
        ("kang_pbmc_harmony", "kang_pbmc_muscat"): 114,
    }


def test_what_came_again_is_not_held_out(stores: dict[str, Path], tmp_path: Path) -> None:
    corpora = {}
    for name in ("earlier", "later"):
        with Census.open(uri=stores[name]) as census:
            corpora[name] = build_corpus(Recipe(name=name), census, tmp_path / name)
    registry = Registry(tmp_path / "manifests")
    found = holdout(corpora["earlier"], corpora["later"], registry=registry, shared_genes=True)
    kinds = {each.dataset: (each.kind, each.n_new, each.n_by_content) for each in found.datasets}
    assert kinds["pbmc3k_again"] == ("re-versioned", 0, 2638)
    assert kinds["kang_pbmc_harmony"] == ("overlapping", 1883, 114)
    assert found.manifest.verify().ok
    assert found.manifest.document.splits.counts["test"] == 1883
