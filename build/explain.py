"""What a command will read, hold and take, before it runs.

Every line says whether it is exact or an estimate, and where it comes from: the index of the corpus, the size
of the store, or a rate that a run in this workspace has measured (`curate.rates`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from curate.build.bytes_read import NONZEROS_PER_CELL, counts_size
from curate.build.candidates import cells_of, find_candidates
from curate.build.chooser import find_strategy
from curate.build.composition import COMPOSITION_COLUMNS, DONOR_COLUMNS
from curate.build.costs import measure_costs
from curate.build.embeddings.cells import MIN_CELLS_FITTED, MIN_WINDOWS_FITTED
from curate.build.requests import make_requests
from curate.build.strategies.tiles import DATASET, JOINID, TILE_CELLS, find_pieces, tiles_of_random
from curate.corpus.corpus import CELLS_FILE, IDENTITY_FILE
from curate.identity import cell_keys
from curate.passes.units import Windows
from curate.rates import rate_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from curate.build.bytes_read import CountsSize
    from curate.build.candidates import Candidates
    from curate.build.embeddings.embedding import Embedding
    from curate.build.exclusions import Exclusion
    from curate.build.requests import Request
    from curate.build.selection import Strategy
    from curate.corpus import Corpus

BASE_BYTES = 350e6
"""Resident memory of the process itself: Python, numpy, polars, pyarrow."""
BYTES_PER_CANDIDATE = 8 + 8
"""Identity and key of each cell to choose from."""
BYTES_PER_CHOSEN = 38
"""Row, joinid, split and codes of each chosen cell, and what writing them down takes for a moment."""
BYTES_PER_COVERED = 6 * 4
"""Boxes of each cell, for the sides of the covering that are tried at once."""
BYTES_PER_OBS = 8 + 4 * 6
"""Joinid and codes of each cell of the corpus, held where several choices share them."""
BLOCK_BYTES_PER_NONZERO = 200
"""Four blocks under way in embed, what TileDB decompresses for them, and what malloc keeps; measured."""
INDEX_BYTES_PER_CELL = 16
"""What embed holds of the index before the passes: joinids, or the non-zeros of the cells."""

Unit = Literal["cells", "tiles", "bytes", "s", "non-zeros", ""]


@dataclass(frozen=True)
class Line:
    """One thing that is known before a command runs."""

    name: str
    value: float | str
    unit: Unit
    is_estimate: bool
    source: str


@dataclass(frozen=True)
class Explanation:
    """What is known before a command runs.

    Attributes
    ----------
    title
        What would be made.
    notice
        A promise that will not be kept, with the numbers; empty when there is none.
    """

    title: str
    lines: tuple[Line, ...]
    notice: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON knows it."""
        return asdict(self)

    def value(self, name: str) -> float | str:
        """Return the value of the line with this name."""
        return next(line.value for line in self.lines if line.name == name)


def explain_build(
    corpus: Corpus,
    *,
    root: Path,
    strategy: str,
    fraction: float | Sequence[float] | None = None,
    n_cells: int | Sequence[int] | None = None,
    seed: int | Sequence[int] = 0,
    where: str | None = None,
    exclusions: Sequence[Exclusion] = (),
    embedding: Embedding | None = None,
    parameters: Mapping[str, object] | None = None,
) -> list[Explanation]:
    """Say what `build` with the same arguments will read, hold and take, for each size; nothing is written.

    A strategy that gives something up for fewer tiles is tried once in memory, with the first seed, to
    measure what; no other strategy runs.

    Parameters
    ----------
    root
        The workspace, for its measured rates.

    Raises
    ------
    As `curate.build.build.build`.
    """
    chosen = find_strategy(strategy)
    settings = chosen.resolve(parameters or {})
    candidates = find_candidates(corpus, where, exclusions)
    requests = make_requests(fraction, n_cells, seed, candidates.n_cells)
    first_seeds = {request.n_cells: request for request in reversed(requests)}
    tile_cells = settings.get("tile_cells", TILE_CELLS)
    size = counts_size(corpus, tile_cells=tile_cells)
    return [
        Explanation(
            title=f"{strategy} of {request.n_cells:,} cells of corpus {corpus.name}",
            lines=(
                *_sizes(candidates, request),
                *_index(corpus, chosen, settings, embedding),
                *tile_lines,
                *_process(
                    root,
                    f"build {strategy}",
                    candidates.n_cells,
                    "cells",
                    held_bytes=_build_bytes(corpus, candidates, requests, request, chosen, embedding),
                ),
            ),
            notice=notice,
        )
        for request in sorted(first_seeds.values(), key=lambda each: each.n_cells)
        for tile_lines, notice in [_tiles(corpus, candidates, request, chosen, settings, embedding, size)]
    ]


def explain_embed(
    corpus: Corpus,
    *,
    root: Path,
    n_components: int,
    n_hvgs: int,
    fit_fraction: float,
    block_cells: int,
) -> Explanation:
    """Say what `embed` will read, hold and take; nothing of the store is read.

    Parameters
    ----------
    root
        The workspace, for its measured rates.
    """
    size = counts_size(corpus)
    n_tiles = np.unique(corpus.joinids() // TILE_CELLS).size
    nonzeros, per_cell, source = corpus_nonzeros(corpus)
    passes = embed_passes(corpus, fit_fraction)
    n_genes = corpus.header.genes.n
    passing = (
        corpus.n_cells
        + 64 * n_genes
        + 56 * min(n_hvgs, n_genes) ** 2
        + BLOCK_BYTES_PER_NONZERO * block_cells * per_cell
    )
    held = max(INDEX_BYTES_PER_CELL * corpus.n_cells, passing)
    return Explanation(
        title=f"embedding of corpus {corpus.name}, {n_components} dimensions",
        lines=(
            Line("cells", corpus.n_cells, "cells", is_estimate=False, source="the corpus"),
            Line("passes over the counts", passes, "", is_estimate=False, source="the method"),
            Line(
                "tiles a pass",
                n_tiles,
                "tiles",
                is_estimate=False,
                source="those that hold a cell of the corpus",
            ),
            _counts_line("counts to read", passes * n_tiles, size),
            Line("non-zeros", passes * nonzeros, "non-zeros", is_estimate=True, source=source),
            Line("to write", 4 * corpus.n_cells * n_components, "bytes", is_estimate=False, source="float32"),
            *_process(root, "embed", passes * nonzeros, "non-zeros", held_bytes=held),
        ),
    )


def embed_passes(corpus: Corpus, fit_fraction: float) -> float:
    """Return how often `embed` reads the counts: twice the cells it is fitted on, once all of them."""
    n_windows = Windows.of(corpus.joinids()).numbers.size
    return 1 + 2 * min(
        1.0, max(fit_fraction, MIN_CELLS_FITTED / corpus.n_cells, MIN_WINDOWS_FITTED / n_windows)
    )


def corpus_nonzeros(corpus: Corpus) -> tuple[float, float, str]:
    """Return the non-zeros of the cells of a corpus, those of a mean cell, and how they are known."""
    if "nnz" in corpus.header.columns:
        nnz = corpus.columns(["nnz"])["nnz"]
        if nnz.null_count() < len(nnz):
            total = float(nnz.sum())
            return total, total / corpus.n_cells, "nnz of the index, all genes of the store"
    total = NONZEROS_PER_CELL * corpus.n_cells
    return total, NONZEROS_PER_CELL, f"{NONZEROS_PER_CELL:,.0f} a cell, a usual mean: the index has no nnz"


def _sizes(candidates: Candidates, request: Request) -> list[Line]:
    n = candidates.n_cells
    return [
        Line("cells to choose from", n, "cells", is_estimate=False, source="the corpus and --where"),
        Line(
            "cells chosen",
            request.n_cells,
            "cells",
            is_estimate=False,
            source=f"{request.n_cells / n:.4g} of them",
        ),
    ]


def _index(
    corpus: Corpus, strategy: Strategy, settings: Mapping[str, Any], embedding: Embedding | None
) -> list[Line]:
    """Return what `build` itself reads, from the files' own metadata."""
    import pyarrow.parquet as pq

    columns = {JOINID, *COMPOSITION_COLUMNS, *DONOR_COLUMNS, *strategy.columns(settings)}
    metadata = pq.read_metadata(corpus.path / CELLS_FILE)
    chunks = (
        metadata.row_group(group).column(column)
        for group in range(metadata.num_row_groups)
        for column in range(metadata.num_columns)
    )
    n_bytes = sum(chunk.total_compressed_size for chunk in chunks if chunk.path_in_schema in columns)
    n_bytes += (corpus.path / IDENTITY_FILE).stat().st_size
    lines = [
        Line("index to read", n_bytes, "bytes", is_estimate=False, source="sizes of its columns on disk")
    ]
    if strategy.needs_embedding and embedding is not None:
        values = embedding.values.nbytes
        lines.append(Line("embedding to read", values, "bytes", is_estimate=False, source=embedding.name))
    return lines


def _tiles(
    corpus: Corpus,
    candidates: Candidates,
    request: Request,
    strategy: Strategy,
    settings: Mapping[str, Any],
    embedding: Embedding | None,
    size: CountsSize,
) -> tuple[list[Line], str]:
    """Return what reading the counts of the chosen cells will take, and a notice."""
    cells = cells_of(corpus, candidates, list(dict.fromkeys([JOINID, DATASET, *strategy.columns(settings)])))
    if strategy.costs is None:
        pieces = find_pieces(cells, tile_cells=TILE_CELLS)
        n_tiles = tiles_of_random(pieces, request.n_cells)
        return [
            Line("tiles of these cells", pieces.n_tiles, "tiles", is_estimate=False, source="the index"),
            Line("tiles touched later", n_tiles, "tiles", is_estimate=True, source="as of a random choice"),
            _counts_line("counts to read later", n_tiles, size),
        ], ""
    keys = cell_keys(candidates.identity, seed=request.seed, purpose="select")
    rng = np.random.default_rng(request.seed)
    selection = strategy.select(cells, None, request.n_cells, keys=keys, rng=rng, **settings)
    costs = measure_costs(
        strategy,
        corpus,
        candidates,
        cells,
        selection,
        embedding=embedding,
        keys=keys,
        rng=rng,
        settings=settings,
    )
    notes = {**selection.notes, **costs}
    trial = f"measured on a trial draw, seed {request.seed}, not kept"
    of_random = float(notes["n_tiles_read_by_random"])
    lines = [
        Line("tiles of these cells", notes["n_tiles"], "tiles", is_estimate=False, source="the index"),
        Line(
            "tiles read later, at most",
            notes["n_tiles_read_at_most"],
            "tiles",
            is_estimate=False,
            source="the plan",
        ),
        Line("tiles read later", notes["n_tiles_read"], "tiles", is_estimate=False, source=trial),
        Line("tiles that random would touch", of_random, "tiles", is_estimate=True, source="expected"),
        _counts_line("counts to read later", float(notes["n_tiles_read"]), size),
        _counts_line("bytes saved against random", of_random - float(notes["n_tiles_read"]), size),
    ]
    told = {
        "design_effect": (
            "design effect on cell types",
            "times the variance of random; over 50 draws of blocks",
        ),
        "shannon_bits": ("Shannon entropy of cell types", f"bits; {trial}"),
        "shannon_bits_of_random": ("… of random", "bits; the same keys"),
        "coverage_distance": ("distance to the nearest chosen cell", f"mean, in the embedding; {trial}"),
        "coverage_distance_of_random": ("… of random cells", "mean; the same keys"),
    }
    lines += [
        Line(name, notes[key], "", is_estimate=False, source=source)
        for key, (name, source) in told.items()
        if key in notes
    ]
    return lines, str(notes.get("notice", ""))


def _build_bytes(
    corpus: Corpus,
    candidates: Candidates,
    requests: Sequence[Request],
    request: Request,
    strategy: Strategy,
    embedding: Embedding | None,
) -> float:
    """Return what `build` holds at its peak, pages of the embedding included: they can be given back."""
    n = candidates.n_cells
    held = BYTES_PER_CANDIDATE * n + BYTES_PER_CHOSEN * request.n_cells
    if candidates.rows is not None:
        held += candidates.rows.nbytes
    if len(requests) > 1:
        held += BYTES_PER_OBS * corpus.n_cells
    if embedding is not None:
        held += embedding.values.nbytes
        if strategy.needs_embedding:
            held += BYTES_PER_COVERED * n
            if candidates.rows is not None:
                held += n * embedding.values.itemsize * embedding.n_components
    return float(held)


def _counts_line(name: str, n_tiles: float, size: CountsSize) -> Line:
    source = f"{size.bytes_per_tile / 1e6:.3g} MB a tile, the mean; {size.source}"
    return Line(name, round(n_tiles * size.bytes_per_tile), "bytes", is_estimate=True, source=source)


def _process(root: Path, work: str, amount: float, unit: Unit, *, held_bytes: float) -> list[Line]:
    """Return memory, and time at the rate of the last run, else at the default one."""
    rate = rate_of(root, work)
    when = f", {rate.measured:%Y-%m-%d}" if rate.measured else ""
    memory = round(BASE_BYTES + held_bytes)
    speed = f"{rate.per_s:,.3g} {unit}/s, {rate.source}{when}"
    return [
        Line("memory", memory, "bytes", is_estimate=True, source="the process, its arrays, mapped files"),
        Line("time", amount / rate.per_s, "s", is_estimate=True, source=speed),
    ]
