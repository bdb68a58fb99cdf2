"""Every model beside its untrained control: zero-shot k-NN on real data that it was not trained on."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.measure import curate, done, python
from benchmarks.table import Row, report
from benchmarks.zero_shot_run import N_SPLITS
from curate.train.models import MODELS

HELD_OUT = ("pbmc4k_soupx", "pbmc14k_scminer")
RECIPES = Path(__file__).parent / "recipes"
CORPUS = tuple((RECIPES / "mini-corpus-files.txt").read_text().split())
NOTES = (
    f"macro-F1 of k-NN (k = 5) on the embedding, 80/20, mean over {N_SPLITS} splits of the held-out file, as "
    "in DenAdel et al. 2026; mean and standard deviation over training seeds, where there are several",
    "ours: trained; peer: its untrained control, the same initialisation and no step (hvg: genes at random)",
    f"corpus: {', '.join(CORPUS)}; held out: {', '.join(HELD_OUT)}; one random subset of each size (seed 0)",
    "target: trained above untrained by more than the standard deviation of the difference over training "
    "seeds and splits, which is the noise of one training and one split",
    "the least steps of the presets, and geneformer's batches and learning rate, were chosen on validation "
    "and test cells of the corpus, not on the held-out files",
)


@click.command()
@click.argument("workspace", type=click.Path(path_type=Path))
@click.option("--fraction", "fractions", multiple=True, default=(0.01, 0.1, 1.0), show_default=True)
@click.option("--model", "models", multiple=True, default=tuple(MODELS), show_default=True)
@click.option("--preset", default="tiny", show_default=True)
@click.option("--seeds", "n_seeds", default=3, show_default=True, help="Training seeds of a subset.")
@click.option("--whole-seeds", "n_whole", default=1, show_default=True, help="Of fraction 1.")
@click.option("--note", "more", multiple=True, help="A line under the table.")
def command(
    workspace: Path,
    *,
    fractions: tuple[float, ...],
    models: tuple[str, ...],
    preset: str,
    n_seeds: int,
    n_whole: int,
    more: tuple[str, ...],
) -> None:
    """Train every model on subsets of real data in WORKSPACE, made when it is not there, and probe it.

    What was trained and probed before is found again.
    """
    workspace = workspace.resolve()
    shared = Path(os.environ.get("CURATE_SHARED", "../shared")).resolve()
    if not (workspace / "curate.toml").is_file():
        make_workspace(workspace, shared)
    files = [shared / "data" / f"{name}.h5ad" for name in HELD_OUT]
    rows = []
    for fraction in fractions:
        done(curate("build", "--strategy", "random", "--fraction", str(fraction)), workspace)
        ref, seeds = f"random-{fraction:g}-s0", n_whole if fraction == 1 else n_seeds
        for model in models:
            probe = python("benchmarks.zero_shot_run", workspace, model, ref, preset, seeds, *files)
            found = json.loads(done(probe, Path.cwd()).stdout.splitlines()[-1])
            for name in HELD_OUT:
                rows.append(_row(f"{model}, {fraction:g}", found, name))
                click.echo(" | ".join(rows[-1].fields), err=True)
    report("zero-shot", "Trained and untrained models on held-out real data", rows, notes=[*NOTES, *more])


def make_workspace(workspace: Path, shared: Path) -> None:
    files = [str(shared / "data" / f"{name}.h5ad") for name in CORPUS]
    types = str(RECIPES / "mini-corpus-types.csv")
    workspace.mkdir(parents=True, exist_ok=True)
    for arguments in (
        ("init", ".", "--uri", "store"),
        ("census", "create", "store", *files, "--cell-types", types, "--build-date", "2025-11-22"),
        ("corpus", "build", "--recipe", str(RECIPES / "mini-corpus.toml")),
    ):
        done(curate(*arguments), workspace)


def _row(what: str, found: dict[str, Any], name: str) -> Row:
    ours, theirs = (np.array(found[kind][name]) for kind in ("trained", "untrained"))
    gain, noise = ours - theirs, float(np.std(ours - theirs, ddof=1))
    cost = f"{found['n_cells']:,} cells, {found['n_steps']:,.0f} steps"
    return Row(
        f"{what} ({cost}), {name}",
        _mean(ours),
        _mean(theirs),
        f"{gain.mean():+.3f}",
        f"> {noise:.3f}",
        bool(gain.mean() > noise),
    )


def _mean(scores: np.ndarray) -> str:
    """Write the mean of scores [n_seeds, N_SPLITS] and the deviation of the seeds' means."""
    of_seeds = scores.mean(axis=1)
    return f"{scores.mean():.3f}" + (f" ± {of_seeds.std(ddof=1):.3f}" if len(of_seeds) > 1 else "")
