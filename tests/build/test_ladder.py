"""Ladders: every manifest of a scaling study, nested when asked, going on after a kill."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from curate.build.build import build
from curate.build.builder import Builder
from curate.build.embeddings.embedding import Embedding
from curate.build.ladder import Ladder, build_ladder
from curate.build.ladder_lines import step_seed
from curate.build.requests import Request
from curate.build.selection import Selection
from curate.build.strategies import STRATEGIES
from curate.corpus import Corpus
from curate.errors import EmbeddingError, ManifestError, SelectionError
from curate.manifests.ladder import json_schema
from curate.manifests.ladders import ladder_names, open_ladder
from curate.manifests.manifest import Manifest
from curate.manifests.registry import Registry
from curate.workspace import Workspace

NESTED = [name for name, strategy in STRATEGIES.items() if strategy.nested and not strategy.needs_task]
FRACTIONS = (0.05, 0.2, 0.6, 1.0)
SCHEMA_PATH = Path(__file__).parents[2] / "manifests" / "ladder-1.schema.json"


@pytest.fixture(scope="module")
def corpus(atlas_workspace: Path) -> Corpus:
    return Workspace.find(atlas_workspace).corpus()


@pytest.fixture(scope="module")
def embedding(corpus: Corpus) -> Embedding:
    return Embedding.open(corpus.embeddings_path / "pca", corpus)


@pytest.fixture
def registry(tmp_path: Path, corpus: Corpus) -> Registry:
    return Registry(tmp_path / "manifests", workspace=Workspace.around(corpus.path))


def joinids(registry: Registry, ref: str) -> set[int]:
    return set(registry.resolve(ref).cells()["soma_joinid"].to_list())


@pytest.mark.parametrize("strategy", NESTED)
def test_every_step_of_a_nested_ladder_contains_the_one_before_it(
    strategy: str, corpus: Corpus, embedding: Embedding, registry: Registry
) -> None:
    ladder = build_ladder(
        corpus,
        registry=registry,
        strategies=[strategy],
        fractions=FRACTIONS,
        seeds=[0, 1],
        nested=True,
        embedding=embedding,
    )
    seeds = [0, 1] if STRATEGIES[strategy].is_drawn else [0]
    assert len(ladder.document.steps) == len(seeds) * len(FRACTIONS)
    for seed in seeds:
        line = [step for step in ladder.document.steps if step.seed == seed]
        assert [step.fraction for step in line] == list(FRACTIONS)
        assert {step.drawn_with for step in line} == {seed}
        cells = [joinids(registry, step.ref) for step in line]
        assert [len(held) for held in cells] == [int(each * corpus.n_cells) for each in FRACTIONS]
        assert all(smaller < larger for smaller, larger in pairwise(cells))
        for below, step in pairwise(line):
            manifest = registry.resolve(step.ref)
            assert [(p.id, p.relation, p.ref) for p in manifest.document.parents] == [
                (below.id, "contains", below.ref)
            ]
            assert manifest.verify().ok


def test_without_nesting_each_step_is_drawn_for_itself_and_can_be_built_alone(
    corpus: Corpus, registry: Registry, tmp_path: Path
) -> None:
    ladder = build_ladder(
        corpus, registry=registry, strategies=["random", "stratified"], fractions=(0.2, 0.4), seeds=[3]
    )
    small, large = ladder.document.steps[:2]
    assert small.drawn_with == step_seed(3, 0.2) != large.drawn_with == step_seed(3, 0.4)
    both = joinids(registry, small.ref) & joinids(registry, large.ref)
    assert len(both) / small.n_cells == pytest.approx(0.4, abs=0.15)
    (alone,) = build(
        corpus, registry=Registry(tmp_path), strategy="random", fraction=0.2, seed=small.drawn_with
    )
    assert alone.id == small.id


def test_the_document_links_the_manifests_and_building_again_adds_nothing(
    corpus: Corpus, embedding: Embedding, registry: Registry
) -> None:
    settings = {
        "strategies": ["random", "sketch", "reweight"],
        "fractions": (0.5, 0.1),
        "seeds": range(2),
        "nested": True,
        "name": "study",
        "parameters": {"k": 40, "by": "tissue_general"},
    }
    first = build_ladder(corpus, registry=registry, embedding=embedding, **settings)  # type: ignore[arg-type]
    assert all(step.is_new for step in first.steps)
    assert first.document.ref == "study@v1"
    assert first.document.fractions == (0.1, 0.5)
    parameters = {each.strategy: each.parameters for each in first.document.strategies}
    assert parameters["random"] == {}
    assert parameters["sketch"]["k"] == 40
    assert parameters["reweight"] == {"by": ["tissue_general"]}
    assert [step.ref for step in first.document.steps[:4]] == [
        "study-random-0.1-s0@v1",
        "study-random-0.5-s0@v1",
        "study-random-0.1-s1@v1",
        "study-random-0.5-s1@v1",
    ]
    again = build_ladder(corpus, registry=registry, embedding=embedding, **settings)  # type: ignore[arg-type]
    assert not any(step.is_new for step in again.steps)
    assert (
        again.document
        == first.document
        == open_ladder(registry, "study")
        == open_ladder(registry, "study@v1")
    )
    assert ladder_names(registry) == ["study"]
    assert "ladders" not in registry.names()
    assert len(registry.names()) == 12


def test_another_ladder_of_the_name_is_its_next_version(corpus: Corpus, registry: Registry) -> None:
    first = build_ladder(corpus, registry=registry, strategies=["random"], fractions=(0.1,))
    second = build_ladder(corpus, registry=registry, strategies=["random"], fractions=(0.1, 0.2))
    assert (first.document.ref, second.document.ref) == ("ladder@v1", "ladder@v2")
    assert [step.is_new for step in second.steps] == [False, True]
    with pytest.raises(ManifestError, match="ladder has no v3; it has v1, v2"):
        open_ladder(registry, "ladder@v3")


class Killed(Exception):
    """Stands for a signal."""


def test_a_ladder_that_was_killed_goes_on_where_it_was(
    corpus: Corpus, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose = Builder.choose
    chosen: list[object] = []

    def until_killed(builder: Builder, request: Request) -> Selection:
        if len(chosen) == 3:
            raise Killed
        chosen.append(request)
        return choose(builder, request)

    def run(registry: Registry) -> Ladder:
        return build_ladder(
            corpus, registry=registry, strategies=["random"], fractions=(0.1, 0.3), seeds=[0, 1], nested=True
        )

    monkeypatch.setattr(Builder, "choose", until_killed)
    with pytest.raises(Killed):
        run(registry)
    assert ladder_names(registry) == []
    assert len(registry.names()) == 3
    chosen.clear()
    finished = run(registry)
    assert len(chosen) == 1
    assert [step.is_new for step in finished.steps] == [False, False, False, True]
    monkeypatch.undo()
    assert finished.document.id == run(Registry(tmp_path / "undisturbed")).document.id


def test_a_manifest_whose_cells_are_gone_is_built_again(corpus: Corpus, registry: Registry) -> None:
    first = build_ladder(corpus, registry=registry, strategies=["random"], fractions=(0.1,))
    folder = registry.version_path(first.steps[0].document.name, 1)
    (folder / "cells.parquet").unlink()
    again = build_ladder(corpus, registry=registry, strategies=["random"], fractions=(0.1,))
    assert [step.is_new for step in again.steps] == [True]
    assert again.document == first.document
    assert registry.open(first.steps[0].document.name, 1).verify().ok


def test_settings_that_keep_a_strategy_from_nesting_are_found_out(
    corpus: Corpus, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other_cells(builder: Builder, request: Request) -> Selection:
        rows = np.arange(request.n_cells)
        return Selection(rows if request.fraction == 0.1 else rows + builder.candidates.n_cells - rows.size)

    monkeypatch.setattr(Builder, "choose", other_cells)
    with pytest.raises(SelectionError, match=r"random with these parameters does not nest: [\d,]+ of the"):
        build_ladder(corpus, registry=registry, strategies=["random"], fractions=(0.1, 0.3), nested=True)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        (
            {"strategies": ["random", "stratified", "blocks"], "nested": True},
            SelectionError,
            "stratified and blocks cannot nest; those that can: random, reweight, sketch, ",
        ),
        ({"strategies": ["rondom"]}, SelectionError, "no strategy named 'rondom'"),
        ({"strategies": []}, SelectionError, "a ladder needs a strategy"),
        ({"fractions": []}, SelectionError, "a ladder needs at least one fraction"),
        ({"fractions": [1e-9]}, SelectionError, "selects 0 cells; use at least"),
        ({"seeds": []}, SelectionError, "seeds none"),
        ({"parameters": {"bye": "x"}}, SelectionError, "random has no parameter 'bye'"),
        ({"strategies": ["sketch"]}, EmbeddingError, "sketch needs an embedding"),
        ({"name": "v2"}, ManifestError, "'v2' cannot name a ladder: it reads like a version"),
        ({"name": "a/b"}, ManifestError, "'a/b' cannot name a manifest"),
        ({"split_by": "tissue_type"}, SelectionError, "tissue_type: 1 unit for 3 splits"),
    ],
)
def test_what_cannot_be_built_is_refused_before_anything_is_written(
    settings: dict[str, object], error: type[Exception], message: str, corpus: Corpus, registry: Registry
) -> None:
    request: dict[str, object] = {"strategies": ["random"], "fractions": (0.1, 0.2)} | settings
    with pytest.raises(error, match=message):
        build_ladder(corpus, registry=registry, **request)  # type: ignore[arg-type]
    assert not registry.path.exists()


def test_no_manifest_can_take_the_name_of_the_folder_of_ladders(corpus: Corpus, registry: Registry) -> None:
    with pytest.raises(ManifestError, match="the folder of ladders is called so"):
        build(corpus, registry=registry, strategy="random", fraction=0.1, name="ladders")


def test_a_changed_ladder_does_not_open(corpus: Corpus, registry: Registry) -> None:
    build_ladder(corpus, registry=registry, strategies=["random"], fractions=(0.1, 0.2))
    path = registry.path / "ladders" / "ladder" / "v0001" / "ladder.json"
    content = json.loads(path.read_text())
    for change, message in [
        ({"nested": True}, "its id is not that of its content"),
        ({"format": 2}, "is a ladder of format 2, this curate reads format 1"),
        ({"seeds": [-1]}, r"is damaged at seeds\.0"),
    ]:
        path.write_text(json.dumps(content | change))
        with pytest.raises(ManifestError, match=message):
            open_ladder(registry, "ladder")
    path.write_text("{")
    with pytest.raises(ManifestError, match="is damaged; remove"):
        open_ladder(registry, "ladder")
    with pytest.raises(ManifestError, match=r"no ladder named 'leader'; .*'ladder'"):
        open_ladder(registry, "leader")


def test_the_published_schema_is_that_of_the_document() -> None:
    # To write it anew: SCHEMA_PATH.write_text(json.dumps(json_schema(), indent=2) + "\n")
    assert json.loads(SCHEMA_PATH.read_text()) == json_schema()


def test_the_steps_of_one_strategy_share_what_it_prepares(
    corpus: Corpus, embedding: Embedding, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = []
    prepare = Builder.__dict__["chooser"].func

    def counted(builder: Builder) -> object:
        prepared.append(builder.chosen.name)
        return prepare(builder)

    monkeypatch.setattr(Builder.chooser, "func", counted)
    build_ladder(
        corpus,
        registry=registry,
        strategies=["random", "sketch"],
        fractions=(0.1, 0.5),
        seeds=[0, 1],
        embedding=embedding,
    )
    assert prepared == ["random", "sketch"]


def test_a_ladder_can_be_split_by_donor(corpus: Corpus, registry: Registry) -> None:
    ladder = build_ladder(
        corpus, registry=registry, strategies=["random"], fractions=(0.2, 1.0), nested=True, split_by="donor"
    )
    small, large = (registry.resolve(step.ref) for step in ladder.document.steps)
    assert isinstance(small, Manifest)
    both = small.cells().join(large.cells(), on="soma_joinid", suffix="_large")
    assert both.height == small.document.n_cells
    assert (both["split"] == both["split_large"]).all()
