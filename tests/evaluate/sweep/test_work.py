"""The jobs themselves, in this process, on the simulated atlas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from scipy.sparse import csr_matrix

from curate.build.build import build
from curate.build.leakage.guard import read_evaluation
from curate.evaluate.sweep.status import status
from curate.evaluate.sweep.table import read_sweep
from curate.manifests.registry import Registry

if TYPE_CHECKING:
    import pytest

    from tests.evaluate.sweep.conftest import Sweeper


#: One model on one strategy.
LITTLE: dict[str, Any] = {
    "seeds": [0],
    "strategies": [{"name": "random"}],
    "models": [{"name": "hvg", "settings": {"n_dims": 20}}],
}


def test_a_sweep_gives_what_its_parts_give(sweeper: Sweeper) -> None:
    plan = sweeper.plan(models=LITTLE["models"], controls=True, keep_shards=False)
    ended = sweeper.run(plan)
    assert ended.failures == ()
    table = read_sweep(ended.folder).filter(pl.col("metric") == "macro_f1", pl.col("part") == "")
    kinds = table.group_by("kind").len().sort("kind").rows()
    # Majority, logistic, and k-NN on hvg and pca of the data; a control of each seed.
    assert kinds == [("baseline", 4), ("trained", 6), ("untrained", 2)]
    trained = table.filter(pl.col("kind") == "trained")
    assert trained["strategy"].unique().sort().to_list() == ["all", "random", "reweight"]
    assert trained["trivial"].null_count() == 0
    assert trained["leakage"].unique().to_list() == ["none"]
    # All cells are one manifest, on which both seeds were trained.
    whole = trained.filter(pl.col("strategy") == "all")
    assert whole["manifest"].n_unique() == 1
    assert sorted(whole["seed"]) == [0, 1]
    assert trained["model_id"].n_unique() == 6
    # The counts have gone, and were not written into the workspace.
    assert list(ended.folder.shards_path.iterdir()) == []
    assert not sweeper.workspace.shards_path.exists()


def test_another_sweep_finds_what_one_has_made(sweeper: Sweeper) -> None:
    first = sweeper.run(sweeper.plan(**LITTLE))
    second = sweeper.run(sweeper.plan(name="other", **LITTLE))
    assert read_sweep(second.folder).equals(read_sweep(first.folder), null_equal=True)
    assert len(list(sweeper.workspace.models_path.iterdir())) == 2


def test_data_that_hold_training_cells_are_a_recorded_failure(sweeper: Sweeper) -> None:
    build(
        sweeper.workspace.corpus(),
        registry=Registry(sweeper.workspace.manifests_path),
        strategy="random",
        n_cells=300,
        name="leaking",
    )
    changes: dict[str, Any] = {
        "datasets": {"held": {"data": "held"}, "leaking": {"data": "manifest:leaking:train"}}
    }
    changes |= LITTLE | {"fractions": [1.0]}
    ended = sweeper.run(sweeper.plan(**changes))
    [line] = ended.failures
    assert line.startswith("classify on leaking: hvg tiny on all 1 s0: ")
    assert "of leaking are training or validation cells of random-1-s0@v1" in line
    # The other data set has its results; so have the baselines of this one.
    found = read_sweep(ended.folder)
    assert found.filter(pl.col("kind") == "trained")["dataset"].unique().to_list() == ["held"]
    assert set(found["dataset"]) == {"held", "leaking"}
    assert status(ended.folder).counts["evaluate"].n_failed == 1
    # Allowed, they are results that say so.
    ended = sweeper.run(sweeper.plan(leakage="allow", **changes))
    said = read_sweep(ended.folder).filter(pl.col("dataset") == "leaking", pl.col("kind") == "trained")
    assert said["leakage"].str.starts_with("allowed: ").all()


def test_evaluation_data_are_left_out_once_for_all_as_a_build_leaves_them_out(sweeper: Sweeper) -> None:
    from curate.build.leakage.guard import overlap_exclusions

    corpus = sweeper.workspace.corpus()
    [leaking] = build(
        corpus, registry=Registry(sweeper.root / "apart"), strategy="random", n_cells=100, name="leaking"
    )
    type(leaking)(leaking.document, leaking.folder, sweeper.workspace, corpus).to_anndata().write_h5ad(
        sweeper.root / "leaking.h5ad"
    )
    plan = sweeper.plan(
        **LITTLE,
        fractions=[0.1],
        exclude_overlap=True,
        datasets={"held": {"data": "held"}, "leaking": {"data": "leaking.h5ad"}},
    )
    ended = sweeper.run(plan)
    assert ended.failures == ()
    assert not any(job.kind == "leakage" for job in plan.jobs.in_order)
    with corpus.open_census() as census:
        places = [sweeper.root / "held", sweeper.root / "leaking.h5ad"]
        exclusions = [
            each
            for place in places
            for each in overlap_exclusions(
                corpus,
                read_evaluation(corpus, place, census=census),
                census=census,
                by=["joinid", "exact", "near"],
            )
        ]
        [alone] = build(
            corpus,
            registry=Registry(sweeper.root / "apart"),
            strategy="random",
            fraction=0.1,
            exclusions=exclusions,
        )
    swept = Registry(sweeper.workspace.manifests_path).resolve("random-0.1-s0")
    assert swept.id == alone.id
    assert sum(each.n_cells for each in swept.document.exclusions) >= 100


def test_what_could_not_be_told_from_the_corpus_is_said_in_every_result(sweeper: Sweeper) -> None:
    [few] = build(
        sweeper.workspace.corpus(),
        registry=Registry(sweeper.root / "apart"),
        strategy="random",
        n_cells=100,
        name="few",
    )
    held = type(few)(few.document, few.folder, sweeper.workspace, sweeper.workspace.corpus()).to_anndata()
    # No cells of the corpus, of which some detect next to nothing.
    counts = held.X.toarray()[:, ::-1]
    counts[60:, 10:] = 0
    held.X, held.obs = csr_matrix(counts), held.obs[["cell_type"]]
    held.write_h5ad(sweeper.root / "few.h5ad")
    datasets = {"held": {"data": "held"}, "few": {"data": "few.h5ad"}}
    ended = sweeper.run(sweeper.plan(**LITTLE, fractions=[0.1], exclude_overlap=True, datasets=datasets))
    table = read_sweep(ended.folder).filter(pl.col("kind") == "trained")
    said = table.filter(pl.col("dataset") == "few")["leakage"].unique().to_list()
    n_few, of = said[0].split(" of ")
    assert 0 < int(n_few) <= 40
    assert of == "100 cells could not be told from training cells"
    assert table.filter(pl.col("dataset") == "held")["leakage"].unique().to_list() == ["none"]


def test_a_bug_is_recorded_and_the_rest_goes_on(sweeper: Sweeper, monkeypatch: pytest.MonkeyPatch) -> None:
    import curate.evaluate.evaluate

    evaluate = curate.evaluate.evaluate.evaluate

    def broken(task, subjects, *args, **options):  # type: ignore[no-untyped-def]
        if subjects[0].kind == "trained":
            raise ZeroDivisionError("of nothing")
        return evaluate(task, subjects, *args, **options)

    monkeypatch.setattr(curate.evaluate.evaluate, "evaluate", broken)
    ended = sweeper.run(sweeper.plan(**LITTLE))
    assert (ended.n_done, ended.n_failed, ended.n_blocked) == (9, 2, 0)
    assert all("ZeroDivisionError: of nothing" in line for line in ended.failures)
