"""One model on one manifest: trained and not, from several seeds, probed on held-out files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata
import click
import numpy as np

from curate.evaluate.metrics.classification import Predictions, macro_f1
from curate.evaluate.probes.probes import knn
from curate.evaluate.probes.split import split_cells
from curate.manifests import Manifest
from curate.memory import keep_memory
from curate.train.artifact.train import train
from curate.train.embed.cells import embed_cells
from curate.train.fit.plan import FitPlan
from curate.workspace import Workspace

if TYPE_CHECKING:
    from curate.train.artifact import Artifact

N_SPLITS = 10


@click.command()
@click.argument("folder", type=Path)
@click.argument("model")
@click.argument("ref")
@click.argument("preset")
@click.argument("n_seeds", type=int)
@click.argument("files", type=Path, nargs=-1)
def main(folder: Path, model: str, ref: str, preset: Any, n_seeds: int, files: tuple[Path, ...]) -> None:
    """Print scores by file, of each seed and split, and what training cost, as JSON."""
    keep_memory()
    workspace = Workspace.find(folder)
    manifest = Manifest.load(ref, workspace=workspace)
    scores: dict[str, Any] = {kind: {file.stem: [] for file in files} for kind in ("trained", "untrained")}
    n_steps = []
    for seed in range(n_seeds):
        plan = FitPlan(Path(), seed=seed, accelerator="cpu")
        for kind, by_file in scores.items():
            control = kind == "untrained"
            asked: dict[str, Any] = {"preset": preset, "plan": plan, "is_untrained": control}
            artifact = train(model, manifest, workspace=workspace, **asked).artifact
            for file in files:
                by_file[file.stem].append(_scores(artifact, file, workspace.root / "scores"))
            if not control:
                n_steps.append(artifact.header.cost.n_steps)
    n_cells = artifact.header.trained_on.n_cells["train"]
    print(json.dumps(scores | {"n_cells": n_cells, "n_steps": float(np.mean(n_steps))}))


def _scores(artifact: Artifact, file: Path, kept: Path) -> list[float]:
    """Return macro-F1 of each split; what was computed before is read."""
    known = kept / f"{artifact.id}-{file.stem}.json"
    if known.is_file():
        held: list[float] = json.loads(known.read_text())
        return held
    kept.mkdir(exist_ok=True)
    out = known.with_suffix(".npy")
    out.unlink(missing_ok=True)
    embed_cells(artifact, file, out, min_overlap=0.2, accelerator="cpu")
    vectors = np.load(out)
    labels = np.asarray(anndata.read_h5ad(file, backed="r").obs["cell_type"].astype(str), np.str_)
    found = []
    for seed in range(N_SPLITS):
        split = split_cells(labels, seed=seed)
        guess = knn(vectors[split.train], labels[split.train], vectors[split.test])
        found.append(macro_f1(Predictions.of(labels[split.test].tolist(), guess.labels.tolist())))
    known.write_text(json.dumps(found))
    out.unlink()
    return found


if __name__ == "__main__":
    main()
