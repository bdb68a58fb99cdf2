"""What `curate build` will read, hold and take, before it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from curate.build.bytes_read import counts_size
from curate.build.candidates import cells_of, find_candidates
from curate.build.composition import COMPOSITION_COLUMNS, DONOR_COLUMNS
from curate.build.costs import measure_costs
from curate.build.explain import Explanation, Line, counts_line, process_lines
from curate.build.requests import make_requests
from curate.build.splits.cells import RATIOS
from curate.build.strategies.named import settle
from curate.build.strategies.tiles import DATASET, JOINID, TILE_CELLS, find_pieces, tiles_of_random
from curate.corpus.corpus import CELLS_FILE, IDENTITY_FILE
from curate.identity import cell_keys

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from curate.build.bytes_read import CountsSize
    from curate.build.candidates import Candidates
    from curate.build.embeddings.embedding import Embedding
    from curate.build.exclusions import Exclusion
    from curate.build.requests import Request
    from curate.build.selection import Strategy
    from curate.build.spike_ins import SpikeIns
    from curate.build.strategies.named import Named
    from curate.corpus import Corpus

BYTES_PER_CANDIDATE = 8 + 8
"""Identity and key of each cell to choose from."""
BYTES_PER_CHOSEN = 38
"""Row, joinid, split and codes of each chosen cell, and what writing them down takes for a moment."""
FIXED_S = 4.0
"""Of a strategy for a task: reading the ontology and the reference, and bringing it into the embedding."""
BYTES_PER_COVERED = 6 * 4
"""Boxes of each cell, for the sides of the covering that are tried at once."""
BYTES_PER_OBS = 8 + 4 * 6
"""Joinid and codes of each cell of the corpus, held where several choices share them."""


def explain_build(
    corpus: Corpus,
    *,
    root: Path,
    strategy: Named,
    fraction: float | Sequence[float] | None = None,
    n_cells: int | Sequence[int] | None = None,
    seed: int | Sequence[int] = 0,
    where: str | None = None,
    exclusions: Sequence[Exclusion] = (),
    pending: Sequence[str] = (),
    embedding: Embedding | None = None,
    parameters: Mapping[str, object] | None = None,
    spike_ins: SpikeIns | None = None,
    train_ratio: float = RATIOS[0],
) -> list[Explanation]:
    """Say what `build` with the same arguments will read, hold and take, for each size; nothing is written.

    A strategy that gives something up for fewer tiles is tried once in memory, with the first seed, to
    measure what; no other strategy runs.

    Parameters
    ----------
    root
        The workspace, for its measured rates.
    pending
        What will be left out beside `exclusions`, by cells that are not known yet; the numbers of cells are
        estimates then.
    train_ratio
        Share of the training cells, of which spike-ins are a share.

    Raises
    ------
    As `curate.build.build.build`.
    """
    settled = settle(strategy, parameters)
    chosen, settings = settled.strategy, settled.settings
    candidates = find_candidates(corpus, where, exclusions)
    requests = make_requests(fraction, n_cells, seed, candidates.n_cells)
    first_seeds = {request.n_cells: request for request in reversed(requests)}
    tile_cells = settings.get("tile_cells", TILE_CELLS)
    size = counts_size(corpus, tile_cells=tile_cells)
    return [
        Explanation(
            title=f"{settled.name} of {request.n_cells:,} cells of corpus {corpus.name}",
            lines=(
                *_sizes(candidates, request, exclusions, pending),
                *_spiked(spike_ins, request, train_ratio),
                *_index(corpus, chosen, settings, embedding),
                *tile_lines,
                *process_lines(
                    root,
                    f"build {settled.name}",
                    candidates.n_cells,
                    "cells",
                    fixed_s=FIXED_S if chosen.needs_task else 0.0,
                    held_bytes=_build_bytes(corpus, candidates, requests, request, chosen, embedding),
                ),
            ),
            notice=notice,
        )
        for request in sorted(first_seeds.values(), key=lambda each: each.n_cells)
        for tile_lines, notice in [_tiles(corpus, candidates, request, chosen, settings, embedding, size)]
    ]


def _sizes(
    candidates: Candidates, request: Request, exclusions: Sequence[Exclusion], pending: Sequence[str]
) -> list[Line]:
    n = candidates.n_cells
    left_out = [
        Line("left out", record.n_cells, "cells", is_estimate=False, source=exclusion.told)
        for exclusion, record in zip(exclusions, candidates.exclusions, strict=True)
    ]
    later = [f"{what} will come off" for what in pending]
    of_them = f"{request.n_cells / n:.4g} of them"
    return [
        *left_out,
        Line(
            "cells to choose from",
            n,
            "cells",
            is_estimate=bool(pending),
            source="; ".join(["the corpus, --where and what is left out", *later]),
        ),
        Line(
            "cells chosen",
            request.n_cells,
            "cells",
            # A number of cells that was asked for stays.
            is_estimate=bool(pending) and request.fraction is not None,
            source=of_them,
        ),
    ]


def _spiked(spike_ins: SpikeIns | None, request: Request, train_ratio: float) -> list[Line]:
    """Return how many cells of each source will join, in a manifest of its own."""
    if spike_ins is None:
        return []
    n_train = round(train_ratio * request.n_cells)
    return [
        Line(
            f"spiked with {source.name}",
            int(share * n_train),
            "cells",
            is_estimate=True,
            source=f"{share:g} of some {n_train:,} training cells, in a manifest beside it",
        )
        for source, share in spike_ins.shares
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
            counts_line("counts to read later", n_tiles, size),
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
        counts_line("counts to read later", float(notes["n_tiles_read"]), size),
        counts_line("bytes saved against random", of_random - float(notes["n_tiles_read"]), size),
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
