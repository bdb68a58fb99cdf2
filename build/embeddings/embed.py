"""From a corpus to an embedding.

1. where the counts are, and the cells to fit on: whole windows of them, so that only they are read;
2. moments of every gene, in a pass over those cells;
3. the variable genes;
4. the Gram matrix of their scaled expression, and from it the components, in a second pass over them;
5. the projection of every cell, in the one pass over the whole corpus;
6. what was made, and how, is written down.

How far a pass has come is kept beside the embedding until that is complete, so that a run that was killed
goes on from there. Passes work on units of cells (`units`) and put them together in order (`passes`), in
threads or in Dask workers (`schedule`).
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from curate.atomic import atomic_file, atomic_folder
from curate.build.embeddings.cells import Cells
from curate.build.embeddings.embedding import (
    GENES_FILE,
    HEADER_FILE,
    MODEL_FILE,
    VALUES_FILE,
    Embedding,
    EmbeddingDocument,
    check_name,
    embedding_id,
    software,
)
from curate.build.embeddings.hvg import highly_variable_genes
from curate.build.embeddings.interrupted import PASSES, opened_again, prepare
from curate.build.embeddings.passes import add_up, unit_gram, unit_moments, unit_projection, write_projection
from curate.build.embeddings.pca import GeneMoments, PcaModel, fit, gram_size
from curate.documents import file_digest
from curate.errors import EmbeddingError
from curate.passes.counts import corpus_counts
from curate.passes.schedule import Schedule, Task, schedule

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from curate.corpus import Corpus
    from curate.passes.counts import Counts

HVG_FRACTION = 0.1
BLOCK_CELLS = 2048


@dataclass(frozen=True)
class Parameters:
    """Everything that decides an embedding, given the corpus."""

    n_components: int
    n_hvgs: int
    fit_fraction: float
    hvg_fraction: float
    target_sum: float
    max_value: float
    seed: int


def embed(
    corpus: Corpus,
    *,
    name: str = "pca",
    n_components: int = 50,
    n_hvgs: int = 2000,
    fit_fraction: float = 0.1,
    hvg_fraction: float | None = None,
    target_sum: float = 1e4,
    max_value: float = 10.0,
    seed: int = 0,
    block_cells: int = BLOCK_CELLS,
    workers: int | None = None,
    scheduler: str | None = None,
) -> Embedding:
    """Embed a corpus by PCA of its log-normalised, scaled expression, in a stream.

    With `fit_fraction=1` the values are those that scanpy computes in 64 bits with normalize_total, log1p,
    highly_variable_genes, scale and pca, in that order, and the settings are those of DenAdel et al. 2026:
    genes chosen on 10 % of the cells, everything else fitted on all. The default fits all of it on 10 %, and
    reads the counts of a large corpus 1.2 times instead of three.

    Parameters
    ----------
    name
        Folder under the corpus' embeddings. Asked again with the same settings, it is opened as it is.
    n_components
        Dimensions of the embedding.
    n_hvgs
        Highly variable genes to keep (flavour "seurat"); all that vary when there are fewer.
    fit_fraction
        Share of the cells that mean, variance and components are fitted on. All cells are projected. These
        are whole windows of 2,048 joinids spread evenly over the corpus, not single cells: reading scattered
        cells would cost as much as reading all. Cells of a window are alike, so that there are at least
        MIN_WINDOWS_FITTED windows (half a million cells) and MIN_CELLS_FITTED cells; a smaller corpus is
        fitted on as a whole.
    hvg_fraction
        Share of the cells that the variable genes are chosen on, some of those windows (again at least so
        many); 10 %, or `fit_fraction` when that is less.
    target_sum
        Counts per cell after normalisation. What is normalised is the total over all genes of the corpus,
        not over the variable ones; a cell without any count stays zero and is counted in the header.
    max_value
        Scaled expression is clipped to ± this.
    seed
        Which windows are taken.
    block_cells
        Cells read at a time. It changes memory and speed, never the result.
    workers, scheduler
        Work in so many processes of a local Dask cluster, or in the workers of the Dask scheduler at this
        address, instead of two threads. On processors of one kind the result has the same bits.

    Returns
    -------
    Embedding

    Notes
    -----
    Memory: four blocks of counts and what reading them takes (0.9 GB for cells of 2,000 genes), 32 bytes a
    gene, 4 n_hvgs² bytes for each of the three units under way (16 MB for 2,000) and ten times that for the
    eigenvectors; one byte a cell for the sample. A worker holds two blocks and one unit.

    Raises
    ------
    EmbeddingError
        When a setting is out of range, fewer genes vary than components are asked for, or the name is taken
        by an embedding with other settings.
    ScheduleError
        When Dask is asked for and cannot be used.
    CensusError
        When the counts cannot be read.
    """
    check_name(name)
    if hvg_fraction is None:
        hvg_fraction = min(HVG_FRACTION, fit_fraction)
    parameters = Parameters(n_components, n_hvgs, fit_fraction, hvg_fraction, target_sum, max_value, seed)
    _check(parameters, corpus)
    path = corpus.embeddings_path / name
    if path.exists():
        return opened_again(path, corpus, asdict(parameters))
    with (
        corpus_counts(corpus, block_cells=block_cells) as counts,
        schedule(workers=workers, scheduler=scheduler) as runner,
        atomic_folder(path, resumable=True) as folder,
    ):
        prepare(folder, corpus, asdict(parameters))
        cells = Cells.of(
            corpus, folder / PASSES, fit_fraction=fit_fraction, hvg_fraction=hvg_fraction, seed=seed
        )
        moments = _moments(counts, cells, folder, parameters, runner)
        genes = _variable_genes(moments, corpus, parameters)
        model = _model(counts, cells, folder, moments, genes, parameters, runner)
        n_empty = _project(counts, cells, folder, model, genes, runner)
        _write_down(folder, name, corpus, parameters, cells, model, genes, n_empty)
        shutil.rmtree(folder / PASSES)
    return Embedding.open(path, corpus)


def _check(parameters: Parameters, corpus: Corpus) -> None:
    p = parameters
    most = min(corpus.n_cells, corpus.header.genes.n, p.n_hvgs) - 1
    if not 1 <= p.n_components <= most:
        raise EmbeddingError(
            f"{p.n_components} components of {corpus.n_cells:,} cells and "
            f"{min(corpus.header.genes.n, p.n_hvgs):,} genes; ask for 1 to {most}"
        )
    for name in ("fit_fraction", "hvg_fraction"):
        if not 0 < (value := getattr(p, name)) <= 1:
            raise EmbeddingError(f"{name} {value} must be above 0 and at most 1")
    if p.hvg_fraction > p.fit_fraction:
        raise EmbeddingError(
            f"hvg_fraction {p.hvg_fraction} is above fit_fraction {p.fit_fraction}; "
            "genes are chosen among the cells that are fitted on, raise fit_fraction"
        )
    for name in ("target_sum", "max_value"):
        if not 0 < (value := getattr(p, name)) < np.inf:
            raise EmbeddingError(f"{name} {value} must be a number above 0")


def _moments(
    counts: Counts, cells: Cells, folder: Path, parameters: Parameters, runner: Schedule
) -> GeneMoments:
    shared = {"counts": counts, "target_sum": parameters.target_sum}
    sums = add_up(
        folder / PASSES / "moments.safetensors",
        Task(unit_moments, cells.joinids, shared, by_cell=(cells.sampled,)),
        cells.fitted,
        shape=(counts.var_joinids.size, 4),
        schedule=runner,
        title="Moments of genes",
    )
    return GeneMoments(sums, cells.n_fitted, cells.n_sampled, target_sum=parameters.target_sum)


def _variable_genes(moments: GeneMoments, corpus: Corpus, parameters: Parameters) -> NDArray[np.int64]:
    genes = highly_variable_genes(*moments.dispersion(), n_top=parameters.n_hvgs)
    if genes.size <= parameters.n_components:
        raise EmbeddingError(
            f"only {genes.size:,} of the {corpus.header.genes.n:,} genes of corpus {corpus.name} vary, for "
            f"{parameters.n_components} components; ask for fewer"
        )
    return genes


def _model(
    counts: Counts,
    cells: Cells,
    folder: Path,
    moments: GeneMoments,
    genes: NDArray[np.int64],
    parameters: Parameters,
    runner: Schedule,
) -> PcaModel:
    kept = folder / MODEL_FILE
    if kept.exists():
        return PcaModel.load(kept)
    scaling = moments.scaling(genes, max_value=parameters.max_value)
    sums = add_up(
        folder / PASSES / "gram.safetensors",
        Task(unit_gram, cells.joinids, {"counts": counts, "genes": genes, "scaling": scaling}),
        cells.fitted,
        shape=(gram_size(genes.size),),
        schedule=runner,
        title="Covariance",
    )
    model = fit(scaling, sums, n_cells=cells.n_fitted, n_components=parameters.n_components)
    with atomic_file(kept) as aside:
        model.save(aside)
    return model


def _project(
    counts: Counts,
    cells: Cells,
    folder: Path,
    model: PcaModel,
    genes: NDArray[np.int64],
    runner: Schedule,
) -> int:
    return write_projection(
        folder / VALUES_FILE,
        folder / PASSES / "projection.json",
        Task(unit_projection, cells.joinids, {"counts": counts, "genes": genes, "model": model}),
        cells.units,
        n_components=model.components.shape[0],
        schedule=runner,
        title="Projection",
    )


def _write_down(
    folder: Path,
    name: str,
    corpus: Corpus,
    parameters: Parameters,
    cells: Cells,
    model: PcaModel,
    genes: NDArray[np.int64],
    n_empty: int,
) -> None:
    with atomic_file(folder / GENES_FILE) as aside:
        corpus.gene_table[genes].write_parquet(aside)
    EmbeddingDocument(
        id=embedding_id(corpus.id, model="pca", made_from=asdict(parameters)),
        name=name,
        corpus=corpus.id,
        model="pca",
        parameters=asdict(parameters),
        n_cells=corpus.n_cells,
        n_components=parameters.n_components,
        n_genes=genes.size,
        n_cells_fitted=cells.n_fitted,
        n_cells_sampled=cells.n_sampled,
        n_cells_without_counts=n_empty,
        explained_variance=tuple(model.explained_variance.tolist()),
        explained_variance_ratio=tuple(model.explained_variance_ratio.tolist()),
        sha256=file_digest(folder / VALUES_FILE),
        created=datetime.now(UTC),
        software=software(),
    ).save(folder / HEADER_FILE)
