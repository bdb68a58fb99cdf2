"""Counts from normalised values."""

import numpy as np
import pytest
import scipy.sparse as sp

from curate.build.leakage.restore import restored_counts


def counts_with_ones(seed: int) -> np.ndarray:
    counts: np.ndarray = np.random.default_rng(seed).poisson(0.7, (40, 60)) * np.array([1, 1, 5] * 20)
    counts[:, 0] = 1
    return counts


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("is_log", [True, False])
def test_counts_come_back_from_normalised_values(seed: int, is_log: bool) -> None:
    counts = counts_with_ones(seed)
    values = counts / counts.sum(axis=1, keepdims=True) * 1e4
    given = sp.csr_array((np.log1p(values) if is_log else values).astype(np.float32))
    restored, known = restored_counts(given)
    assert known.all()
    assert (restored.toarray() == counts).all()


def test_values_that_no_counts_are_behind_are_said_to_be_unknown() -> None:
    values = sp.csr_array(np.random.default_rng(0).gamma(2, 1, (20, 30)).astype(np.float32))
    restored, known = restored_counts(values)
    assert not known.any()
    assert (restored.data == 1).all()
