"""`curate demo`."""

from __future__ import annotations

import time
from pathlib import Path

import click

from curate.cli.numbers import SEED


@click.command("demo")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default="demo")
@click.option("--cells", "n_cells", type=int, default=20_000, show_default=True, help="Cells of the atlas.")
@click.option("--seed", type=SEED, default=0, show_default=True)
def command(folder: Path, *, n_cells: int, seed: int) -> None:
    """Make a workspace in FOLDER from simulated data and run the whole way, offline.

    Example: curate demo my-demo --cells 5000
    """
    from rich.console import Console

    from curate.demo import demo
    from curate.manifests.diff_page import diff_page

    console = Console(highlight=False)
    began = time.perf_counter()

    def say(line: str) -> None:
        console.print(f"[dim]{time.perf_counter() - began:5.0f} s[/]  [bold]{line}[/]")

    console.print("Everything here is [bold]simulated[/]: no cell of it was ever measured.\n")
    made = demo(folder, n_cells=n_cells, seed=seed, say=say)
    say(f"Done: {len(made.manifests)} manifests, every one verified\n")
    console.print(diff_page(made.diff, top=5))
    console.print(
        f"\nNext, in {folder}:\n"
        "  curate corpus show                     what each rule of the recipe dropped\n"
        "  curate manifests list                  the subsets that were built\n"
        "  curate manifests show sketch-0.01-s0   one of them\n"
        "  curate diff random-0.1-s0 sketch-0.1-s0\n"
        "  curate build --fraction 0.05 --strategy reweight --by tissue_general"
    )
