from __future__ import annotations

from multiprocessing import get_context
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist

from curate.train.loader import Dense, ShardLoader
from curate.train.shards import Shards

if TYPE_CHECKING:
    from pathlib import Path


def train(rank: int, path: str, store: str) -> None:
    """Fit one weight by DDP, and save the rows that this rank has seen."""
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    shards = Shards.open(path)
    loader = ShardLoader(shards, Dense(shards.header.n_genes), batch_size=16, rank=rank, n_ranks=2)
    torch.manual_seed(rank)
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(shards.header.n_genes, 1))
    rows = []
    for _ in range(2):
        for batch in loader:
            model(batch.x).mean().backward()
            rows.append(batch.rows)
    torch.save({"rows": rows, "grad": model.module.weight.grad}, f"{store}.{rank}")
    dist.destroy_process_group()


def test_two_ranks_train_together_on_as_many_batches_of_different_cells(
    shards: Shards, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    spawn = get_context("spawn")
    ranks = [spawn.Process(target=train, args=(rank, str(shards.path), str(store))) for rank in range(2)]
    for each in ranks:
        each.start()
    for each in ranks:
        each.join()
    assert [each.exitcode for each in ranks] == [0, 0]
    held = [torch.load(f"{store}.{rank}", weights_only=True) for rank in range(2)]
    n = len(held[0]["rows"])
    assert n == len(held[1]["rows"]) > 2
    assert torch.equal(held[0]["grad"], held[1]["grad"])
    for epoch in (slice(0, n // 2), slice(n // 2, n)):
        rows = [torch.cat(each["rows"][epoch]).tolist() for each in held]
        assert not set(rows[0]) & set(rows[1])
        # Less than a batch of each rank is left out.
        assert shards.n_cells("train") - len(rows[0]) - len(rows[1]) < 2 * 16
