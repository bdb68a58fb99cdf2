"""Reconstruction: a model's own loss on cells of elsewhere, beside what its vectors tell of expression.

1. `expression_r2`: how much of held-out cells' expression a linear map of the vectors tells. All
   representations share this scale;
2. `loss:…`: the loss that the model was trained with, computed as in its validation. Losses of different
   objectives cannot be compared, which is why each has its own name: a model is compared with itself,
   trained on other cells;
3. `decoder_r2`: where that loss is a squared error of expression, how much less it is than that of the mean
   profile of the cells. The genes are the model's own: models with the same genes can be compared.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Annotated, Final

import numpy as np
from pydantic import Field

from curate.evaluate.metrics import STUDY
from curate.evaluate.metrics.reconstruction import TEST_FRACTION, expression_r2, pca_losses
from curate.evaluate.results import Score
from curate.evaluate.subject import REPRESENTATIONS
from curate.evaluate.tasks.integrate import check_vectors
from curate.evaluate.tasks.task import EvaluationTask, TaskSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import polars as pl
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from curate.evaluate.data import EvaluationData
    from curate.evaluate.subject import Subject
    from curate.train.loader.batch import Batch
    from curate.train.models.network import Network
    from curate.train.models.pca import Pca

LINEAR_PROBE: Final = "ridge"
OBJECTIVE: Final = "objective"
MEAN_PROFILE: Final = "mean-profile"

LOSSES: Final[dict[str, dict[str, str]]] = {
    "scvi": {
        "elbo": "loss:elbo",
        "reconstruction": "loss:elbo:reconstruction",
        "kl": "loss:elbo:kl",
    },
    "masked": {"loss": "loss:masked"},
    "geneformer": {"loss": "loss:masked-tokens"},
    "contrastive": {
        "loss": "loss:contrastive",
        "contrast": "loss:contrastive:contrast",
        "reconstruction": "loss:contrastive:reconstruction",
    },
}
"""Of each network, the metrics that its losses are, by the names it gives them."""

OF_EXPRESSION: Final = {"masked": "loss", "contrastive": "reconstruction"}
"""Networks of which a loss is the squared error of log-normalised expression, and which."""

OBJECTIVES: Final = ("loss:pca", *(metric for metrics in LOSSES.values() for metric in metrics.values()))


class ReconstructSettings(TaskSettings):
    """Settings of `reconstruct`.

    Attributes
    ----------
    max_cells
        Where there are more, so many are drawn by the seed. The default is the study's.
    """

    max_cells: Annotated[int, Field(ge=10)] | None = 10_000


def evaluate(
    subject: Subject, data: EvaluationData, settings: ReconstructSettings, *, seed: int
) -> list[Score]:
    """Measure what a representation tells of expression, and the model's own loss.

    Cells are taken in an order drawn by the seed, which also decides masks: neighbours in a file are alike,
    and some losses are of the cells of a batch.

    Raises
    ------
    EvaluationError
        When there are too few cells, or the vectors are all the same or not finite.
    ModelError
        When the data have too few of the model's genes.
    """
    rows = _rows(data, settings, seed)
    vectors = subject.embed(data)[rows]
    check_vectors(vectors, of=subject.name)
    r2, n_test = expression_r2(vectors, _expression(data)[rows], rng=np.random.default_rng(seed))
    found = [Score("zero-shot", LINEAR_PROBE, "expression_r2", r2, n_test)]
    if subject.artifact is None:
        return found
    model = subject.model()
    counts, _ = data.aligned(model.genes)
    if model.name == "pca":
        return found + _of_pca(model, counts[rows])  # type: ignore[arg-type]
    if model.name in LOSSES:
        return found + _of_network(model, counts[rows], data.obs[rows], data, seed)  # type: ignore[arg-type]
    data.notice(f"model {model.name} has no loss of its own")
    return found


def baselines(data: EvaluationData, settings: ReconstructSettings, *, seed: int) -> list[Score]:
    """Return what the mean profile tells of expression: nothing, by definition of the share."""
    n_cells = _rows(data, settings, seed).size
    return [
        Score("zero-shot", MEAN_PROFILE, "expression_r2", 0.0, max(round(n_cells * TEST_FRACTION), 1)),
        Score("zero-shot", MEAN_PROFILE, "decoder_r2", 0.0, n_cells),
    ]


def _of_pca(model: Pca, counts: csr_array) -> list[Score]:
    totals = np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel()
    chosen: csr_array = counts[:, model.variable_genes.cpu().numpy()]
    loss, of_mean = pca_losses(model.model, chosen, totals)
    n = counts.shape[0]
    found = [Score("zero-shot", OBJECTIVE, "loss:pca", loss, n)]
    if of_mean > 0:
        found.append(Score("zero-shot", OBJECTIVE, "decoder_r2", 1 - loss / of_mean, n))
    return found


def _of_network(
    network: Network, counts: csr_array, obs: pl.DataFrame, data: EvaluationData, seed: int
) -> list[Score]:
    """Return the losses in batches of the size of training, and what the mean profile's would be."""
    from curate.train.fit.seeds import generators_kept
    from curate.train.fit.validation import mean_losses

    n = counts.shape[0]

    def batches() -> Iterator[Batch]:
        size = min(network.settings.batch_size, n)
        return network.held_out_batches(counts, obs, batch_size=size, seed=seed)

    device = next(network.parameters()).device
    with generators_kept():
        _, losses = mean_losses(network, batches(), count(seed << 32), device, step=0)
    metrics = dict(LOSSES[network.name])
    if losses.get("triplets") == 0:
        data.notice(
            f"{network.name}: no two cells are known to be of one type: its contrastive loss is not defined"
        )
        metrics = {name: metric for name, metric in metrics.items() if name == "reconstruction"}
    found = [Score("zero-shot", OBJECTIVE, metric, losses[name], n) for name, metric in metrics.items()]
    if network.name in OF_EXPRESSION and (of_mean := _of_mean_profile(batches)) > 0:
        share = 1 - losses[OF_EXPRESSION[network.name]] / of_mean
        found.append(Score("zero-shot", OBJECTIVE, "decoder_r2", share, n))
    return found


def _of_mean_profile(batches: Callable[[], Iterator[Batch]]) -> float:
    """Return the squared error of the mean of the cells, over the genes that count, as losses add up."""
    n, total = 0, None
    for batch in batches():
        x = batch.x.double().sum(dim=0)
        total = x if total is None else total + x
        n += len(batch.rows)
    assert total is not None
    error = 0.0
    for batch in batches():
        off = (batch.x.double() - total / n).square()
        if batch.mask is None:
            error += float(off.mean()) * len(batch.rows)
        else:
            error += float((off * batch.mask).sum() / batch.mask.sum().clamp(min=1)) * len(batch.rows)
    return error / n


def _rows(data: EvaluationData, settings: ReconstructSettings, seed: int) -> NDArray[np.int64]:
    """Return cells in an order by keys, one a row."""
    order = np.argsort(np.random.default_rng(seed).random(data.n_cells), kind="stable")
    if settings.max_cells is not None and data.n_cells > settings.max_cells:
        data.notice(f"{settings.max_cells:,} of {data.n_cells:,} cells drawn at random, seed {seed}")
    return order[: settings.max_cells]


@lru_cache(maxsize=1)
def _expression(data: EvaluationData) -> NDArray[np.float32]:
    return REPRESENTATIONS["hvg"](data)


RECONSTRUCT = EvaluationTask(
    name="reconstruct",
    summary="tell expression: by a linear probe, and by the model's own loss",
    reference=STUDY,
    settings=ReconstructSettings,
    evaluate=evaluate,
    baselines=baselines,
    metrics=("expression_r2", "decoder_r2", *OBJECTIVES),
    headline=("expression_r2", "decoder_r2"),
    trivial=MEAN_PROFILE,
    objectives=OBJECTIVES,
)
