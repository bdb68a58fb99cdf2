"""build: from a corpus to manifests."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from curate.build.build import build
from curate.build.covering import covering
from curate.build.embeddings.embedding import Embedding
from curate.build.requests import cells_of_fraction
from curate.build.strategies import STRATEGIES
from curate.corpus import Corpus
from curate.errors import EmbeddingError, FilterError, SelectionError
from curate.manifests.manifest import Manifest
from curate.manifests.registry import Registry
from curate.workspace import Workspace

WITHOUT_TASK = [name for name, strategy in STRATEGIES.items() if not strategy.needs_task]


@pytest.fixture(scope="module")
def corpus(atlas_workspace: Path) -> Corpus:
    return Workspace.find(atlas_workspace).corpus()


@pytest.fixture(scope="module")
def embedding(corpus: Corpus) -> Embedding:
    return Embedding.open(corpus.embeddings_path / "pca", corpus)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path)


def joinids(manifest: Manifest) -> set[int]:
    return set(manifest.cells()["soma_joinid"].to_list())


@pytest.mark.parametrize("name", WITHOUT_TASK)
def test_a_manifest_holds_the_number_of_cells_asked_for_and_verifies(
    name: str, corpus: Corpus, embedding: Embedding, registry: Registry
) -> None:
    (manifest,) = build(corpus, registry=registry, strategy=name, fraction=0.1, embedding=embedding)
    assert manifest.document.n_cells == corpus.n_cells // 10
    assert manifest.name == f"{name}-0.1-s0"
    assert joinids(manifest) <= set(corpus.joinids().tolist())
    assert manifest.verify().ok


@pytest.mark.parametrize("name", WITHOUT_TASK)
def test_building_again_gives_the_same_id_and_adds_no_version(
    name: str, corpus: Corpus, embedding: Embedding, registry: Registry, tmp_path: Path
) -> None:
    arguments = {"strategy": name, "fraction": 0.1, "embedding": embedding}
    (first,) = build(corpus, registry=registry, **arguments)  # type: ignore[arg-type]
    (again,) = build(corpus, registry=registry, **arguments)  # type: ignore[arg-type]
    (elsewhere,) = build(corpus, registry=Registry(tmp_path / "elsewhere"), **arguments)  # type: ignore[arg-type]
    assert (again.ref, again.id) == (first.ref, first.id)
    assert elsewhere.id == first.id
    assert registry.versions(first.name) == [1]


def test_several_sizes_and_seeds_are_built_in_one_call_and_random_nests(
    corpus: Corpus, registry: Registry
) -> None:
    built = build(corpus, registry=registry, strategy="random", fraction=[0.01, 0.1], seed=[0, 1])
    assert [each.name for each in built] == [
        "random-0.01-s0",
        "random-0.01-s1",
        "random-0.1-s0",
        "random-0.1-s1",
    ]
    assert joinids(built[0]) < joinids(built[2])
    assert joinids(built[1]) < joinids(built[3])
    assert joinids(built[2]) != joinids(built[3])


def test_sketches_of_several_sizes_and_seeds_share_one_covering_and_nest(
    corpus: Corpus, embedding: Embedding, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    covered = []

    def counted(*arguments: object, **named: object) -> covering.Covering:
        covered.append(arguments)
        return cover(*arguments, **named)  # type: ignore[arg-type]

    cover = covering.cover
    monkeypatch.setattr(covering, "cover", counted)
    ladder = build(
        corpus,
        registry=registry,
        strategy="sketch",
        fraction=[0.01, 0.1, 0.5, 1],
        seed=[0, 1],
        embedding=embedding,
    )
    assert len(covered) == 1
    for seed in (0, 1):
        one, ten, half, whole = (joinids(manifest) for manifest in ladder[seed::2])
        assert one < ten < half < whole
    other = Registry(tmp_path / "other")
    (alone,) = build(corpus, registry=other, strategy="sketch", fraction=0.1, seed=1, embedding=embedding)
    assert alone.id == ladder[3].id


@pytest.mark.parametrize("engine", ["curate", "geosketch"])
def test_a_sketch_with_replacement_holds_each_cell_once_with_the_times_it_was_drawn(
    engine: str, corpus: Corpus, embedding: Embedding, registry: Registry
) -> None:
    parameters = {"replace": "yes", "engine": engine, "k": 20}
    (manifest,) = build(
        corpus, registry=registry, strategy="sketch", n_cells=500, embedding=embedding, parameters=parameters
    )
    cells = manifest.cells()
    assert cells["weight"].sum() == 500
    assert cells["soma_joinid"].n_unique() == cells.height < 500
    assert manifest.document.selection.parameters["replace"] is True
    assert manifest.verify().ok


def test_a_cell_has_one_split_in_all_subsets(corpus: Corpus, registry: Registry) -> None:
    small, large = build(corpus, registry=registry, strategy="random", n_cells=[200, 800])
    both = small.cells().join(large.cells(), on="soma_joinid", suffix="_large")
    assert both.height == 200
    assert (both["split"] == both["split_large"]).all()


def test_a_size_or_seed_given_twice_is_built_once(corpus: Corpus, registry: Registry) -> None:
    built = build(corpus, registry=registry, strategy="random", n_cells=[7, 7], seed=[0, 0])
    assert [each.ref for each in built] == ["random-n7-s0@v1"]


def test_changed_values_of_an_embedding_do_not_reach_a_manifest(
    corpus: Corpus, embedding: Embedding, registry: Registry, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(embedding.path, tmp_path / "changed"))
    values = np.load(folder / "embedding.npy")
    np.save(folder / "embedding.npy", values[::-1].copy())
    changed = Embedding.open(folder, corpus)
    with pytest.raises(EmbeddingError, match="is damaged: the sha256 of its values"):
        build(corpus, registry=registry, strategy="sketch", fraction=0.1, embedding=changed)


def test_a_filter_restricts_the_choice_and_the_fraction_counts_what_passes(
    corpus: Corpus, embedding: Embedding, registry: Registry
) -> None:
    where = "tissue_general == 'blood' and nnz > 10"
    cells = corpus.columns(["tissue_general", "nnz"])
    n_passing = int(((cells["tissue_general"] == "blood") & (cells["nnz"] > 10)).sum())
    assert 0 < n_passing < corpus.n_cells
    (manifest,) = build(
        corpus,
        registry=registry,
        strategy="sketch",
        fraction=0.5,
        where=where,
        embedding=embedding,
        name="blood",
    )
    assert manifest.ref == "blood@v1"
    assert manifest.obs()["tissue_general"].unique().to_list() == ["blood"]
    assert manifest.document.selection.where == where
    assert manifest.document.selection.n_available == n_passing
    assert manifest.document.n_cells == n_passing // 2


def test_a_filtered_random_choice_is_the_filter_of_the_random_order(
    corpus: Corpus, registry: Registry
) -> None:
    (everything,) = build(corpus, registry=registry, strategy="random", n_cells=1_000)
    (blood,) = build(
        corpus, registry=registry, strategy="random", n_cells=20, where="tissue_general == 'blood'"
    )
    assert joinids(blood) < joinids(everything)


def test_reweight_by_another_column_is_recorded(corpus: Corpus, registry: Registry) -> None:
    (manifest,) = build(
        corpus, registry=registry, strategy="reweight", n_cells=90, parameters={"by": ["tissue_general"]}
    )
    counts = np.array(list(manifest.document.composition["tissue_general"].values()))
    assert counts.max() - counts.min() <= 1
    assert manifest.document.selection.parameters == {"by": ["tissue_general"]}


@pytest.mark.parametrize("fraction", [0, -0.1, 1.1, float("nan"), float("inf")])
def test_a_fraction_that_is_not_a_share_is_refused(
    fraction: float, corpus: Corpus, registry: Registry
) -> None:
    with pytest.raises(SelectionError, match="is not a share; give one above 0 and at most 1"):
        build(corpus, registry=registry, strategy="random", fraction=fraction)
    assert registry.names() == []


def test_a_fraction_of_no_cell_is_refused_with_the_least_that_selects_one() -> None:
    with pytest.raises(SelectionError, match=r"fraction 0.01 of 50 cells selects 0 cells; use at least 0.02"):
        cells_of_fraction(0.01, 50)
    with pytest.raises(SelectionError, match=r"use at least 0.15"):
        cells_of_fraction(0.1, 7)
    assert cells_of_fraction(0.02, 50) == cells_of_fraction(0.15, 7) == 1


def test_a_fraction_is_exact_in_decimals_and_rounds_down() -> None:
    assert cells_of_fraction(0.29, 100) == 29
    assert cells_of_fraction(0.01, 22_189_056) == 221_890
    assert cells_of_fraction(1, 7) == cells_of_fraction(1.0, 7) == 7


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"strategy": "rondom"}, SelectionError, "no strategy named 'rondom'; there are: random, stratified"),
        ({"strategy": "random", "n_cells": 0}, SelectionError, "0 cells asked for"),
        ({"strategy": "random", "n_cells": 10**9}, SelectionError, "1,000,000,000 cells asked for, but only"),
        (
            {"strategy": "random", "fraction": 0.1, "n_cells": 5},
            SelectionError,
            "either a fraction or a number",
        ),
        ({"strategy": "random", "parameters": {"by": "sex"}}, SelectionError, "random has no parameter 'by'"),
        ({"strategy": "random", "where": "tisue == 'lung'"}, FilterError, "did you mean 'tissue'"),
        ({"strategy": "random", "where": "tissue == 'moon'"}, SelectionError, "no cell of corpus 'demo'"),
        ({"strategy": "random", "seed": -1}, SelectionError, "seeds -1; give whole numbers from 0"),
        ({"strategy": "random", "seed": []}, SelectionError, "seeds none; give whole numbers from 0"),
        ({"strategy": "sketch"}, EmbeddingError, "make one with `curate embed demo`"),
    ],
)
def test_a_wrong_request_is_one_line_and_writes_nothing(
    arguments: dict[str, object], error: type[Exception], message: str, corpus: Corpus, registry: Registry
) -> None:
    if "n_cells" not in arguments:
        arguments = {"fraction": 0.1} | arguments
    with pytest.raises(error, match=message):
        build(corpus, registry=registry, **arguments)  # type: ignore[arg-type]
    assert registry.names() == []
