"""From a corpus to an embedding: the way through three passes over the counts.

1. moments of every gene, and the counts of every cell, in one pass;
2. the variable genes;
3. the Gram matrix of their scaled expression, and from it the components, in a second pass;
4. the projection of every cell, in a third;
5. what was made, and how, is written down.

What a pass has found is kept beside the embedding until that is complete, so that a run that was killed goes
on from the passes it has finished.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
from pydantic import ValidationError

from curate.atomic import atomic_file, atomic_folder
from curate.build.counts import Counts
from curate.build.embedding import (
    GENES_FILE,
    HEADER_FILE,
    MODEL_FILE,
    VALUES_FILE,
    Embedding,
    EmbeddingDocument,
    check_name,
    embedding_id,
    software,
    write_npy,
    write_values,
)
from curate.build.hvg import highly_variable_genes
from curate.build.pca import GeneMoments, PcaModel, ScaledGram, cell_totals
from curate.build.strategies.keys import smallest_keys
from curate.documents import Document, file_digest
from curate.errors import EmbeddingError
from curate.identity import cell_keys

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from curate.corpus import Corpus

MIN_CELLS_SAMPLED = 20_000
BLOCK_CELLS = 4096


@dataclass(frozen=True)
class Parameters:
    """Everything that decides an embedding, given the corpus."""

    n_components: int
    n_hvgs: int
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
    hvg_fraction: float = 0.1,
    target_sum: float = 1e4,
    max_value: float = 10.0,
    seed: int = 0,
    block_cells: int = BLOCK_CELLS,
) -> Embedding:
    """Embed a corpus by exact PCA of its log-normalised, scaled expression, in a stream.

    The defaults are those of DenAdel et al. 2026. The values are those that scanpy computes in 64 bits with
    normalize_total, log1p, highly_variable_genes, scale and pca, in that order.

    Parameters
    ----------
    name
        Folder under the corpus' embeddings. Asked again with the same settings, it is opened as it is.
    n_components
        Dimensions of the embedding.
    n_hvgs
        Highly variable genes to keep (flavour "seurat"); all that vary when there are fewer.
    hvg_fraction
        Share of the cells that those genes are chosen on, the ones with the smallest keys, but at least
        MIN_CELLS_SAMPLED cells. Mean, variance and components are those of all cells.
    target_sum
        Counts per cell after normalisation. What is normalised is the total over all genes of the corpus,
        not over the variable ones; a cell without any count stays zero and is counted in the header.
    max_value
        Scaled expression is clipped to ± this.
    seed
        Which cells the variable genes are chosen on.
    block_cells
        Cells read at a time. It changes memory and speed, never the result.

    Returns
    -------
    Embedding

    Notes
    -----
    Memory: one block of counts, 64 bytes a gene, 16 n_hvgs² bytes (64 MB for 2,000) and five times half of
    that for the eigenvectors; per cell, 9 bytes for the whole way (joinid, sampled or not) and up to 32 for a
    moment at its beginning (keys): 0.2 GB and 0.7 GB for 22 million cells.

    Raises
    ------
    EmbeddingError
        When a setting is out of range, fewer genes vary than components are asked for, or the name is taken
        by an embedding with other settings.
    CensusError
        When the counts cannot be read.
    """
    check_name(name)
    parameters = Parameters(n_components, n_hvgs, hvg_fraction, target_sum, max_value, seed)
    _check(parameters, corpus)
    path = corpus.embeddings_path / name
    if path.exists():
        return _opened_again(path, corpus, parameters)
    with corpus.open_census() as census, atomic_folder(path, resumable=True) as folder:
        counts = Counts(corpus, census, block_cells=block_cells)
        passes = _passes_folder(folder, corpus, parameters)
        moments = _moments(counts, passes, parameters)
        genes = _variable_genes(moments, corpus, parameters)
        totals = np.load(passes / "totals.npy", mmap_mode="r", allow_pickle=False)
        model = _model(counts, folder, moments, genes, totals, parameters)
        _project(counts, folder, model, genes, totals)
        _write_down(folder, name, corpus, parameters, moments, model, genes, totals)
        shutil.rmtree(passes)
    return Embedding.open(path, corpus)


class Plan(Document):
    """What the passes found in a folder were made for."""

    corpus: str
    parameters: dict[str, int | float]


def _check(parameters: Parameters, corpus: Corpus) -> None:
    p = parameters
    most = min(corpus.n_cells, corpus.header.genes.n, p.n_hvgs) - 1
    if not 1 <= p.n_components <= most:
        raise EmbeddingError(
            f"{p.n_components} components of {corpus.n_cells:,} cells and "
            f"{min(corpus.header.genes.n, p.n_hvgs):,} genes; ask for 1 to {most}"
        )
    if not 0 < p.hvg_fraction <= 1:
        raise EmbeddingError(f"hvg_fraction {p.hvg_fraction} must be above 0 and at most 1")
    for name in ("target_sum", "max_value"):
        if not 0 < (value := getattr(p, name)) < np.inf:
            raise EmbeddingError(f"{name} {value} must be a number above 0")


def _opened_again(path: Path, corpus: Corpus, parameters: Parameters) -> Embedding:
    embedding = Embedding.open(path, corpus)
    asked, made = asdict(parameters), embedding.header.parameters
    other = [name for name in asked if made.get(name) != asked[name]]
    if other:
        settings = ", ".join(f"{name} {made.get(name)}, not {asked[name]}" for name in other)
        raise EmbeddingError(
            f"corpus {corpus.name} has an embedding {path.name!r} with other settings ({settings}); "
            "give this one another name"
        )
    return embedding


def _passes_folder(folder: Path, corpus: Corpus, parameters: Parameters) -> Path:
    """Return where passes are kept; what an interrupted run with other settings has left is removed."""
    passes = folder / "passes"
    plan = Plan(corpus=corpus.id, parameters=asdict(parameters))
    try:
        found = Plan.model_validate_json((passes / "plan.json").read_text())
    except (OSError, ValidationError):
        found = None
    if found != plan:
        for left in folder.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        plan.save(passes / "plan.json")
    # A run that was killed while it wrote a file has left that beside it.
    for torn in folder.rglob(".*.partial"):
        torn.unlink()
    return passes


def _moments(counts: Counts, passes: Path, parameters: Parameters) -> GeneMoments:
    kept = passes / "moments.safetensors"
    if kept.exists():
        return GeneMoments.load(kept, target_sum=parameters.target_sum)
    sampled = _sampled(counts.corpus, parameters)
    moments = GeneMoments(counts.corpus.header.genes.n, target_sum=parameters.target_sum)
    with atomic_file(passes / "totals.npy") as aside:
        totals = _added(moments, counts, sampled)
        write_npy(aside, totals, shape=sampled.shape, dtype="<f8")
    with atomic_file(kept) as aside:
        moments.save(aside)
    return moments


def _added(moments: GeneMoments, counts: Counts, sampled: NDArray[np.bool_]) -> Iterator[NDArray[np.float64]]:
    for rows, block in counts.blocks("Moments of genes"):
        totals = cell_totals(block)
        moments.add(block, totals, sampled[rows])
        yield totals


def _sampled(corpus: Corpus, parameters: Parameters) -> NDArray[np.bool_]:
    n = max(MIN_CELLS_SAMPLED, round(parameters.hvg_fraction * corpus.n_cells))
    if n >= corpus.n_cells:
        return np.ones(corpus.n_cells, dtype=np.bool_)
    sampled = np.zeros(corpus.n_cells, dtype=np.bool_)
    keys = cell_keys(corpus.identity(), seed=parameters.seed, purpose="embed")
    sampled[smallest_keys(keys, np.array([n]))] = True
    return sampled


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
    folder: Path,
    moments: GeneMoments,
    genes: NDArray[np.int64],
    totals: NDArray[np.float64],
    parameters: Parameters,
) -> PcaModel:
    kept = folder / MODEL_FILE
    if kept.exists():
        return PcaModel.load(kept)
    gram = ScaledGram(moments.scaling(genes, max_value=parameters.max_value))
    for rows, block in counts.blocks("Covariance", genes):
        gram.add(block, totals[rows])
    model = gram.fit(parameters.n_components)
    with atomic_file(kept) as aside:
        model.save(aside)
    return model


def _project(
    counts: Counts, folder: Path, model: PcaModel, genes: NDArray[np.int64], totals: NDArray[np.float64]
) -> None:
    path = folder / VALUES_FILE
    if path.exists():
        return
    projected = (model.project(block, totals[rows]) for rows, block in counts.blocks("Projection", genes))
    with atomic_file(path) as aside:
        write_values(aside, projected, (totals.size, model.components.shape[0]))


def _write_down(
    folder: Path,
    name: str,
    corpus: Corpus,
    parameters: Parameters,
    moments: GeneMoments,
    model: PcaModel,
    genes: NDArray[np.int64],
    totals: NDArray[np.float64],
) -> None:
    with atomic_file(folder / GENES_FILE) as aside:
        corpus.gene_table[genes].write_parquet(aside)
    sha256 = file_digest(folder / VALUES_FILE)
    EmbeddingDocument(
        id=embedding_id(corpus.id, model="pca", made_from=asdict(parameters)),
        name=name,
        corpus=corpus.id,
        model="pca",
        parameters=asdict(parameters),
        n_cells=corpus.n_cells,
        n_components=parameters.n_components,
        n_genes=genes.size,
        n_cells_sampled=moments.n_sampled,
        n_cells_without_counts=int((totals == 0).sum()),
        explained_variance=tuple(model.explained_variance.tolist()),
        explained_variance_ratio=tuple(model.explained_variance_ratio.tolist()),
        sha256=sha256,
        created=datetime.now(UTC),
        software=software(),
    ).save(folder / HEADER_FILE)
