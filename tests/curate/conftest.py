"""Small h5ad files whose data encode their own coordinates, and the real ones where they are shared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

#: Five human genes and the symbols that the shipped table has for them.
HUMAN = {
    "ENSG00000141510": "TP53",
    "ENSG00000111640": "GAPDH",
    "ENSG00000090382": "LYZ",
    "ENSG00000156738": "MS4A1",
    "ENSG00000198851": "CD3E",
}


def coordinate_matrix(n_cells: int, n_genes: int) -> NDArray[np.float32]:
    """float32 [n_cells, n_genes]: 1 + (7 i + 3 j) mod 50 where 3 divides i + j, else 0."""
    i, j = np.ogrid[:n_cells, :n_genes]
    return np.where((i + j) % 3 == 0, 1 + (7 * i + 3 * j) % 50, 0).astype(np.float32)


@pytest.fixture
def write_h5ad(tmp_path: Path) -> Callable[..., Path]:
    """Write an h5ad: by default 30 cells "cell-i" of five human genes by symbol, counts by coordinates."""

    def write(
        name: str = "sample",
        *,
        x: Any = None,
        obs: dict[str, Any] | None = None,
        obs_names: Sequence[str] | None = None,
        var_names: Sequence[str] = tuple(HUMAN.values()),
        var: dict[str, Any] | None = None,
        layers: dict[str, Any] | None = None,
        raw: Any = None,
        raw_var_names: Sequence[str] | None = None,
        uns: dict[str, Any] | None = None,
    ) -> Path:
        import anndata as ad

        x = coordinate_matrix(30, len(var_names)) if x is None else x
        names = [f"cell-{i}" for i in range(x.shape[0])] if obs_names is None else list(obs_names)
        obs_frame = pd.DataFrame(obs or {}, index=pd.Index(names, dtype=object))
        var_frame = pd.DataFrame(var or {}, index=pd.Index(list(var_names), dtype=object))
        adata = ad.AnnData(x, obs=obs_frame, var=var_frame, layers=layers, uns=uns)
        if raw is not None:
            raw_names = list(var_names if raw_var_names is None else raw_var_names)
            adata.raw = ad.AnnData(
                raw, obs=obs_frame, var=pd.DataFrame(index=pd.Index(raw_names, dtype=object))
            )
        path = tmp_path / f"{name}.h5ad"
        adata.write_h5ad(path)
        return path

    return write
