"""References to the simulated atlas: cells of its own, and of another atlas of the same types and genes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp

from curate.build.embeddings.embedding import Embedding
from curate.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from curate.corpus import Corpus


@dataclass
class Cells:
    """Cells to write as an h5ad file, which a test may change first."""

    counts: NDArray[np.float32]
    names: list[str]
    obs: dict[str, list[Any]]
    genes: list[str]
    raw: NDArray[np.float32] | None = None
    obsm: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    def at(self, order: NDArray[np.int64]) -> Cells:
        return Cells(
            self.counts[order],
            [self.names[i] for i in order],
            {name: [values[i] for i in order] for name, values in self.obs.items()},
            self.genes,
        )

    def write(self, path: Path) -> Path:
        import anndata as ad
        import pandas as pd

        var = pd.DataFrame(index=self.genes)
        written = ad.AnnData(
            sp.csr_matrix(self.counts), obs=pd.DataFrame(self.obs, index=self.names), var=var, obsm=self.obsm
        )
        if self.raw is not None:
            written.raw = ad.AnnData(sp.csr_matrix(self.raw), obs=written.obs, var=var)
        written.write_h5ad(path)
        return path


class WriteTask(Protocol):
    """Writes a task document of some lines; the reference, where there is one, is reference.h5ad."""

    def __call__(self, text: str = ..., *, reference: Cells | None = ...) -> Path: ...


@pytest.fixture
def corpus(fresh_workspace: Path) -> Corpus:
    """The corpus of the atlas, with a folder of its own: looking for cells leaves what was found there."""
    return Workspace.find(fresh_workspace).corpus()


@pytest.fixture
def embedding(corpus: Corpus) -> Embedding:
    return Embedding.open(corpus.embeddings_path / "pca", corpus)


def cells_of(store: Path, joinids: NDArray[np.int64]) -> Cells:
    from curate.census import Census

    columns = ["cell_type", "donor_id", "tissue"]
    with Census.open(uri=store) as census:
        tables = census.read_obs("homo_sapiens", columns, joinids=joinids)
        obs = pl.concat([pl.DataFrame(pl.from_arrow(table)) for table in tables])
        blocks = [block.counts.toarray() for block in census.read_counts("homo_sapiens", joinids)]
        genes = census.read_var("homo_sapiens")["feature_id"].to_list()
    held = {name: obs[name].cast(pl.String).to_list() for name in columns}
    return Cells(np.concatenate(blocks), [f"cell-{i}" for i in joinids], held, genes)


@pytest.fixture(scope="session")
def other_atlas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another simulated atlas, 600 cells of the same types and genes. Read it, never write to it."""
    from curate.simulate import simulate_atlas

    path = tmp_path_factory.mktemp("census") / "other"
    simulate_atlas(path, n_cells=600, n_genes=300, seed=1)
    return path


@pytest.fixture(scope="session")
def _foreign(other_atlas: Path) -> Cells:
    return cells_of(other_atlas, np.arange(0, 600, 3))


@pytest.fixture
def foreign(_foreign: Cells) -> Cells:
    """200 cells of the other atlas: none of them is in the corpus."""
    cells = _foreign.at(np.arange(200))
    cells.obs["cell_type"] = ["mast cell" if each == "unknown" else each for each in cells.obs["cell_type"]]
    return cells


@pytest.fixture
def own(corpus: Corpus, atlas_census: Path) -> Cells:
    """150 cells of the corpus itself, named after their soma_joinids."""
    return cells_of(atlas_census, corpus.joinids()[::10].astype(np.int64))


@pytest.fixture
def write_task(tmp_path: Path) -> WriteTask:
    def write(text: str = "", *, reference: Cells | None = None) -> Path:
        head = 'name = "mine"\n' + ("" if "kind =" in text else 'kind = "classification"\n')
        if reference is not None:
            reference.write(tmp_path / "reference.h5ad")
            if "[reference]" not in text:
                text = '[reference]\nh5ad = "reference.h5ad"\n' + text
        path = tmp_path / "mine.toml"
        path.write_text(head + text)
        return path

    return write
