"""blocks beside random: tiles, bytes and time of reading, and what they cost in composition and coverage."""

from __future__ import annotations

import json
import shutil
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmarks.make_corpus import NAME
from benchmarks.measure import curate, python, run
from benchmarks.table import Row, gigabytes, report, seconds, times

if TYPE_CHECKING:
    from curate.manifests.document import ManifestDocument

FRACTION = 0.01
MOST_TILES = 0.05
MANIFEST = "benchmark-blocks"
BUDGETS = ("0.1", "0.25")


@click.command()
@click.argument("workspace", type=click.Path(exists=True, path_type=Path))
@click.option("--corpus", "name", default=NAME, show_default=True)
@click.option(
    "--atlas",
    type=click.Path(path_type=Path),
    required=True,
    help="Workspace with counts, simulated where there is none: reading is timed on it.",
)
@click.option("--atlas-cells", default=300_000, show_default=True)
@click.option("--atlas-genes", default=500, show_default=True)
@click.option("--runs", default=3, show_default=True)
def command(
    workspace: Path, *, name: str, atlas: Path, atlas_cells: int, atlas_genes: int, runs: int
) -> None:
    """Choose 1 % of a large index and of an atlas; read the counts of what was chosen from the atlas."""
    if not (atlas / "curate.toml").exists():
        make_atlas(atlas, n_cells=atlas_cells, n_genes=atlas_genes)
    rows = [*_index_rows(workspace, name, n_runs=runs), *_atlas_rows(atlas, n_runs=runs)]
    notes = [
        "peer: random, the same fraction, seed and corpus",
        "tiles of 2,048 joinids; those that hold a cell of the corpus are counted, expected ones for random",
        "design effect: variance of the shares of cell types over that of as many random cells",
        "distance: mean over 1,000 cells to the nearest of 50,000 chosen cells, in the embedding",
        "reading: `Census.read_counts` of the chosen cells, all genes, files in the page cache; bytes as "
        "TileDB counts them, beside the estimate of --explain",
        f"medians of {runs} runs",
    ]
    report("blocks", "blocks: few tiles instead of all", rows, notes=notes)


def make_atlas(path: Path, *, n_cells: int, n_genes: int) -> None:
    """Simulate an atlas with counts, and its corpus."""
    from curate.simulate import simulate_atlas
    from curate.workspace import CensusSettings, Workspace

    simulate_atlas(path / "census", n_cells=n_cells, n_genes=n_genes)
    Workspace.create(path, census=CensusSettings(uri="census"))
    run(curate("-C", path, "corpus", "build", "--recipe", "demo"), n_runs=1)


def _index_rows(workspace: Path, name: str, *, n_runs: int) -> list[Row]:
    ours_s, ours = _build(workspace, "blocks", name=name, n_runs=n_runs)
    random_s, _ = _build(workspace, "random", name=name, n_runs=n_runs)
    notes: dict[str, Any] = ours.selection.notes
    n_tiles = notes["n_tiles"]
    of = f"{FRACTION:.0%} of {ours.corpus.n_cells:,} cells"
    share, at_most = notes["n_tiles_read"] / n_tiles, notes["n_tiles_read_at_most"]
    rows = [
        Row(
            f"tiles read, {of}",
            f"{notes['n_tiles_read']:,} of {n_tiles:,} ({share:.2%}), at most {at_most:,}",
            f"{notes['n_tiles_read_by_random']:,.0f}",
            times(notes["n_tiles_read_by_random"], notes["n_tiles_read"]),
            f"<= {MOST_TILES:.0%}",
            notes["n_tiles_read_at_most"] <= MOST_TILES * n_tiles,
        ),
        Row(
            "datasets that contribute",
            f"{notes['n_datasets_chosen']:,} of {notes['n_datasets']:,}",
            target="all",
            met=notes["n_datasets_chosen"] == notes["n_datasets"],
        ),
        Row(
            f"curate build, {of}",
            f"{seconds(ours_s.wall_s)}, {gigabytes(ours_s.peak_bytes)}",
            f"{seconds(random_s.wall_s)}, {gigabytes(random_s.peak_bytes)}",
            times(random_s.wall_s, ours_s.wall_s),
        ),
        Row("… choosing alone", seconds(_choosing_s(workspace, name, n_runs=n_runs))),
        *_cost_rows(notes),
    ]
    for budget in BUDGETS:
        _, other = _build(workspace, "blocks", "--tiles", budget, name=name, n_runs=1)
        found: dict[str, Any] = other.selection.notes
        rows.append(
            Row(
                f"design effect, --tiles {budget}",
                f"{found['design_effect']:.3g} from {found['n_tiles_read']:,} tiles",
                "1",
            )
        )
    return rows


def _cost_rows(notes: dict[str, Any]) -> list[Row]:
    rows = [
        Row("design effect", f"{notes['design_effect']:.3g}", "1"),
        Row(
            "Shannon entropy of cell types",
            f"{notes['shannon_bits']:.3f} bits",
            f"{notes['shannon_bits_of_random']:.3f}",
        ),
    ]
    if "coverage_distance" in notes:
        ours, random = notes["coverage_distance"], notes["coverage_distance_of_random"]
        rows.append(
            Row(
                "distance to the nearest chosen cell",
                f"{ours:.4g}",
                f"{random:.4g}",
                f"{random / ours:.3f} x",
            )
        )
    return rows


def _atlas_rows(atlas: Path, *, n_runs: int) -> list[Row]:
    found = {}
    for strategy in ("blocks", "random"):
        _, manifest = _build(atlas, strategy, name="demo", n_runs=1, keep=True)
        explained = run(
            curate(
                "-C", atlas, "build", "--strategy", strategy, "--fraction", FRACTION, "--explain", "--json"
            ),
            n_runs=1,
        )
        (explanation,) = json.loads(explained.output)
        reads = [
            json.loads(run(python("benchmarks.blocks_read", atlas, manifest.ref), n_runs=1).output)
            for _ in range(n_runs)
        ]
        found[strategy] = {
            "notes": manifest.selection.notes,
            "n_cells": manifest.n_cells,
            "read_s": statistics.median(read["seconds"] for read in reads),
            "bytes": reads[0]["bytes"],
            "n_tiles": reads[0]["n_tiles"],
            "estimate": next(x["value"] for x in explanation["lines"] if x["name"] == "counts to read later"),
        }
        shutil.rmtree(atlas / "manifests" / f"{MANIFEST}-{strategy}")
    ours, random = found["blocks"], found["random"]
    notes: dict[str, Any] = ours["notes"]
    of = f"{ours['n_cells']:,} cells of the atlas"
    return [
        Row(
            f"tiles read, {of}",
            f"{ours['n_tiles']:,} of {notes['n_tiles']:,} ({ours['n_tiles'] / notes['n_tiles']:.1%})",
            f"{random['n_tiles']:,}",
            times(random["n_tiles"], ours["n_tiles"]),
            f"<= {MOST_TILES:.0%}",
            ours["n_tiles"] <= MOST_TILES * notes["n_tiles"],
        ),
        Row(
            "bytes read for their counts",
            f"{ours['bytes'] / 1e6:.1f} MB",
            f"{random['bytes'] / 1e6:.1f} MB",
            times(random["bytes"], ours["bytes"]),
        ),
        *(
            Row(
                f"… estimate over bytes read, {strategy}",
                f"{each['estimate'] / each['bytes']:.2f}",
                target="0.77 to 1.3",
                met=1 / 1.3 <= each["estimate"] / each["bytes"] <= 1.3,
            )
            for strategy, each in found.items()
        ),
        Row(
            "time to read their counts",
            seconds(ours["read_s"]),
            seconds(random["read_s"]),
            times(random["read_s"], ours["read_s"]),
        ),
        *_cost_rows(notes),
    ]


def _build(
    workspace: Path, strategy: str, *arguments: object, name: str, n_runs: int, keep: bool = False
) -> tuple[Any, ManifestDocument]:
    """Run `curate build`; return the run and the header of the manifest."""
    from curate.manifests.document import ManifestDocument

    folder = workspace / "manifests" / f"{MANIFEST}-{strategy}"
    settings = ("--corpus", name, "--strategy", strategy, "--fraction", FRACTION, "--name", folder.name)
    done = run(
        curate("-C", workspace, "build", *settings, *arguments),
        n_runs=n_runs,
        before=lambda: shutil.rmtree(folder, ignore_errors=True),
    )
    document = ManifestDocument.model_validate_json((folder / "v0001" / "manifest.json").read_text())
    if not keep:
        shutil.rmtree(folder)
    return done, document


def _choosing_s(workspace: Path, name: str, *, n_runs: int) -> float:
    """Return the median time of the strategy by itself, its columns in memory."""
    import numpy as np

    from curate.build.strategies import STRATEGIES
    from curate.corpus import Corpus
    from curate.identity import cell_keys

    corpus, strategy = Corpus.open(workspace / "corpora" / name), STRATEGIES["blocks"]
    cells = corpus.columns(list(strategy.columns({})))
    keys = cell_keys(corpus.identity(), seed=0, purpose="select")
    walls = []
    for _ in range(n_runs):
        start = time.perf_counter()
        strategy.select(
            cells,
            None,
            int(FRACTION * corpus.n_cells),
            keys=keys,
            rng=np.random.default_rng(0),
            **strategy.resolve({}),
        )
        walls.append(time.perf_counter() - start)
    return statistics.median(walls)
