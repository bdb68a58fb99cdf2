from __future__ import annotations

from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pytest

from curate.errors import ShardError
from curate.train.shards.export import export

if TYPE_CHECKING:
    from pathlib import Path

    from curate.manifests.manifest import Manifest
    from curate.train.shards import Shards


@pytest.mark.parametrize("ending", ["h5ad", "zarr"])
def test_anndata_reads_what_the_manifest_itself_gives(
    shards: Shards, manifests: list[Manifest], tmp_path: Path, ending: str
) -> None:
    path = tmp_path / f"all.{ending}"
    assert export(shards, path) == 300
    read = ad.read_h5ad(path) if ending == "h5ad" else ad.read_zarr(path)
    wanted = manifests[1].to_anndata()[read.obs_names]
    np.testing.assert_array_equal(read.X.toarray(), wanted.X.toarray())
    assert list(read.var_names) == list(wanted.var_names)
    np.testing.assert_array_equal(read.var["measured_in_screen"], wanted.var["measured_in_screen"])
    for column in ("cell_type", "split", "source", "perturbation"):
        assert read.obs[column].astype(str).tolist() == wanted.obs[column].astype(str).tolist()
    assert read.X.indptr[-1] == shards.header.n_nonzeros


def test_one_split_alone(shards: Shards, tmp_path: Path) -> None:
    n_cells = export(shards, tmp_path / "val.h5ad", split="val")
    assert n_cells == shards.n_cells("val")
    assert set(ad.read_h5ad(tmp_path / "val.h5ad").obs["split"]) == {"val"}


def test_another_ending_and_a_file_that_exists_are_refused(shards: Shards, tmp_path: Path) -> None:
    with pytest.raises(ShardError, match=r"ends in \.csv; shards are exported to \.h5ad or \.zarr"):
        export(shards, tmp_path / "all.csv")
    (tmp_path / "all.h5ad").touch()
    with pytest.raises(ShardError, match="exists; name another file"):
        export(shards, tmp_path / "all.h5ad")
    assert not list(tmp_path.glob(".*"))
