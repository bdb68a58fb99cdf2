"""bytes_read: what the counts of a store take, listed or estimated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from curate.build.bytes_read import BYTES_PER_NONZERO, NONZEROS_PER_CELL, bytes_saved, counts_size
from curate.corpus import Corpus

if TYPE_CHECKING:
    from pathlib import Path


def elsewhere(corpus: Corpus, uri: str, **record: object) -> Corpus:
    """The same corpus, its Census at another place."""
    census = corpus.header.census.model_copy(update={"uri": uri, "relative_path": None, **record})
    return Corpus(path=corpus.path, header=corpus.header.model_copy(update={"census": census}))


def layer_bytes(store: Path) -> int:
    fragments = store / "census_data/homo_sapiens/ms/RNA/X/raw/__fragments"
    return sum(path.stat().st_size for path in fragments.rglob("*") if path.is_file())


def test_a_folder_is_listed(corpus: Corpus, coordinate_census: Path) -> None:
    size = counts_size(corpus)
    assert size.is_measured
    assert size.n_bytes == layer_bytes(coordinate_census)
    assert size.bytes_per_tile == size.n_bytes  # 600 cells are part of one tile
    assert counts_size(corpus, tile_cells=100).bytes_per_tile == pytest.approx(size.n_bytes / 6)


def test_a_store_on_an_s3_server_is_listed(corpus: Corpus, coordinate_census: Path, endpoint: str) -> None:
    there = elsewhere(corpus, "s3://curate/census", endpoint=endpoint, region="us-east-1", anonymous=True)
    size = counts_size(there)
    assert size.is_measured
    assert size.n_bytes == layer_bytes(coordinate_census)


@pytest.mark.parametrize("uri", ["/nowhere/census", "s3://curate/census", "gs://curate/census"])
def test_a_store_that_cannot_be_listed_is_estimated_from_the_non_zeros_of_the_index(
    corpus: Corpus, uri: str
) -> None:
    size = counts_size(elsewhere(corpus, uri, endpoint="http://127.0.0.1:9", anonymous=True))
    assert not size.is_measured
    # 40 of the 120 genes of every cell are not zero.
    assert size.n_bytes == 600 * 40 * BYTES_PER_NONZERO
    assert size.source == "40 non-zeros a cell, the mean of the corpus, at 2 bytes each"


def test_an_index_without_non_zeros_is_estimated_from_a_usual_mean(corpus: Corpus) -> None:
    header = corpus.header.model_copy(update={"columns": ("dataset_id",)})
    size = counts_size(elsewhere(Corpus(path=corpus.path, header=header), "/nowhere"))
    assert size.n_bytes == 600 * NONZEROS_PER_CELL * BYTES_PER_NONZERO
    assert "a usual mean" in size.source


def test_bytes_saved_are_those_of_the_tiles_that_are_not_read(corpus: Corpus) -> None:
    size = counts_size(corpus, tile_cells=100)
    notes = bytes_saved(corpus, {"n_tiles_read": 2, "n_tiles_read_by_random": 5.5}, tile_cells=100)
    assert notes["bytes_read"] == round(2 * size.bytes_per_tile)
    assert notes["bytes_saved"] == round(5.5 * size.bytes_per_tile) - round(2 * size.bytes_per_tile)
    assert "the store's own size" in str(notes["bytes_estimated_from"])
    more = bytes_saved(corpus, {"n_tiles_read": 2, "n_tiles_read_by_random": 1.5}, tile_cells=100)
    assert more["bytes_saved"] == 0
