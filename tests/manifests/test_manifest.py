"""A manifest in Python: its cells, their obs, their counts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from scipy.sparse import csr_matrix

from curate.errors import CorpusError, ManifestError
from curate.manifests.document import SpikeInRecord
from curate.manifests.manifest import Manifest
from tests.manifests.conftest import ROWS, apart, cells_of, split_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.corpus import Corpus
    from curate.workspace import Workspace
    from tests.manifests.conftest import Write


def test_cells_are_those_that_were_written(write: Write) -> None:
    cells = write().cells()
    assert cells["soma_joinid"].to_list() == list(ROWS)
    assert cells["split"].to_list() == [split_of(row) for row in ROWS]
    assert cells["source"].unique().to_list() == ["census"]


def test_weights_and_ranks_come_back_with_their_cells(write: Write, corpus: Corpus) -> None:
    rows = [5, 3, 9]
    cells = cells_of(corpus, rows).with_columns(weight=pl.Series([0.5, 0.3, 0.9]), rank=pl.Series([0, 1, 2]))
    read = write(cells=cells).cells()
    assert read["soma_joinid"].to_list() == [3, 5, 9]
    assert read["weight"].to_list() == pytest.approx([0.3, 0.5, 0.9])
    assert read["rank"].to_list() == [1, 0, 2]


def test_obs_are_the_corpus_columns_of_the_same_cells(write: Write, coordinate_obs: pl.DataFrame) -> None:
    obs = write().obs(["cell_type", "donor_id"])
    assert obs.columns == ["source", "soma_joinid", "split", "cell_type", "donor_id"]
    expected = coordinate_obs[list(ROWS)]
    assert obs["cell_type"].to_list() == expected["cell_type"].to_list()
    assert obs["donor_id"].to_list() == expected["donor_id"].to_list()


def test_obs_are_by_default_every_column_of_the_corpus(write: Write, corpus: Corpus) -> None:
    assert write().obs().columns[3:] == list(corpus.header.columns)


def test_a_column_that_the_corpus_lacks_is_said(write: Write) -> None:
    with pytest.raises(CorpusError, match=r"no column 'cell_typ'.*did you mean 'cell_type'"):
        write().obs(["cell_typ"])


def test_anndata_holds_the_counts_of_the_cells(
    write: Write, coordinate_counts: NDArray[np.float32], corpus: Corpus
) -> None:
    adata = write().to_anndata()
    assert isinstance(adata.X, csr_matrix)
    np.testing.assert_array_equal(adata.X.toarray(), coordinate_counts[list(ROWS)])
    assert list(adata.var_names) == list(corpus.genes().feature_ids)
    assert list(adata.var["feature_name"]) == list(corpus.genes().feature_names)
    assert list(adata.obs_names) == [str(row) for row in ROWS]
    assert list(adata.obs["split"]) == [split_of(row) for row in ROWS]
    assert adata.uns["manifest_id"] == write().id


def test_anndata_of_one_split_holds_its_cells_only(
    write: Write, coordinate_counts: NDArray[np.float32]
) -> None:
    adata = write().to_anndata(split="test")
    rows = [row for row in ROWS if split_of(row) == "test"]
    assert isinstance(adata.X, csr_matrix)
    np.testing.assert_array_equal(adata.X.toarray(), coordinate_counts[rows])
    assert set(adata.obs["split"]) == {"test"}


def test_anndata_can_be_written_and_read(write: Write, tmp_path: Path) -> None:
    import anndata

    adata = write(rows=[1, 2, 3]).to_anndata()
    adata.write_h5ad(tmp_path / "cells.h5ad")
    again = anndata.read_h5ad(tmp_path / "cells.h5ad")
    assert list(again.obs["soma_joinid"]) == [1, 2, 3]


def test_a_split_that_is_unknown_or_empty_is_said(write: Write) -> None:
    manifest = write(rows=[1, 2])
    with pytest.raises(ManifestError, match="no split named 'training'; there are: train, val, test"):
        manifest.to_anndata(split="training")  # type: ignore[arg-type]
    with pytest.raises(ManifestError, match=r"random-0\.1-s0@v1 has no cell in split val"):
        manifest.to_anndata(split="val")


def test_spike_ins_of_a_source_that_is_not_at_hand_have_no_obs_and_no_counts(
    write: Write, corpus: Corpus
) -> None:
    screen = pl.DataFrame({"source": ["screen"], "soma_joinid": [0], "split": ["train"]})
    manifest = write(
        cells=pl.concat([screen, cells_of(corpus, [1, 2])]),
        spike_ins=[SpikeInRecord(source="screen", id="5" * 64)],
    )
    assert manifest.obs(["cell_type"])["cell_type"].is_null().to_list() == [False, False, True]
    with pytest.raises(ManifestError, match=r"1 cells are spike-ins of source 'screen' .* add-source screen"):
        manifest.to_anndata()


def test_without_its_corpus_a_manifest_still_gives_its_cells(write: Write, tmp_path: Path) -> None:
    manifest = apart(write(), tmp_path / "copy")
    assert len(manifest.cells()) == 86
    with pytest.raises(ManifestError, match=r"corpus 'all' \(\w{12}\) of random-0\.1-s0@v1 is not at hand"):
        manifest.obs()


def test_the_corpus_is_found_by_its_id_under_any_name(write: Write, workspace: Workspace) -> None:
    manifest = Manifest.open(write().folder, workspace=workspace)
    assert manifest.corpus().name == "all"


def test_damaged_cells_are_not_read(write: Write) -> None:
    manifest = write()
    path = Path(manifest.folder, "cells.parquet")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ManifestError, match=r"cells\.parquet is damaged: its sha256 is not the one recorded"):
        Manifest.open(manifest.folder).cells()
