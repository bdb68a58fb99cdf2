"""Cell identity and keys: the published hash, and keys that are uniform, independent and nested."""

import numpy as np
import polars as pl
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.identity import cell_keys, identity_hash, release_identity_hash


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["d1", "d2", "a longer dataset id"]), st.text(max_size=80)), min_size=1
    )
)
def test_the_identity_is_xxh64_of_the_joinid_seeded_by_the_dataset(cells: list[tuple[str, str]]) -> None:
    datasets, joinids = pl.Series([d for d, _ in cells]), pl.Series([j for _, j in cells])
    expected = [
        xxhash.xxh64_intdigest(joinid.encode(), seed=xxhash.xxh64_intdigest(dataset.encode()))
        for dataset, joinid in cells
    ]
    assert identity_hash(datasets.cast(pl.Categorical), joinids).tolist() == expected


def test_a_slice_of_the_cells_has_the_same_identities() -> None:
    datasets, joinids = pl.Series(["a", "b"] * 50), pl.Series([f"cell {i}" for i in range(100)])
    whole = identity_hash(datasets, joinids)
    assert identity_hash(datasets[13:57], joinids[13:57]).tolist() == whole[13:57].tolist()


def test_an_old_release_identifies_cells_by_release_and_joinid() -> None:
    joinids = np.arange(1_000)
    first, second = (release_identity_hash(release, joinids) for release in ("2023-05-15", "2023-12-15"))
    assert len(np.unique(np.concatenate([first, second]))) == 2_000


IDENTITY = release_identity_hash("test", np.arange(200_000))


def test_keys_are_a_bijection() -> None:
    assert len(np.unique(cell_keys(IDENTITY, seed=0, purpose="select"))) == len(IDENTITY)


def test_keys_are_uniform() -> None:
    counts = np.bincount(
        (cell_keys(IDENTITY, seed=7, purpose="select") >> np.uint64(56)).astype(int), minlength=256
    )
    expected = len(IDENTITY) / 256
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert 150 < chi_square < 380  # 255 degrees of freedom: mean 255, standard deviation 23


@pytest.mark.parametrize("other", [{"seed": 1, "purpose": "select"}, {"seed": 0, "purpose": "split"}])
def test_keys_of_another_seed_or_purpose_are_independent(other: dict[str, object]) -> None:
    ours = cell_keys(IDENTITY, seed=0, purpose="select")
    theirs = cell_keys(IDENTITY, **other)  # type: ignore[arg-type]
    n = len(IDENTITY) // 10
    both = np.intersect1d(np.argpartition(ours, n)[:n], np.argpartition(theirs, n)[:n])
    assert abs(len(both) - n / 10) < 5 * np.sqrt(n * 0.1 * 0.9)


def test_a_key_depends_on_the_cell_alone() -> None:
    keys = cell_keys(IDENTITY, seed=3, purpose="select")
    some = np.random.default_rng(0).permutation(len(IDENTITY))[:1_000]
    assert (cell_keys(IDENTITY[some], seed=3, purpose="select") == keys[some]).all()


def test_keys_stay_what_they_are() -> None:
    identity = identity_hash(pl.Series(["dataset"] * 2), pl.Series(["cell 0", "cell 1"]))
    assert identity.tolist() == [4096165717619805949, 4734824633482266094]
    assert cell_keys(identity, seed=0, purpose="select").tolist() == [
        1622764146968032397,
        1634805923112898067,
    ]
