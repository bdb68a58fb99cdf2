"""Shuffled batches of counts straight from a store, by tiledbsoma-ml."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from curate.census import layout
from curate.errors import CensusError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import tiledbsoma as soma
    from numpy.typing import NDArray


def shuffled_batches(
    experiment: soma.Experiment,
    joinids: NDArray[np.int64],
    *,
    var_joinids: NDArray[np.int64],
    layer: str,
    batch_size: int,
    io_cells: int,
    chunk_cells: int,
    seed: int,
    rank: int,
    n_ranks: int,
) -> Iterator[tuple[NDArray[np.int64], sp.csr_array]]:
    """Yield the joinids of each batch and their counts; see `Census.shuffled_batches`."""
    try:
        from tiledbsoma_ml import ExperimentDataset
        from tiledbsoma_ml._query_ids import QueryIDs
        from tiledbsoma_ml.x_locator import XLocator
        from torch.utils.data import get_worker_info
    except ImportError as error:
        raise CensusError(f"streaming needs {error.name}; pip install 'cellcurate[train]'") from error
    # Cells go to ranks and workers as they stand, and each would have its own corner of the store.
    chunks = np.array_split(joinids, np.arange(chunk_cells, joinids.size, chunk_cells))
    order = np.random.default_rng(seed).permutation(len(chunks))
    dataset = ExperimentDataset(
        x_locator=XLocator.create(experiment, measurement_name=layout.RNA, layer_name=layer),
        query_ids=QueryIDs(
            obs_joinids=np.concatenate([chunks[number] for number in order]), var_joinids=var_joinids
        ),
        batch_size=batch_size,
        io_batch_size=io_cells,
        shuffle_chunk_size=chunk_cells,
        # Its own set_epoch does not change its order: each epoch is a data set with a seed of its own.
        seed=seed,
        # It hands no sparse arrays out of a worker.
        return_sparse_X=get_worker_info() is None,
    )
    # It would take them from the environment.
    object.__setattr__(dataset, "rank", rank)
    object.__setattr__(dataset, "world_size", n_ranks)
    for counts, obs in dataset:
        rows = sp.csr_array(np.atleast_2d(counts) if isinstance(counts, np.ndarray) else counts)
        rows.sort_indices()
        yield obs["soma_joinid"].to_numpy(), rows
