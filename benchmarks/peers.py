"""What curate is measured against, one function a peer; run in a child process: `python -m benchmarks.peers`.

The procedures of the study (DenAdel et al. 2026) are written here anew with pandas, as its protocol states
them: an obs table in memory, a sample of its rows, a random 80/10/10 split of them, the rows written down.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

COMPOSITION = ("cell_type", "tissue_general", "assay", "disease", "dataset_id")


def raw_obs(store: str, columns: str) -> None:
    """Read obs columns with tiledbsoma and drop them; print the seconds, start and opening left out."""
    import tiledbsoma as soma

    from curate.census.location import BUFFER_BYTES

    # The default, 1 GiB a column, asks for more memory than a laptop has, and is no quicker.
    context = soma.SOMATileDBContext(tiledb_config={"soma.init_buffer_bytes": str(BUFFER_BYTES)})
    with soma.DataFrame.open(f"{store}/census_data/homo_sapiens/obs", context=context) as obs:
        start = time.perf_counter()
        n = sum(len(table) for table in obs.read(column_names=["soma_joinid", *columns.split(",")]))
        print(f"{n} {time.perf_counter() - start}")


def select(cells: str, strategy: str, fraction: str, seed: str, out: str) -> None:
    """Choose cells as the study did, split them, count what they are made of, write them down."""
    import pandas as pd

    obs = pd.read_parquet(cells, columns=["soma_joinid", "donor_id", *COMPOSITION])
    n, state = int(float(fraction) * len(obs)), int(seed)
    if strategy == "random":
        chosen = obs.sample(n=n, random_state=state)
    elif strategy == "stratified":
        chosen = obs.groupby("cell_type", observed=True).sample(frac=float(fraction), random_state=state)
    else:
        chosen = _reweighted(obs, n, state)
    order = np.random.default_rng(state).permutation(len(chosen))
    split = np.full(len(chosen), "train", dtype=object)
    split[order[: len(order) // 10]] = "val"
    split[order[len(order) // 10 : len(order) // 5]] = "test"
    counts = {name: chosen[name].value_counts().to_dict() for name in COMPOSITION}
    n_donors = len(chosen[["dataset_id", "donor_id"]].drop_duplicates())
    pd.DataFrame({"soma_joinid": chosen["soma_joinid"], "split": split}).to_parquet(out, index=False)
    print(len(chosen), len(counts["cell_type"]), n_donors)


def _reweighted(obs: Any, n: int, state: int) -> Any:
    """Share n equally among the types; what a type cannot give is shared again until it settles."""
    import pandas as pd

    sizes = obs["cell_type"].value_counts()
    quota = pd.Series(0, index=sizes.index)
    left = n
    while left > 0:
        open_types = quota.index[quota < sizes]
        share = max(1, left // len(open_types))
        for name in open_types:
            given = min(share, sizes[name] - quota[name], left)
            quota[name] += given
            left -= given
    return pd.concat(
        [
            rows.sample(n=int(quota[name]), random_state=state)
            for name, rows in obs.groupby("cell_type", observed=True)
        ]
    )


def diff(cells: str, a: str, b: str) -> None:
    """Compare two subsets with pandas: cells of one, of the other, of both; cell types of each."""
    import pandas as pd

    of_a, of_b = (pd.read_parquet(path, columns=["soma_joinid", "split"]) for path in (a, b))
    merged = of_a.merge(of_b, on="soma_joinid", how="outer", indicator=True)
    obs = pd.read_parquet(cells, columns=["soma_joinid", *COMPOSITION]).set_index("soma_joinid")
    for part in (of_a, of_b):
        held = obs.loc[part["soma_joinid"]]
        for name in COMPOSITION:
            held[name].value_counts()
    print(merged["_merge"].value_counts().to_dict())


PEERS: dict[str, Callable[..., None]] = {"raw-obs": raw_obs, "select": select, "diff": diff}

if __name__ == "__main__":
    PEERS[sys.argv[1]](*sys.argv[2:])
