"""How many bytes of the store reading counts takes: from the store itself, else estimated from non-zeros."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from curate.build.strategies.tiles import TILE_CELLS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from curate.corpus import Corpus

LAYER, FRAGMENTS = "census_data/{organism}/ms/RNA/X/raw", "__fragments"
BYTES_PER_NONZERO = 2.0
"""Where a store cannot be listed. With the settings of a Census the simulated atlas takes 1.5; real counts
vary more and compress less."""
NONZEROS_PER_CELL = 1800.0
"""Where the release has no nnz either: the mean of a droplet assay."""
_LISTING_S = 10


@dataclass(frozen=True)
class CountsSize:
    """What the counts of a store take on disk.

    Attributes
    ----------
    n_bytes
        Of X/raw of all cells of the store, compressed.
    n_tiles
        Rows of tiles that all cells of the store fill; the last one in part.
    is_measured
        Whether `n_bytes` was listed; else it is estimated.
    source
        How it is known, for people to read.
    """

    n_bytes: int
    n_tiles: float
    is_measured: bool
    source: str

    @property
    def bytes_per_tile(self) -> float:
        """The mean bytes of a row of tiles."""
        return self.n_bytes / self.n_tiles


def counts_size(corpus: Corpus, *, tile_cells: int = TILE_CELLS) -> CountsSize:
    """Return what the counts of the store of a corpus take: listed, else estimated from non-zeros.

    A folder is listed, and so is an s3:// store that answers within seconds; nothing of it is read.
    """
    n_cells = corpus.header.n_read
    n_tiles = max(n_cells / tile_cells, 1.0)
    n_bytes = _listed(corpus)
    if n_bytes is not None:
        return CountsSize(n_bytes, n_tiles, is_measured=True, source="the store's own size")
    if "nnz" in corpus.header.columns and (mean := corpus.columns(["nnz"])["nnz"].mean()) is not None:
        assert isinstance(mean, float)
        per_cell, source = mean, f"{mean:,.0f} non-zeros a cell, the mean of the corpus"
    else:
        per_cell, source = (
            NONZEROS_PER_CELL,
            f"{NONZEROS_PER_CELL:,.0f} non-zeros a cell, a usual mean",
        )
    return CountsSize(
        round(n_cells * per_cell * BYTES_PER_NONZERO),
        n_tiles,
        is_measured=False,
        source=f"{source}, at {BYTES_PER_NONZERO:g} bytes each",
    )


def bytes_saved(
    corpus: Corpus, notes: Mapping[str, int | float | str], *, tile_cells: int
) -> dict[str, int | str]:
    """Return the bytes that reading the tiles of a selection takes and saves, as notes of the selection.

    Parameters
    ----------
    notes
        With n_tiles_read and n_tiles_read_by_random.
    tile_cells
        Of these tiles.
    """
    size = counts_size(corpus, tile_cells=tile_cells)
    read, random = (
        round(float(notes[name]) * size.bytes_per_tile) for name in ("n_tiles_read", "n_tiles_read_by_random")
    )
    return {
        "bytes_read": read,
        "bytes_saved": max(random - read, 0),
        "bytes_estimated_from": f"tiles, at the mean bytes of one; {size.source}",
    }


def _listed(corpus: Corpus) -> int | None:
    """Return the bytes of X/raw where the store can be listed, else None."""
    uri, layer = corpus.census_uri(), LAYER.format(organism=corpus.header.organism)
    if "://" not in uri:
        files = (Path(uri) / layer / FRAGMENTS).rglob("*")
        return sum(file.stat().st_size for file in files if file.is_file()) or None
    if not uri.startswith("s3://"):
        return None
    return _listed_on_s3(f"{uri.rstrip('/')}/{layer}/{FRAGMENTS}", corpus)


def _listed_on_s3(uri: str, corpus: Corpus) -> int | None:
    import botocore.exceptions
    import fsspec

    record = corpus.header.census
    is_anonymous = record.anonymous or uri.startswith("s3://cellxgene-")
    try:
        store = fsspec.filesystem(
            "s3",
            anon=is_anonymous,
            endpoint_url=record.endpoint,
            client_kwargs={"region_name": record.region or "us-west-2"},
            config_kwargs={
                "connect_timeout": _LISTING_S,
                "read_timeout": _LISTING_S,
                "retries": {"max_attempts": 1},
            },
        )
        return int(store.du(uri)) or None
    except (OSError, ValueError, botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
        return None
