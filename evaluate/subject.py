"""What is evaluated: a trained model, its untrained control, or a representation of the data themselves."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from sklearn.decomposition import PCA

from curate.build.embeddings.hvg import highly_variable_genes
from curate.errors import EvaluationError, ManifestError
from curate.evaluate.data import logged
from curate.manifests.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from curate.evaluate.data import EvaluationData
    from curate.evaluate.results import Kind
    from curate.train.artifact import Artifact
    from curate.train.embed.genes import Overlap
    from curate.train.models.model import Model
    from curate.workspace import Workspace

N_HVGS: Final = 2000
N_COMPONENTS: Final = 50
MAX_VALUE: Final = 10.0


@dataclass(eq=False)
class Subject:
    """Something that turns cells into vectors.

    Attributes
    ----------
    name
        What tables call it: the name of the artifact, or of the baseline.
    artifact
        None of a baseline.
    manifest
        That the artifact was trained on; None of a baseline, or where it is not at hand.
    """

    name: str
    kind: Kind
    artifact: Artifact | None = None
    manifest: Manifest | None = None
    accelerator: str = "auto"
    _model: Model | None = field(default=None, repr=False)
    _vectors: dict[str, tuple[NDArray[np.float32], Overlap | None]] = field(default_factory=dict, repr=False)

    @property
    def id(self) -> str:
        """What decides its vectors: the id of the artifact, or the name of the baseline."""
        return self.artifact.id if self.artifact is not None else f"baseline:{self.name}"

    @property
    def model_key(self) -> str:
        """Its key in MODELS, or the name of the baseline."""
        return self.artifact.header.model if self.artifact is not None else self.name

    def model(self) -> Model:
        """Return the model, in eval mode, on the device; loaded once.

        Raises
        ------
        EvaluationError
            When it is a baseline.
        ModelError
            When the artifact is damaged.
        """
        from curate.train.embed.device import on_device

        if self.artifact is None:
            raise EvaluationError(f"{self.name} is a baseline and has no model; name a trained one")
        if self._model is None:
            self._model = self.artifact.load()
            on_device(self._model, self.accelerator)
        return self._model

    def embed(self, data: EvaluationData) -> NDArray[np.float32]:
        """Return float32 [n_cells, d]; computed once for the same data.

        Raises
        ------
        ModelError
            When the data have too few of the model's genes.
        """
        return self._embedded(data)[0]

    def genes_found(self, data: EvaluationData) -> float | None:
        """Return the share of the model's genes that the data have; None of a baseline."""
        overlap = self._embedded(data)[1] if self.artifact is not None else None
        return None if overlap is None else overlap.found_fraction

    def _embedded(self, data: EvaluationData) -> tuple[NDArray[np.float32], Overlap | None]:
        if data.fingerprint not in self._vectors:
            if self.artifact is None:
                self._vectors[data.fingerprint] = REPRESENTATIONS[self.name](data), None
            else:
                model = self.model()
                counts, overlap = data.aligned(model.genes)
                self._vectors[data.fingerprint] = model.embed(counts), overlap
        found = self._vectors[data.fingerprint]
        if found[1] is not None:
            data.notice_overlap(found[1])
        return found

    def facts(self) -> dict[str, Any]:
        """Return the columns of a result that say what was evaluated."""
        held: dict[str, Any] = {"model": self.model_key, "kind": self.kind, "model_name": self.name}
        if self.artifact is None:
            return held
        header = self.artifact.header
        held |= {
            "corpus": header.trained_on.corpus,
            "manifest": header.asked.manifest,
            "manifest_ref": header.trained_on.manifest_ref,
            "n_train_cells": header.trained_on.n_cells.get("train"),
            "preset": header.preset,
            "model_id": self.artifact.id,
            "seed": header.asked.seed,
            "n_cells_seen": header.cost.n_cells,
            "n_steps": header.cost.n_steps,
            "train_seconds": header.cost.seconds,
        }
        if self.manifest is not None:
            chosen = self.manifest.document.selection
            fraction = chosen.fraction
            if fraction is None and chosen.n_available:
                fraction = chosen.n_cells / chosen.n_available
            held |= {"strategy": chosen.strategy, "fraction": fraction, "subset_seed": chosen.seed}
        return held


def trained(artifact: Artifact, *, workspace: Workspace | None, accelerator: str = "auto") -> Subject:
    """Return a trained model as what is evaluated, with its manifest where that is at hand."""
    kind: Kind = "untrained" if artifact.header.asked.is_untrained else "trained"
    try:
        manifest = Manifest.load(artifact.header.asked.manifest, workspace=workspace)
    except ManifestError:
        manifest = None
    return Subject(artifact.name, kind, artifact, manifest, accelerator)


def control_of(subject: Subject, workspace: Workspace) -> Subject:
    """Return the untrained control of a trained model: the same initialisation, and no step.

    It is made where it is not in the workspace, from the shards of the manifest.

    Raises
    ------
    EvaluationError
        When it cannot be made, saying why.
    """
    from curate.train.artifact.train import train
    from curate.train.fit.plan import FitPlan

    artifact, manifest = subject.artifact, subject.manifest
    if artifact is None or manifest is None:
        raise EvaluationError(f"{subject.name} has no untrained control: its manifest is not at hand")
    if artifact.header.task is not None:
        raise EvaluationError(
            f"{subject.name} was trained for task {artifact.header.task.name!r}; make its untrained control "
            "with `curate train --task FILE --untrained`, and name it"
        )
    asked = artifact.header.asked
    made = train(
        artifact.header.model,
        manifest,
        workspace=workspace,
        preset=artifact.header.preset,  # type: ignore[arg-type]
        changes=asked.settings,
        plan=FitPlan(Path(), seed=asked.seed),
        is_untrained=True,
    )
    return Subject(made.artifact.name, "untrained", made.artifact, manifest, subject.accelerator)


def _hvg(data: EvaluationData) -> NDArray[np.float32]:
    return _variable(data)


def _pca(data: EvaluationData) -> NDArray[np.float32]:
    """Scale (clipped), and take the components: as the study, of the evaluation data themselves."""
    x = _variable(data).astype(np.float64)
    x -= x.mean(axis=0)
    deviation = x.std(axis=0, ddof=1)
    x /= np.where(deviation > 0, deviation, 1)
    np.minimum(x, MAX_VALUE, out=x)
    n = min(N_COMPONENTS, data.n_cells - 1, x.shape[1])
    return np.asarray(PCA(n, svd_solver="full").fit_transform(x), np.float32)


def _variable(data: EvaluationData) -> NDArray[np.float32]:
    """Return log-normalised expression of the highly variable genes, float32 [n_cells, <= N_HVGS]."""
    if data.n_cells < 3:
        raise EvaluationError(f"{data.name} has {data.n_cells} cells; 3 are the least")
    log = logged(data.counts)
    normal = log.copy()
    normal.data = np.expm1(normal.data.astype(np.float64))
    n = data.n_cells
    mean = np.asarray(normal.sum(axis=0)).ravel() / n
    variance = (np.asarray(normal.multiply(normal).sum(axis=0)).ravel() - n * mean**2) / (n - 1)
    chosen = highly_variable_genes(mean, np.maximum(variance, 0), n_top=N_HVGS, keep_ties=False)
    if not chosen.size:
        raise EvaluationError(f"no gene of {data.name} varies; its cells are all alike")
    return np.asarray(log[:, chosen].todense(), np.float32)


REPRESENTATIONS: Final[dict[str, Callable[[EvaluationData], NDArray[np.float32]]]] = {
    "hvg": _hvg,
    "pca": _pca,
}
"""Representations made of the evaluation data themselves: 2,000 highly variable genes, and 50 of their
principal components. Baselines of DenAdel et al. 2026."""


def baselines() -> list[Subject]:
    """Return the representations made of the evaluation data."""
    return [Subject(name, "baseline") for name in REPRESENTATIONS]
