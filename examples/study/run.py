"""The study of DenAdel et al. 2026 in small, on simulated data: one command, from the atlas to the report.

    python examples/study/run.py FOLDER [--quick]

1. an atlas of 200,000 cells and two Perturb-seq screens are simulated;
2. the corpus, its embedding, and one of the screens as a source of spike-ins;
3. the sweep of quick.toml or full.toml;
4. its report and pictures.

A step whose result is there is not run again: killed, the same command goes on.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import click

from curate.simulate import simulate_atlas, simulate_screen

HERE = Path(__file__).parent
N_CELLS = 200_000
N_SCREEN_CELLS = 6_000


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--quick", is_flag=True, help="Minutes instead of hours.")
@click.option("--workers", default=2, show_default=True, help="Processes that train and evaluate.")
def main(folder: Path, *, quick: bool, workers: int) -> None:
    """Run the study in small in FOLDER."""
    grid = "quick.toml" if quick else "full.toml"
    # 1. What there is to learn from, and to be tried on.
    if not (folder / "curate.toml").exists():
        folder.mkdir(parents=True, exist_ok=True)
        curate(folder, "init", ".", "--uri", "simulated-census")
    if not (folder / "simulated-census").exists():
        simulate_atlas(folder / "simulated-census", n_cells=N_CELLS)
    for name, seed in (("simulated-screen.h5ad", 0), ("simulated-screen-2.h5ad", 1)):
        if not (folder / name).exists():
            simulate_screen(folder / name, n_cells=N_SCREEN_CELLS, seed=seed)
    for name in ("recipe.toml", "task.toml", grid):
        shutil.copy(HERE / name, folder / name)
    # 2. The corpus.
    corpus = folder / "corpora" / "study-in-small"
    if not corpus.exists():
        curate(folder, "corpus", "build", "--recipe", "recipe.toml")
    if not (corpus / "embeddings" / "pca").exists():
        curate(folder, "embed")
    if not (corpus / "sources" / "screen").exists():
        source = ("simulated-screen.h5ad", "--perturbation-column", "perturbation")
        curate(folder, "corpus", "add-source", "screen", *source, "--control", "non-targeting")
    # 3. and 4. The sweep, and what came of it.
    curate(folder, "sweep", "plan", grid)
    curate(folder, "sweep", "run", grid, "--workers", str(workers))
    curate(folder, "sweep", "report", grid.removesuffix(".toml"), "-o", "report.html", "--png", "pictures")


def curate(folder: Path, *arguments: str) -> None:
    """Run a command of curate in the folder."""
    click.secho(f"$ curate {' '.join(arguments)}", fg="cyan", err=True)
    code = "from curate.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=folder, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)


if __name__ == "__main__":
    main()
