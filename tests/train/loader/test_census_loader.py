from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from curate.errors import ShardError
from curate.train.loader import CensusLoader, Dense, RandomMask, ShardLoader, Sparse, Tokens
from curate.train.shards.materialize import materialize

if TYPE_CHECKING:
    from curate.manifests.manifest import Manifest
    from curate.train.shards import Shards


@pytest.fixture(scope="module")
def plain(manifests: list[Manifest], tmp_path_factory: pytest.TempPathFactory) -> Shards:
    return materialize(manifests[0], tmp_path_factory.mktemp("plain") / "shards")


def loader(manifest: Manifest, encoding: Any = None, **settings: Any) -> CensusLoader:
    small: dict[str, Any] = {"batch_size": 32, "io_cells": 64, "chunk_cells": 4}
    return CensusLoader(manifest, encoding or Dense(manifest.corpus().genes().n_genes), **small | settings)


def rows_of(batches: Any) -> list[int]:
    return [row for batch in batches for row in batch.rows.tolist()]


def cells_of(loader: Any, joinids: Any) -> dict[int, tuple[Any, ...]]:
    """Return what each cell gets, by joinid."""
    found = {}
    for batch in loader:
        x = batch.x.to_dense() if batch.x.layout == torch.sparse_csr else batch.x
        for place, row in enumerate(batch.rows.tolist()):
            length = None if batch.lengths is None else int(batch.lengths[place])
            label = loader.categories["cell_type"][int(batch.labels["cell_type"][place])]
            found[int(joinids[row])] = (x[place].numpy().tobytes(), length, label)
    return found


@pytest.mark.parametrize("kind", ["raw", "normalised", "sparse", "tokens"])
@pytest.mark.parametrize("split", ["train", "val"])
def test_it_yields_the_cells_of_the_shards_with_the_same_values(
    manifests: list[Manifest], plain: Shards, kind: str, split: Any
) -> None:
    n_genes = plain.header.n_genes
    medians = np.random.default_rng(0).uniform(1, 3, n_genes)
    encodings: dict[str, Any] = {
        "raw": Dense(n_genes, None, log1p=False),
        "normalised": Dense(n_genes),
        "sparse": Sparse(n_genes),
        "tokens": Tokens(medians, 20, offset=3, pad=0),
    }
    encoding = encodings[kind]
    streamed = loader(manifests[0], encoding, split=split, labels=["cell_type"])
    read = ShardLoader(plain, encoding, split=split, labels=["cell_type"])
    found = cells_of(streamed, manifests[0].held_cells.soma_joinid)
    assert found == cells_of(read, plain.obs()["soma_joinid"])
    assert len(found) == plain.n_cells(split)


def test_every_epoch_has_another_order_and_the_same_again_from_its_seed(manifests: list[Manifest]) -> None:
    made, again = loader(manifests[0]), loader(manifests[0])
    first, second = rows_of(made), rows_of(made)
    assert sorted(first) == sorted(second) == made.rows.tolist()
    assert first != second
    assert not np.array_equal(first, sorted(first))
    again.set_epoch(1)
    assert rows_of(again) == second
    assert rows_of(loader(manifests[0], seed=1)) != first
    assert len(made) == -(-len(first) // 32)


def test_ranks_and_workers_share_the_cells(
    manifests: list[Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a launcher of DDP sets; it must not divide the cells once more.
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    ranks = [loader(manifests[0], rank=rank, n_ranks=3) for rank in range(3)]
    rows = [rows_of(each) for each in ranks]
    assert len({len(each) for each in rows}) == 1
    assert len({row for each in rows for row in each}) == sum(map(len, rows)) >= ranks[0].n_cells - 2
    # Every rank's cells come from all over the store.
    assert all(np.ptp(each) > 0.8 * ranks[0].n_cells for each in rows)
    batches = list(
        DataLoader(
            loader(manifests[0], rank=1, n_ranks=3),
            batch_size=None,
            num_workers=2,
            multiprocessing_context="spawn",
        )
    )
    assert sorted(rows_of(batches)) == sorted(rows[1])
    assert batches[0].x.dtype == torch.float32


def test_a_forked_worker_says_what_to_do_in_place_of_hanging(manifests: list[Manifest]) -> None:
    forked = DataLoader(loader(manifests[0]), batch_size=None, num_workers=1, multiprocessing_context="fork")
    with pytest.raises(ShardError, match='give multiprocessing_context="spawn"'):
        next(iter(forked))


def test_masks_go_with_the_cells(manifests: list[Manifest]) -> None:
    mask = RandomMask(manifests[0].corpus().genes().n_genes)
    batch = next(iter(loader(manifests[0], mask=mask)))
    assert batch.mask is not None
    np.testing.assert_array_equal(batch.mask, mask.draw(batch.rows.numpy(), seed=0, epoch=0))


def test_spike_ins_are_refused_and_it_is_said_what_to_do(manifests: list[Manifest]) -> None:
    with pytest.raises(ShardError, match=r"has spike-ins \(\d+ cells of screen\).*curate materialize"):
        loader(manifests[1])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weighting": "pass"}, "has no weights; its strategy gives none"),
        ({"weighting": "sample"}, "is not for streaming, which reads every cell once"),
        ({"rank": 2, "n_ranks": 2}, "rank 2 of 2; ranks count from 0"),
        ({"split": "dev"}, "no split named 'dev'"),
        ({"io_cells": 10, "chunk_cells": 4}, "io_cells 10 is no multiple of chunk_cells 4"),
        ({"batch_size": 0}, "batches of 0 cells"),
    ],
)
def test_what_cannot_be_streamed_is_refused(
    manifests: list[Manifest], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ShardError, match=message):
        loader(manifests[0], **settings)
