"""Every model beside its untrained control: zero-shot k-NN on real data that it was not trained on."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import anndata
import click
import numpy as np
import polars as pl

from benchmarks.measure import curate
from benchmarks.table import Row, report, seconds
from curate.evaluate.metrics.classification import Predictions, macro_f1
from curate.evaluate.probes.probes import knn
from curate.evaluate.probes.split import split_cells
from curate.train.models import MODELS

HELD_OUT = ("pbmc4k_soupx", "pbmc14k_scminer")
CORPUS = (
    "pbmc3k_clustifyr",
    "kang_pbmc_muscat",
    "kang_pbmc_harmony",
    "lung_dc_rogue",
    "lung_celllines_mixology",
    "pbmc_hao_speck",
    "pbmc_multi_ismb2021",
    "skin_ctcl_scillus",
    "malt_10x_streak",
    "cardio_ipsc_day2_scgps",
    "cardio_ipsc_day5_scgps",
)
N_SPLITS = 10
RECIPES = Path(__file__).parent / "recipes"
NOTES = [
    f"macro-F1, mean and standard deviation over {N_SPLITS} splits 80/20 of the held-out file; k-NN (k = 5) "
    "on the embedding, as in DenAdel et al. 2026",
    "ours: trained; peer: its untrained control, the same initialisation and no step (hvg: genes at random)",
    f"corpus: {', '.join(CORPUS)}; held out: {', '.join(HELD_OUT)}; subsets at random, seed 0",
    "target: trained above untrained by more than the standard deviation of the difference over the splits",
]


@click.command()
@click.argument("workspace", type=click.Path(path_type=Path))
@click.option("--fraction", "fractions", multiple=True, default=(0.01, 0.1, 1.0), show_default=True)
@click.option("--model", "models", multiple=True, default=tuple(MODELS), show_default=True)
@click.option("--preset", default="tiny", show_default=True)
@click.option("--seed", default=0, show_default=True)
def command(
    workspace: Path, *, fractions: tuple[float, ...], models: tuple[str, ...], preset: str, seed: int
) -> None:
    """Train every model on subsets of real data in WORKSPACE, made when it is not there, and probe it."""
    workspace = workspace.resolve()
    shared = Path(os.environ.get("CURATE_SHARED", "../shared")).resolve()
    if not (workspace / "curate.toml").is_file():
        _make(workspace, shared)
    rows = []
    for fraction in fractions:
        _curate(workspace, "build", "--strategy", "random", "--fraction", str(fraction))
        for model in models:
            asked = (model, f"random-{fraction:g}-s0", "--preset", preset, "--seed", str(seed))
            trained, control = _train(workspace, *asked), _train(workspace, *asked, "--untrained")
            for name in HELD_OUT:
                rows.append(_row(workspace, fraction, trained, control, shared / "data" / f"{name}.h5ad"))
                click.echo(" | ".join(rows[-1].fields), err=True)
    report("zero-shot", "Trained and untrained models on held-out real data", rows, notes=NOTES)


def _make(workspace: Path, shared: Path) -> None:
    files = [str(shared / "data" / f"{name}.h5ad") for name in CORPUS]
    types = str(RECIPES / "mini-corpus-types.csv")
    workspace.mkdir(parents=True, exist_ok=True)
    _curate(workspace, "init", ".", "--uri", "store")
    _curate(
        workspace,
        *("census", "create", "store", *files, "--cell-types", types, "--build-date", "2025-11-22"),
    )
    _curate(workspace, "corpus", "build", "--recipe", str(RECIPES / "mini-corpus.toml"))


def _train(workspace: Path, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        _curate(workspace, "train", *arguments, "--accelerator", "cpu", "--json")
    )
    return found


def _row(
    workspace: Path, fraction: float, trained: dict[str, Any], control: dict[str, Any], data: Path
) -> Row:
    ours, theirs = (_scores(workspace, each["name"], data) for each in (trained, control))
    gain, cost = ours - theirs, trained["cost"]
    n_cells = trained["trained_on"]["n_cells"]["train"]
    return Row(
        f"{trained['model']}, {fraction:g} ({n_cells:,} cells, {cost['n_steps']:,} steps, "
        f"{seconds(cost['seconds'])}), {data.stem}",
        _mean(ours),
        _mean(theirs),
        f"{gain.mean():+.3f}",
        f"> {gain.std(ddof=1):.3f}",
        bool(gain.mean() > gain.std(ddof=1)),
    )


def _scores(workspace: Path, model: str, data: Path) -> np.ndarray:
    """Return macro-F1 of each split, float64 [N_SPLITS]."""
    out = workspace / "vectors" / f"{model}-{data.stem}.parquet"
    if not out.is_file():
        out.parent.mkdir(exist_ok=True)
        _curate(workspace, "embed-cells", model, str(data), "-o", str(out), "--min-overlap", "0.2")
    vectors = pl.read_parquet(out).select(pl.col(pl.Float32)).to_numpy()
    labels = np.asarray(anndata.read_h5ad(data, backed="r").obs["cell_type"].astype(str), np.str_)
    found = []
    for seed in range(N_SPLITS):
        split = split_cells(labels, seed=seed)
        guess = knn(vectors[split.train], labels[split.train], vectors[split.test])
        found.append(macro_f1(Predictions.of(labels[split.test].tolist(), guess.labels.tolist())))
    return np.array(found)


def _curate(workspace: Path, *arguments: str) -> str:
    """Run a command of curate in the workspace and return what it printed."""
    done = subprocess.run(curate(*arguments), cwd=workspace, capture_output=True, text=True, check=False)
    if done.returncode:
        raise click.ClickException(f"curate {' '.join(arguments)}: {done.stderr.strip()[-2000:]}")
    return done.stdout


def _mean(values: np.ndarray) -> str:
    return f"{values.mean():.3f} ± {values.std(ddof=1):.3f}"
