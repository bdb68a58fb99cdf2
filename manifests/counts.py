"""The counts of a manifest's cells in memory: from the Census, and from the files of its spike-ins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from curate.errors import ManifestError
from curate.manifests.document import CENSUS, SPLITS
from curate.manifests.sources import sources_of

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from anndata import AnnData
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from curate.corpus import Corpus
    from curate.manifests.document import Split
    from curate.manifests.manifest import Manifest
    from curate.sources.source import Source


def to_anndata(manifest: Manifest, *, split: Split | None = None) -> AnnData:
    """Read the counts of a manifest's cells; see `Manifest.to_anndata`."""
    from anndata import AnnData
    from scipy.sparse import csr_matrix, vstack

    if split is not None and split not in SPLITS:
        raise ManifestError(f"no split named {split!r}; there are: {', '.join(SPLITS)}")
    corpus = manifest.corpus()
    sources = sources_of(manifest.document, corpus)
    obs = manifest.obs()
    if split is not None:
        obs = obs.filter(pl.col("split") == split)
    if len(obs) == 0:
        raise ManifestError(f"{manifest.ref} has no cell in split {split}")
    blocks: list[csr_array] = []
    # Cells stand source by source, and by row inside a source, as their counts do.
    for (name,), part in obs.group_by("source", maintain_order=True):
        rows = part["soma_joinid"].to_numpy()
        source = sources.get(str(name))
        blocks += _of_census(corpus, rows) if source is None else source.counts(rows)
    genes = corpus.genes()
    var = pl.DataFrame(
        {"feature_name": genes.feature_names}
        | {f"measured_in_{name}": source.mapping.measured for name, source in sources.items()}
    ).to_pandas()
    var.index = list(genes.feature_ids)
    uns: dict[str, Any] = {"manifest": manifest.ref, "manifest_id": manifest.id}
    if sources:
        uns["spike_ins"] = {name: _facts(source) for name, source in sources.items()}
    return AnnData(X=csr_matrix(vstack(blocks, format="csr")), obs=obs_table(obs), var=var, uns=uns)


def _of_census(corpus: Corpus, joinids: NDArray[np.int64]) -> list[csr_array]:
    with corpus.open_census() as census:
        blocks = census.read_counts(corpus.header.organism, joinids, var_joinids=corpus.var_joinids())
        return [block.counts for block in blocks]


def obs_table(obs: pl.DataFrame) -> pd.DataFrame:
    """Return obs as AnnData wants it, indexed by soma_joinid, spike-ins by "source:row"."""
    table = obs.to_pandas()
    for column in obs.iter_columns():
        if column.dtype == pl.Boolean and column.null_count():
            table[column.name] = table[column.name].astype("boolean")
    joinid, source = pl.col("soma_joinid").cast(pl.String), pl.col("source").cast(pl.String)
    named = pl.when(source == CENSUS).then(joinid).otherwise(pl.concat_str(source, joinid, separator=":"))
    table.index = obs.select(named.alias("name"))["name"].to_list()
    return table


def _facts(source: Source) -> dict[str, Any]:
    """Return what a reader must know of a source: a gene that it did not measure is 0 all the same."""
    genes = source.header.genes
    return {
        "id": source.id,
        "file": source.header.file.path,
        "n_genes_measured": genes.n_measured,
        "n_genes_not_measured": genes.n_space - genes.n_measured,
        "measured_in": f"var column measured_in_{source.name}",
    }
