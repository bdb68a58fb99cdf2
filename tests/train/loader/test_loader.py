from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
import torch
from scipy.stats import rankdata
from torch.utils.data import DataLoader

from curate.errors import ShardError
from curate.train.loader import Batch, Dense, ShardLoader, Sparse, Tokens
from curate.train.loader.order import EpochOrder
from curate.train.shards.plan import make_plan

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.train.shards import Shards


@pytest.fixture(scope="module")
def counts(shards: Shards) -> NDArray[np.float64]:
    """All counts, dense, in the order of the rows."""
    found = np.zeros((sum(shards.header.n_cells.values()), shards.header.n_genes))
    for split in ("train", "val", "test"):
        for shard in shards.split(split):
            for k in range(shard.n_cells):
                span = slice(int(shard.indptr[k]), int(shard.indptr[k + 1]))
                found[shard.first_row + k, shard.indices[span]] = shard.data[span]
    return found


def loader(shards: Shards, encoding: Any = None, **settings: Any) -> ShardLoader:
    return ShardLoader(shards, encoding or Dense(shards.header.n_genes, None), batch_size=32, **settings)


def rows_of(batches: Any) -> list[int]:
    return [row for batch in batches for row in batch.rows.tolist()]


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_an_epoch_holds_every_cell_of_the_split_once_with_its_counts(
    shards: Shards, counts: NDArray[np.float64], split: Any
) -> None:
    batches = list(loader(shards, split=split))
    assert sorted(rows_of(batches)) == list(shards.rows(split))
    for batch in batches:
        np.testing.assert_array_equal(batch.x.numpy(), counts[batch.rows.numpy()])


def test_normalised_expression_is_that_of_the_formula(shards: Shards, counts: NDArray[np.float64]) -> None:
    n_genes = shards.header.n_genes
    totals = counts.sum(axis=1, keepdims=True)
    scaled = counts / totals * 1e4
    for encoding, expected in (
        (Dense(n_genes), np.log1p(scaled)),
        (Dense(n_genes, log1p=False), scaled),
        (Sparse(n_genes, 1e4, log1p=True), np.log1p(scaled)),
        (Sparse(n_genes), counts),
    ):
        for batch in loader(shards, encoding):
            x = batch.x.to_dense() if batch.x.layout == torch.sparse_csr else batch.x
            np.testing.assert_allclose(x.numpy(), expected[batch.rows.numpy()], rtol=1e-5)


def test_tokens_are_genes_by_falling_expression_over_their_median(
    shards: Shards, counts: NDArray[np.float64]
) -> None:
    n_genes = shards.header.n_genes
    medians = np.random.default_rng(0).uniform(1, 3, n_genes)
    medians[5] = 0
    batch = next(iter(loader(shards, Tokens(medians, 20, offset=3, pad=0, start=1, end=2))))
    assert batch.lengths is not None
    for tokens, row, length in zip(
        batch.x.tolist(), batch.rows.tolist(), batch.lengths.tolist(), strict=True
    ):
        values = np.divide(counts[row], medians, out=np.zeros(n_genes), where=medians > 0)
        order = np.lexsort((np.arange(n_genes), -rankdata(values, method="dense")))
        expected = [int(gene) + 3 for gene in order if values[gene] > 0][:18]
        assert tokens[:length] == [1, *expected, 2]
        assert tokens[length:] == [0] * (20 - length)


def test_labels_are_numbers_of_categories_and_columns_can_be_joined(shards: Shards) -> None:
    made = loader(shards, labels={"cell_type": ["cell_type"], "batch": ["dataset_id", "assay"]})
    obs = shards.obs()
    for batch in made:
        held = obs[batch.rows.numpy()]
        for code, label in zip(batch.labels["cell_type"].tolist(), held["cell_type"].to_list(), strict=True):
            assert label == (None if code == -1 else made.categories["cell_type"][code])
        joined = held.select(pl.concat_str(pl.col("dataset_id", "assay").cast(pl.String), separator="|"))
        codes = batch.labels["batch"].tolist()
        assert [
            None if c == -1 else made.categories["batch"][c] for c in codes
        ] == joined.to_series().to_list()


def test_every_epoch_has_an_order_of_its_own_and_the_same_again_from_its_seed(shards: Shards) -> None:
    made, again = loader(shards), loader(shards, n_threads=1)
    first, second = rows_of(made), rows_of(made)
    assert first != second
    assert (rows_of(again), rows_of(again)) == (first, second)
    again.set_epoch(1)
    assert rows_of(again) == second
    assert rows_of(loader(shards, seed=1)) != first


def test_it_goes_on_in_the_midst_of_an_epoch(shards: Shards) -> None:
    whole = rows_of(loader(shards))
    broken = loader(shards)
    batches = iter(broken)
    had = rows_of(next(batches) for _ in range(3))
    state = broken.state_dict()
    resumed = loader(shards)
    resumed.load_state_dict(state)
    assert had + rows_of(resumed) == whole
    assert resumed.state_dict() == state | {"epoch": 1, "next_batch": 0}


def test_a_state_is_plain_and_goes_on_in_every_rank(shards: Shards) -> None:
    ranks = [loader(shards, rank=rank, n_ranks=2) for rank in range(2)]
    wholes = [rows_of(each) for each in ranks]
    first = loader(shards, rank=0, n_ranks=2)
    next(iter(first))
    state = json.loads(json.dumps(first.state_dict()))
    for rank, whole in enumerate(wholes):
        resumed = loader(shards, rank=rank, n_ranks=2)
        resumed.load_state_dict(state)
        assert rows_of(resumed) == whole[32:]


@pytest.mark.parametrize(
    ("taken", "given", "message"),
    [
        ({}, {"seed": 5}, r"seed is 0 in the state and 5 here; make the loader as it was"),
        ({}, {"batch_size": 64}, r"batch_size is 32 in the state and 64 here"),
        ({}, {"rank": 1, "n_ranks": 2}, r"n_ranks is 1 in the state and 2 here"),
        ({}, {"split": "val"}, r"split is 'train' in the state and 'val' here"),
        ({}, {"is_shuffled": False}, r"is_shuffled is True in the state and False here"),
        ({}, {"drop_last": True}, r"drop_last is False in the state and True here"),
        ({}, {"weighting": "sample"}, r"weighting is 'none' in the state and 'sample' here; weights is None"),
        ({"weighting": "sample", "scale": 2}, {"weighting": "sample"}, r"batches: weights is '\w{64}' in"),
    ],
)
def test_the_state_of_a_loader_with_other_batches_is_refused_naming_what_differs(
    shards: Shards, taken: dict[str, Any], given: dict[str, Any], message: str
) -> None:
    def made(settings: dict[str, Any]) -> ShardLoader:
        weights = np.arange(1.0, 1 + shards.n_cells("train")) ** settings.get("scale", 1)
        rest = {name: value for name, value in settings.items() if name != "scale"}
        return ShardLoader(
            shards, Dense(shards.header.n_genes, None), **{"batch_size": 32, "weights": weights} | rest
        )

    state = made(taken).state_dict()
    other = made(given)
    with pytest.raises(ShardError, match=message):
        other.load_state_dict(state)
    assert (other.state_dict()["epoch"], other.state_dict()["next_batch"]) == (0, 0)


def test_a_state_of_other_shards_or_of_no_such_batch_is_refused(shards: Shards) -> None:
    made = loader(shards)
    state = made.state_dict()
    header = shards.header.model_copy(update={"manifest": "0" * 64})
    with pytest.raises(ShardError, match=r"batches: manifest is '\w+' in the state and '0{64}' here; make"):
        loader(replace(shards, header=header)).load_state_dict(state)
    first, *others = shards.header.shards
    files = {name: each.model_copy(update={"sha256": "0" * 64}) for name, each in first.files.items()}
    written = (first.model_copy(update={"files": files}), *others)
    header = shards.header.model_copy(update={"shards": written})
    with pytest.raises(ShardError, match=r"batches: shards is '\w+' in the state and '\w+' here; make"):
        loader(replace(shards, header=header)).load_state_dict(state)
    renamed = shards.header.model_copy(update={"manifest_ref": "other@v3"})
    loader(replace(shards, header=renamed)).load_state_dict(state)
    with pytest.raises(ShardError, match=r"at batch 99 of an epoch of \d+"):
        made.load_state_dict(state | {"next_batch": 99})
    with pytest.raises(ShardError, match=r"the state lacks manifest, shards, split, .*set_epoch"):
        made.load_state_dict({"epoch": 0, "next_batch": 1, "seed": 0})


def test_ranks_have_full_batches_but_the_last_one_of_the_last_rank(shards: Shards) -> None:
    n_cells = shards.n_cells("train")
    size = next(s for s in range(20, 60) if n_cells % s and -(-n_cells // s) % 3 == 0)

    def sizes(**settings: Any) -> list[list[int]]:
        made = [
            ShardLoader(shards, Dense(shards.header.n_genes), batch_size=size, rank=r, n_ranks=3, **settings)
            for r in range(3)
        ]
        return [[len(batch.rows) for batch in each] for each in made]

    *full, last = sizes()
    n_batches = len(last)
    assert full == [[size] * n_batches] * 2
    assert last == [*[size] * (n_batches - 1), n_cells % size]
    assert sizes(drop_last=True) == [[size] * (n_batches - 1)] * 3


def test_ranks_share_an_epoch_equally_and_workers_of_torch_share_a_rank(shards: Shards) -> None:
    ranks = [loader(shards, rank=rank, n_ranks=3) for rank in range(3)]
    assert len({len(each) for each in ranks}) == 1
    rows = [rows_of(each) for each in ranks]
    assert len({row for each in rows for row in each}) == sum(map(len, rows)) > 0
    workers = DataLoader(loader(shards, rank=1, n_ranks=3), batch_size=None, num_workers=2)
    assert sorted(rows_of(workers)) == sorted(rows[1])


def entropy_in_batches(codes: NDArray[np.int64], rows: Any, size: int) -> float:
    shares = [np.bincount(codes[rows[first : first + size]]) / size for first in range(0, len(rows), size)]
    return float(np.mean([-(p[p > 0] * np.log2(p[p > 0])).sum() for p in shares]))


@pytest.mark.parametrize("is_shuffled", [True, False])
def test_labels_mix_in_batches_as_in_a_full_shuffle_though_the_store_is_sorted_by_them(
    is_shuffled: bool,
) -> None:
    n_cells, size = 64_000, 256
    plan = make_plan(np.zeros(n_cells, np.uint8), manifest_id="m", seed=0, shard_cells=16_384)
    # Types of unequal frequency; unshuffled, a batch has one or two of them.
    types = np.sort(np.random.default_rng(0).zipf(1.5, n_cells) % 40)
    of_row = types[plan.cell_of] if is_shuffled else types
    order = EpochOrder(n_cells, size, seed=0, epoch=0, is_shuffled=is_shuffled)
    rows = np.concatenate([order.batch(k) for k in range(order.n_batches(drop_last=False))])
    found = entropy_in_batches(of_row, rows, size)
    full = entropy_in_batches(types, np.random.default_rng(1).permutation(n_cells), size)
    assert (abs(found / full - 1) < 0.02) == is_shuffled


def test_weights_go_with_the_cells_or_into_their_drawing(
    shards: Shards, monkeypatch: pytest.MonkeyPatch
) -> None:
    obs = shards.obs()
    weighted = obs.with_columns(weight=pl.Series(np.where(np.arange(len(obs)) % 2, 3.0, 1.0)))

    def read(self: Shards, columns: Any = None, *, split: Any = None) -> pl.DataFrame:
        rows = self.rows(split) if split else range(len(weighted))
        table = weighted[rows.start : rows.stop]
        return table if columns is None else table.select(columns)

    monkeypatch.setattr(type(shards), "obs", read)
    batch: Batch = next(iter(loader(shards, weighting="pass")))
    assert batch.weights is not None
    np.testing.assert_array_equal(batch.weights.numpy(), np.where(batch.rows.numpy() % 2, 3.0, 1.0))
    drawn = np.bincount(rows_of(loader(shards, weighting="sample")), minlength=len(obs))
    n = shards.n_cells("train")
    assert drawn.sum() == n
    assert drawn[1:n:2].sum() == pytest.approx(0.75 * n, abs=12)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weighting": "sample"}, "has no weights; its strategy gives none"),
        ({"weighting": "loud"}, "no weighting named 'loud'; there are: none, pass, sample"),
        ({"labels": ["celltype"]}, "has no obs column 'celltype'.*cell_type"),
        ({"rank": 2, "n_ranks": 2}, "rank 2 of 2; ranks count from 0"),
        ({"split": "dev"}, "no split named 'dev'"),
    ],
)
def test_what_cannot_be_loaded_is_refused(shards: Shards, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ShardError, match=message):
        loader(shards, **settings)
