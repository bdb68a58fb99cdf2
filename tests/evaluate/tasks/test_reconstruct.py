"""Reconstruction: the linear probe, and the losses of trained models."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, ClassVar, cast

import numpy as np
import polars as pl
import pytest
import torch
from scipy.sparse import csr_array
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.preprocessing import StandardScaler

from curate.build.embeddings.pca import PcaModel, Scaling
from curate.errors import EvaluationError
from curate.evaluate.evaluate import evaluate as evaluated
from curate.evaluate.metrics.reconstruction import Ridge, expression_r2, pca_losses
from curate.evaluate.open import open_data
from curate.evaluate.subject import Subject, control_of, trained
from curate.evaluate.subject import baselines as representations
from curate.evaluate.tasks.reconstruct import ReconstructSettings, evaluate
from curate.gene_space import GeneSpace
from curate.train.loader import Dense
from curate.train.models.model import Facts
from curate.train.models.network import Network
from curate.train.models.settings import NetworkSettings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from curate.evaluate.data import EvaluationData
    from curate.train.artifact import Artifact
    from curate.train.loader import Batch, Encoding
    from curate.workspace import Workspace


@pytest.mark.parametrize("penalty", [1e-3, 1.0])
def test_the_regression_is_that_of_scikit_learn(penalty: float) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 5)) * [1, 2, 3, 4, 0], rng.normal(size=(60, 7)) + 3
    y[:, 0] += x[:, 1]
    ridge = Ridge.of(x[:40], y[:40])
    scaler = StandardScaler().fit(x[:40])
    probe = SklearnRidge(alpha=40 * penalty).fit(scaler.transform(x[:40]), y[:40])
    off = y[40:] - probe.predict(scaler.transform(x[40:]))
    about = y[40:] - y[:40].mean(axis=0)
    assert ridge.r2(x[40:], y[40:], penalty) == pytest.approx(1 - (off**2).sum() / (about**2).sum())


def test_what_is_linear_in_the_vectors_is_told_and_noise_is_not() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 4))
    y = x @ rng.normal(size=(4, 30)) + 1
    told, n_test = expression_r2(x, y, rng=np.random.default_rng(1))
    assert told == pytest.approx(1, abs=1e-3)
    assert n_test == 40
    assert expression_r2(rng.normal(size=(200, 4)), y, rng=np.random.default_rng(1))[0] < 0.02


def test_too_few_cells_or_genes_that_do_not_vary_are_refused() -> None:
    with pytest.raises(EvaluationError, match="9 cells are too few for a regression; give 10 or more"):
        expression_r2(np.ones((9, 2)), np.ones((9, 2)), rng=np.random.default_rng(0))
    with pytest.raises(EvaluationError, match="no gene varies among the 4 held-out cells"):
        expression_r2(np.arange(20.0)[:, None], np.ones((20, 2)), rng=np.random.default_rng(0))


def test_the_loss_of_pca_is_the_squared_error_of_what_it_rebuilds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.evaluate.metrics.reconstruction.BLOCK", 16)
    rng = np.random.default_rng(0)
    counts = csr_array(rng.poisson(1.5, size=(50, 12)).astype(np.uint32))
    totals = np.asarray(counts.sum(axis=1)).ravel() + 3.0
    components = np.linalg.qr(rng.normal(size=(12, 4)))[0].T.astype(np.float32)
    scaling = Scaling(rng.random(12), rng.random(12) + 0.5, target_sum=1e4, max_value=10)
    model = PcaModel(scaling, rng.random(12), components, np.ones(4), np.ones(4))
    scaled = np.log1p(counts.toarray() / totals[:, None] * 1e4)
    scaled = np.clip((scaled - scaling.mean) / scaling.std, -10, 10)
    x = scaled - scaling.zero - model.center
    rebuilt = model.project(counts, totals) @ components
    loss, of_mean = pca_losses(model, counts, totals)
    assert loss == pytest.approx(((x - rebuilt) ** 2).mean(), rel=1e-5)
    assert of_mean == pytest.approx(scaled.var(axis=0).mean())


def test_a_trained_pca_rebuilds_more_than_its_control(
    workspace: Workspace, artifact: Artifact, outside: Path
) -> None:
    subject = trained(artifact, workspace=workspace)
    subjects = [subject, control_of(subject, workspace), *representations()]
    table = evaluated("reconstruct", subjects, open_data(str(outside)), ReconstructSettings())
    held = {
        (kind, metric): value
        for model, kind, metric, value in table.select("model", "kind", "metric", "value").iter_rows()
        if model == "pca" and kind != "baseline"
    }
    assert held["trained", "loss:pca"] < held["untrained", "loss:pca"]
    assert held["trained", "decoder_r2"] > held["untrained", "decoder_r2"]
    assert held["trained", "expression_r2"] > held["untrained", "expression_r2"]
    mean = table.filter(pl.col("method") == "mean-profile")
    assert dict(mean.select("metric", "value").iter_rows()) == {"expression_r2": 0, "decoder_r2": 0}
    assert table.filter(pl.col("metric") == "loss:pca")["higher_is_better"].to_list() == [False, False]


class Zero(Network):
    """Says of every gene that it is not there."""

    summary = reference = "none"
    presets: ClassVar = {}
    settings: NetworkSettings

    def __init__(self, name: str, genes: GeneSpace) -> None:
        super().__init__(NetworkSettings(n_dims=2), genes, Facts())
        self.name = name  # type: ignore[misc]
        self.last = torch.nn.Linear(genes.n_genes, 2)

    def encoding(self) -> Encoding:
        return Dense(self.genes.n_genes)

    def embed_batch(self, batch: Batch) -> torch.Tensor:
        vectors: torch.Tensor = self.last(batch.x)
        return vectors

    def losses(self, batch: Batch, *, step: int) -> Mapping[str, torch.Tensor]:
        error, none = batch.x.square().mean(), torch.tensor(torch.nan)
        of_pairs = {"contrast": none, "triplets": torch.tensor(0.0)}
        is_masked = self.name == "masked"
        return {"loss": error} if is_masked else {"loss": none, "reconstruction": error, **of_pairs}


@dataclass(eq=False)
class Held(Subject):
    """A model in memory, as if it had been opened."""

    held: Network | None = None

    @property
    def id(self) -> str:
        return self.name

    def model(self) -> Network:
        assert self.held is not None
        return self.held


def tried(name: str, cells: EvaluationData) -> dict[str, float]:
    network = Zero(name, GeneSpace(tuple(cells.var_names), tuple(cells.var["feature_name"]))).eval()
    subject = Held(name, "trained", cast("Artifact", SimpleNamespace(id=name)), held=network)
    found = evaluate(subject, cells, ReconstructSettings(), seed=0)
    return {each.metric: each.value for each in found if each.method == "objective"}


def test_what_a_decoder_tells_is_its_error_against_that_of_the_mean_profile(cells: EvaluationData) -> None:
    x = cells.counts.toarray().astype(float)
    x = np.log1p(x / x.sum(axis=1, keepdims=True) * 1e4)
    found = tried("masked", cells)
    assert found == pytest.approx(
        {"loss:masked": (x**2).mean(), "decoder_r2": 1 - (x**2).mean() / x.var(axis=0).mean()}, rel=1e-4
    )


def test_without_a_triplet_only_the_reconstruction_is_a_loss(cells: EvaluationData) -> None:
    found = tried("contrastive", cells)
    assert set(found) == {"loss:contrastive:reconstruction", "decoder_r2"}
    assert cells.notices == [
        "contrastive: no two cells are known to be of one type: its contrastive loss is not defined"
    ]


def test_cells_are_drawn_by_the_seed_and_counted(cells: EvaluationData) -> None:
    settings = ReconstructSettings(max_cells=50)
    [first] = evaluate(representations()[1], cells, settings, seed=0)
    [again] = evaluate(representations()[1], cells, settings, seed=0)
    [other] = evaluate(representations()[1], cells, settings, seed=1)
    assert first == again
    assert first.value != other.value
    assert first.n_cells == 10
    assert cells.notices[0] == "50 of 120 cells drawn at random, seed 0"
