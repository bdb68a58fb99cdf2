from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from scipy.stats import multivariate_normal

from curate.build.build import build
from curate.build.ratio import ratio
from curate.build.strategies.target import prepare, target
from curate.build.task.task import Task
from curate.errors import SelectionError
from curate.manifests.registry import Registry
from curate.ontology import Ontology
from curate.task import TaskDocument

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from curate.build.embeddings.embedding import Embedding
    from curate.build.selection import Selection
    from curate.corpus import Corpus
    from curate.manifests.manifest import Manifest

N = 4_000
NONE = pl.DataFrame()


def cells(n: int = N, *, mean: float = 0.0, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(mean, 1, (n, 2)).astype(np.float32)


def keys(n: int = N, seed: int = 0) -> NDArray[np.uint64]:
    return np.random.default_rng([7, seed]).integers(0, 2**64, n, dtype=np.uint64)


def choose(n: int, *, seed: int = 0, **changed: Any) -> Selection:
    given: dict[str, Any] = {"reference": cells(800, mean=1.2, seed=1)} | changed
    embedding = given.pop("embedding", cells())
    count = 0 if embedding is None else len(embedding)
    return target(NONE, embedding, n, keys=keys(count, seed), rng=np.random.default_rng(0), **given)


@pytest.mark.parametrize("estimator", ["classifier", "knn"])
def test_the_chosen_cells_are_spread_as_the_reference_is(estimator: str) -> None:
    chosen = cells()[choose(80, estimator=estimator).rows]
    # An ideal draw by the true ratio from these very cells.
    true = multivariate_normal([1.2, 1.2]).logpdf(cells()) - multivariate_normal([0, 0]).logpdf(cells())
    ideal = np.average(cells(), axis=0, weights=np.exp(true))
    assert np.abs(chosen.mean(axis=0) - ideal).max() < 0.3
    assert np.abs(chosen.std(axis=0) - 1).max() < 0.3


@pytest.mark.parametrize("mix", [0.2, 0.5])
def test_weighted_means_over_the_chosen_are_those_of_the_corpus(mix: float) -> None:
    embedding, shared = cells(), prepare(cells(), reference=cells(800, mean=1.2, seed=1))["ratios"](keys())
    values = embedding[:, 0] ** 2 + embedding[:, 1]
    totals, sums = [], []
    for seed in range(300):
        selection = choose(200, seed=seed, mix=mix, ratios=lambda _: shared)
        assert selection.weights is not None
        totals.append(float(selection.weights.sum()))
        sums.append(float((selection.weights * values[selection.rows]).sum()))
    for found, true in ((totals, N), (sums, values.sum(dtype=np.float64))):
        assert abs(np.mean(found) - true) < 4 * np.std(found) / np.sqrt(len(found))


def test_a_share_of_background_is_drawn_whatever_the_ratio() -> None:
    embedding = np.concatenate([cells(1_000), cells(1_000, mean=12, seed=2)])
    reference = cells(500, mean=12, seed=3)
    pure, mixed = (choose(200, embedding=embedding, reference=reference, mix=mix) for mix in (0.0, 0.4))
    assert (pure.rows >= 1_000).mean() > 0.99
    assert mixed.notes["n_background"] == 80
    # Half of the background is of the other half of the corpus.
    assert (mixed.rows < 1_000).sum() == pytest.approx(40, abs=15)


@pytest.mark.parametrize("mix", [0.0, 0.3])
def test_choices_nest_background_included(mix: float) -> None:
    ladder = [set(choose(n, mix=mix).rows.tolist()) for n in (1, 10, 11, 200, 3_999)]
    assert all(smaller < larger for smaller, larger in pairwise(ladder))


def test_notes_say_how_the_ratio_and_the_choice_did() -> None:
    notes = choose(300).notes
    assert notes["n_reference"] == 800
    assert notes["n_corpus_sampled"] == N
    assert 0.75 < float(notes["held_out_auc"]) < 0.9
    assert float(notes["held_out_log_loss"]) < float(notes["held_out_log_loss_of_shares"])
    assert 0 < float(notes["held_out_brier"]) < 0.16
    assert float(notes["kl_reduction"]) > 0.5
    assert 1 <= float(notes["effective_size"]) <= 300
    assert notes["weights_cover"] == pytest.approx(choose(300).weights.sum() / N, rel=1e-3)  # type: ignore[union-attr]
    # The mean squared ratio is exp(2 · 1.2²).
    assert float(notes["effective_cells_of_ratio"]) == pytest.approx(N / np.exp(2.88), rel=0.5)
    assert "notice" not in notes


def test_more_cells_than_are_like_the_reference_is_said_with_numbers() -> None:
    embedding = np.concatenate([cells(1_000), cells(50, mean=9, seed=2)])
    selection = choose(200, embedding=embedding, reference=cells(100, mean=9, seed=3))
    assert set(range(1_000, 1_050)) <= set(selection.rows.tolist())
    assert "50 of 1,050 cells are likelier in the reference" in str(selection.notes["notice"])


def test_all_sizes_of_a_seed_share_one_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    embedding, reference = cells(), cells(800, mean=1.2, seed=1)
    shared = prepare(embedding, reference=reference)["ratios"]
    first = shared(keys())
    assert shared(keys()) is first
    assert shared(keys(seed=1)) is not None
    monkeypatch.setattr(ratio, "_fit", lambda *given, **settings: pytest.fail("it was fitted again"))
    np.testing.assert_array_equal(choose(50, ratios=shared).rows, choose(50, ratios=lambda _: first).rows)


def test_the_order_of_the_cells_does_not_matter() -> None:
    order = np.random.default_rng(3).permutation(N)
    moved = target(
        NONE,
        cells()[order],
        300,
        keys=keys()[order],
        rng=np.random.default_rng(0),
        reference=cells(800, mean=1),
    )
    there = choose(300, reference=cells(800, mean=1))
    assert set(order[moved.rows].tolist()) == set(there.rows.tolist())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"reference": None}, "give a task with reference cells"),
        ({"reference": cells(1)}, "has 1 cells, too few"),
        ({"reference": cells(N + 1)}, "more than the 4,000 to choose from"),
        (
            {"reference": cells(100, mean=300), "estimator": "knn"},
            "300 cells asked for, but only 0 have a weight",
        ),
        ({"embedding": np.ones((N, 2), dtype=np.float32)}, "have the same vector"),
        ({"embedding": np.full((N, 2), np.nan, dtype=np.float32)}, "not finite"),
    ],
    ids=["no reference", "one cell", "too large", "all weights zero", "constant", "NaN"],
)
def test_what_cannot_be_chosen_by_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(SelectionError, match=message):
        choose(300, **changed)


def test_an_embedding_is_needed_and_must_be_of_the_cells() -> None:
    for embedding, message in ((None, "needs an embedding"), (cells(9), r"shape \(9, 2\) for 4,000 cells")):
        with pytest.raises(SelectionError, match=message):
            target(NONE, embedding, 3, keys=keys(), rng=np.random.default_rng(0), reference=cells(5))


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Embedding:
    """The embedding of a demo of 4,000 cells; its corpus lies around it."""
    from curate.build.embeddings.embed import embed
    from curate.census import Census
    from curate.corpus.build import build_corpus
    from curate.recipe import Recipe
    from curate.simulate import simulate_atlas

    folder: Path = tmp_path_factory.mktemp("demo")
    simulate_atlas(folder / "census", n_cells=4_000, n_genes=600)
    with Census.open(uri=folder / "census") as census:
        return embed(build_corpus(Recipe.load("demo"), census, folder / "demo"))


def shares_of_branch(manifests: list[Manifest], corpus: Corpus, branch: str) -> list[float]:
    wanted = [branch, *Ontology.load().descendants(branch)]
    term = "cell_type_ontology_term_id"
    types = corpus.columns(["soma_joinid", term]).with_columns(pl.col(term).cast(pl.String))
    of_wanted = types.filter(pl.col(term).is_in(wanted))["soma_joinid"]
    return [float(each.cells()["soma_joinid"].is_in(of_wanted.implode()).mean()) for each in manifests]  # type: ignore[arg-type]


@pytest.mark.parametrize("estimator", ["classifier", "knn"])
@pytest.mark.parametrize(
    "branch", ["CL:0000113", "CL:0000945", "CL:0002319"], ids=["phagocytes", "B", "neural"]
)
def test_a_task_of_one_branch_of_the_demo_gets_its_types(
    branch: str, estimator: str, demo: Embedding, tmp_path: Path
) -> None:
    from curate.corpus import Corpus

    corpus = Corpus.open(demo.path.parents[1])
    document = TaskDocument.model_validate(
        {"name": "branch", "kind": "classification", "wanted": {"cell_types": [branch]}}
    )
    sizes: dict[str, Any] = {"fraction": 0.01, "seed": [0, 1, 2], "registry": Registry(tmp_path)}
    chosen = build(
        corpus,
        strategy="target",
        embedding=demo,
        task=Task.open(document, corpus),
        parameters={"estimator": estimator},
        **sizes,
    )
    of_target = float(np.mean(shares_of_branch(chosen, corpus, branch)))
    at_random = build(corpus, strategy="random", **sizes)
    of_random = float(np.mean(shares_of_branch(at_random, corpus, branch)))
    assert of_target >= 0.95
    # Of a branch that is more than a fifth of the corpus, five times its share is more than there can be.
    assert of_target >= min(0.95, 5 * of_random)
