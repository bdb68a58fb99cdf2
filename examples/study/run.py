"""The study of DenAdel et al. 2026 in small: one command, from the cells to the report.

    python examples/study/run.py FOLDER [--quick]         simulated cells
    python examples/study/run.py FOLDER --real DATA       public files, in the folder DATA

1. what there is to learn from, and to be tried on;
2. the corpus, its embedding, and, simulated, a screen as a source of spike-ins;
3. the sweep of quick.toml, full.toml or real.toml;
4. its report and pictures.

A step whose result is there is not run again: killed, the same command goes on.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click

from curate.simulate import simulate_atlas, simulate_screen

HERE = Path(__file__).resolve().parent
RECIPES = HERE.parent.parent / "benchmarks" / "recipes"
N_CELLS = 200_000
N_SCREEN_CELLS = 6_000
FILES = (RECIPES / "mini-corpus-files.txt").read_text().split()
HELD_OUT = ("pbmc4k_soupx", "pbmc14k_scminer")


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--quick", is_flag=True, help="Minutes instead of hours.")
@click.option("--real", "data", type=click.Path(exists=True, path_type=Path), help="Public files instead.")
@click.option("--workers", default=2, show_default=True, help="Processes that train and evaluate.")
def main(folder: Path, *, quick: bool, data: Path | None, workers: int) -> None:
    """Run the study in small in FOLDER."""
    if quick and data is not None:
        raise click.UsageError("--quick goes without --real, which takes minutes as it is")
    folder.mkdir(parents=True, exist_ok=True)
    # 1. and 2. The cells, and the corpus.
    if not (folder / "curate.toml").exists():
        curate(folder, "init", ".", "--uri", "store")
    for path in (*HERE.glob("*.toml"), *RECIPES.glob("mini-corpus*")):
        shutil.copy(path, folder / path.name)
    if data is None:
        simulated(folder)
    else:
        public(folder, data.resolve())
    # 3. and 4. The sweep, and what came of it.
    grid = "real" if data is not None else "quick" if quick else "full"
    curate(folder, "sweep", "plan", f"{grid}.toml")
    curate(folder, "sweep", "run", f"{grid}.toml", "--workers", str(workers))
    curate(folder, "sweep", "report", grid, "-o", "report.html", "--png", "pictures")


def simulated(folder: Path) -> None:
    """Simulate an atlas and two screens; build the corpus, embed it, add the first screen."""
    if not (folder / "store").exists():
        simulate_atlas(folder / "store", n_cells=N_CELLS)
    for name, seed in (("screen.h5ad", 0), ("screen-2.h5ad", 1)):
        if not (folder / name).exists():
            simulate_screen(folder / name, n_cells=N_SCREEN_CELLS, seed=seed)
    corpus = folder / "corpora" / "study-in-small"
    embedded(folder, corpus, "recipe.toml")
    if not (corpus / "sources" / "screen").exists():
        source = ("screen", "screen.h5ad", "--perturbation-column", "perturbation")
        curate(folder, "corpus", "add-source", *source, "--control", "non-targeting")


def public(folder: Path, data: Path) -> None:
    """Make a store of public files; build the corpus and embed it."""
    # Where the list of genes of the recipe is looked for.
    os.environ.setdefault("CURATE_SHARED", str(data.parent))
    for name in HELD_OUT:
        if not (folder / f"{name}.h5ad").exists():
            (folder / f"{name}.h5ad").symlink_to(data / f"{name}.h5ad")
    if not (folder / "store").exists():
        files = [str(data / f"{name}.h5ad") for name in FILES]
        types = ("--cell-types", "mini-corpus-types.csv", "--build-date", "2025-11-22")
        curate(folder, "census", "create", "store", *files, *types)
    embedded(folder, folder / "corpora" / "mini-corpus", "mini-corpus.toml")


def embedded(folder: Path, corpus: Path, recipe: str) -> None:
    """Build a corpus and embed it."""
    if not corpus.exists():
        curate(folder, "corpus", "build", "--recipe", recipe)
    if not (corpus / "embeddings" / "pca").exists():
        curate(folder, "embed")


def curate(folder: Path, *arguments: str) -> None:
    """Run a command of curate in the folder."""
    click.secho(f"$ curate {' '.join(arguments)}", fg="cyan", err=True)
    code = "from curate.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=folder, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)


if __name__ == "__main__":
    main()
