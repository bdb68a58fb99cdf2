from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from torch.utils.data import DataLoader

from curate.errors import ShardError
from curate.gene_space import GeneSpace
from curate.train.loader import Dense, ProgrammeMask, RandomMask, ShardLoader, read_gmt

if TYPE_CHECKING:
    from pathlib import Path

    from curate.train.shards import Shards

ROWS = np.arange(400)
STEP = 0x9E3779B97F4A7C15


def splitmix64(key: int, count: int) -> int:
    """Return the generator's n-th value, in Python's own integers."""
    z = (key + count * STEP) % 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)


def drawn(mask: Any, rows: Any = ROWS, *, seed: int = 0, epoch: int = 0) -> Any:
    return mask.draw(np.asarray(rows), seed=seed, epoch=epoch).numpy()


def masks_by_row(loader: Any) -> dict[int, bytes]:
    return {
        row: mask.tobytes()
        for batch in loader
        for row, mask in zip(batch.rows.tolist(), batch.mask.numpy(), strict=True)
    }


@pytest.mark.parametrize("rate", [0.0, 0.15, 0.5, 1.0])
def test_each_gene_of_each_cell_is_hidden_at_the_rate(rate: float) -> None:
    mask = drawn(RandomMask(1003, rate))
    assert mask.mean() == pytest.approx(rate, abs=5 * np.sqrt(rate * (1 - rate) / mask.size))
    for mean in (mask.mean(axis=0), mask.mean(axis=1)):
        assert np.abs(mean - rate).max() < 5.5 * np.sqrt(rate * (1 - rate) / 400) + 1e-12
    # Neighbours, in genes and in cells, are independent.
    if 0 < rate < 1:
        for one, other in ((mask[:, 1:], mask[:, :-1]), (mask[1:], mask[:-1])):
            assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.01


def test_a_random_mask_is_what_splitmix64_gives() -> None:
    base = int(np.random.SeedSequence([3, 5]).generate_state(1, np.uint64)[0])
    mask = drawn(RandomMask(11, 0.3), [7, 2], seed=3, epoch=5)
    for found, row in zip(mask, (7, 2), strict=True):
        key = splitmix64(base, row + 1)
        values = [splitmix64(key, gene // 4 + 1) >> 16 * (gene % 4) & 0xFFFF for gene in range(11)]
        assert found.tolist() == [value < round(0.3 * 65536) for value in values]


def test_whole_programmes_are_hidden_each_as_often_as_the_others() -> None:
    programmes = np.zeros((5, 12), bool)
    for number in range(5):
        programmes[number, 2 * number : 2 * number + 2] = True
    mask = drawn(ProgrammeMask(programmes, 0.4), np.arange(5000))
    assert not mask[:, 10:].any()
    np.testing.assert_array_equal(mask[:, 0:10:2], mask[:, 1:10:2])
    hidden = mask[:, 0:10:2]
    assert (hidden.sum(axis=1) == 2).all()
    # Each of the ten pairs stands for a tenth of the cells.
    pairs = np.bincount(hidden @ (1 << np.arange(5)), minlength=32)
    assert np.abs(pairs[pairs > 0] / 5000 - 0.1).max() < 0.02
    assert (pairs > 0).sum() == 10
    assert drawn(ProgrammeMask(programmes, 1.0))[:, :10].all()
    assert not drawn(ProgrammeMask(programmes, 0.0)).any()
    assert (drawn(ProgrammeMask(programmes, 0.01)).sum(axis=1) == 2).all()


@pytest.mark.parametrize("kind", ["random", "programmes"])
def test_the_mask_of_a_cell_depends_on_seed_epoch_and_row_alone(shards: Shards, kind: str) -> None:
    n_genes = shards.header.n_genes
    programmes = np.random.default_rng(0).random((60, n_genes)) < 0.05
    mask: Any = RandomMask(n_genes, 0.5) if kind == "random" else ProgrammeMask(programmes, 0.3)

    def loader(**settings: Any) -> ShardLoader:
        return ShardLoader(shards, Dense(n_genes), **({"batch_size": 32, "mask": mask} | settings))

    first = masks_by_row(loader())
    assert set(first) == set(shards.rows("train"))
    assert len(set(first.values())) > 0.99 * len(first)
    assert masks_by_row(loader(batch_size=7, n_threads=4)) == first
    assert masks_by_row(DataLoader(loader(), batch_size=None, num_workers=2)) == first
    two = loader()
    assert masks_by_row(two) == first
    second = masks_by_row(two)
    assert not set(second.values()) & set(first.values())
    assert not set(masks_by_row(loader(seed=1)).values()) & set(first.values())


def test_what_is_hidden_stays_in_the_batch_to_be_predicted(shards: Shards) -> None:
    n_genes = shards.header.n_genes
    plain = next(iter(ShardLoader(shards, Dense(n_genes))))
    masked = next(iter(ShardLoader(shards, Dense(n_genes), mask=RandomMask(n_genes))))
    assert plain.mask is None
    assert (masked.x == plain.x).all()


@pytest.mark.parametrize("rate", [-0.1, 1.5, float("nan")])
def test_a_rate_that_is_no_share_is_refused(rate: float) -> None:
    with pytest.raises(ShardError, match=r"give a share from 0 to 1"):
        RandomMask(10, rate)
    with pytest.raises(ShardError, match=r"give a share from 0 to 1"):
        ProgrammeMask(np.ones((2, 3), bool), rate)


def test_masks_that_do_not_fit_are_refused(shards: Shards) -> None:
    with pytest.raises(ShardError, match=r"a mask of 10 genes; the shards have"):
        ShardLoader(shards, Dense(shards.header.n_genes), mask=RandomMask(10))
    with pytest.raises(ShardError, match=r"1 gene programmes have no genes, as number 1"):
        ProgrammeMask(np.array([[True, False], [False, False]]))
    with pytest.raises(ShardError, match=r"are float64 \[2, 3\]; give bool"):
        ProgrammeMask(np.ones((2, 3)))  # type: ignore[arg-type]


@pytest.fixture
def genes() -> GeneSpace:
    return GeneSpace(("ENSG00000000001", "ENSG00000000002", "ENSG00000000003"), ("CD3E", "CD8A", "MS4A1"))


def test_a_gmt_file_is_read_by_symbol_and_by_id(genes: GeneSpace, tmp_path: Path) -> None:
    path = tmp_path / "sets.gmt"
    path.write_text(
        "T_CELL\thttps://x\tCD3E\tENSG00000000002.4\tNOGENE\n\nB_CELL\t\tMS4A1\t\nOTHER\tno\tNOGENE\n"
    )
    found = read_gmt(path, genes)
    assert found.names == ("T_CELL", "B_CELL")
    assert found.members.tolist() == [[True, True, False], [False, False, True]]
    assert (found.n_found, found.n_named, found.left_out) == (3, 4, ("OTHER",))
    assert drawn(ProgrammeMask(found.members, 1.0), [0]).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"T_CELL\tx\tnone\n", r"none of the 1 genes .* are among the 3 of the shards"),
        (b"", r"none of the 0 genes"),
        (b"gene_a,gene_b\n", r"programme 1: no line of name, description and genes"),
        (b"\xff\xfe\x00", r"cannot be read as a GMT file"),
    ],
)
def test_a_file_without_programmes_is_refused(
    genes: GeneSpace, tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "sets.gmt").write_bytes(content)
    with pytest.raises(ShardError, match=message):
        read_gmt(tmp_path / "sets.gmt", genes)
