"""The genes of a corpus, and which of its data sets measured them: one not measured is absent, not zero."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from curate.atomic import atomic_file
from curate.errors import CorpusError, WriteError
from curate.gene_space import GeneSpace, Presence

if TYPE_CHECKING:
    from pathlib import Path

    from curate.corpus import Corpus

PRESENCE_FILE = "presence.parquet"


def measured_genes(corpus: Corpus) -> GeneSpace:
    """Return the genes of a corpus with their presence by data set.

    It is read from the presence matrix of the Census, once: then it stands beside the corpus, in a bit a gene
    and data set.

    Raises
    ------
    CensusError
        When the Census cannot be opened, at the first call.
    CorpusError
        When the file cannot be read.
    """
    genes = corpus.genes()
    path = corpus.path / PRESENCE_FILE
    if not path.is_file():
        found = _of_census(corpus)
        # It is read quickly: where nothing can be written, nothing is kept.
        with suppress(WriteError):
            write_presence(found, path)
        return genes.measured_by(found)
    return genes.measured_by(read_presence(path, genes.n_genes))


def _of_census(corpus: Corpus) -> Presence:
    """Return what the presence matrix says about the corpus' data sets and genes."""
    held = corpus.value_counts("dataset_id")["value"].cast(pl.String).sort()
    with corpus.open_census() as census:
        matrix = census.presence(corpus.header.organism)
        row_of = dict(census.read_datasets().select("dataset_id", "soma_joinid").iter_rows())
    missing = [name for name in held if name not in row_of]
    if missing:
        raise CorpusError(
            f"the Census lists no data set {missing[0]!r}, of which corpus {corpus.name!r} has cells; build "
            "the corpus again"
        )
    measured = matrix[[row_of[name] for name in held]][:, corpus.var_joinids()].toarray()
    return Presence(tuple(held), measured.astype(np.bool_))


def write_presence(presence: Presence, path: Path) -> None:
    """Write which data set measured which gene, a bit each."""
    packed = [row.tobytes() for row in np.packbits(presence.measured, axis=1)]
    table = pl.DataFrame(
        {"dataset_id": presence.datasets, "measured": packed},
        schema={"dataset_id": pl.String, "measured": pl.Binary},
    )
    with atomic_file(path) as aside:
        table.write_parquet(aside)


def read_presence(path: Path, n_genes: int) -> Presence:
    """Read what `write_presence` wrote.

    Raises
    ------
    CorpusError
        When it cannot be read.
    """
    try:
        table = pl.read_parquet(path)
        packed = np.frombuffer(b"".join(table["measured"]), np.uint8).reshape(table.height, -1)
        bits = np.unpackbits(packed, axis=1, count=n_genes)
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        reason = str(error).split("\n")[0]
        raise CorpusError(f"{path} cannot be read: {reason}; remove it, and it is made again") from None
    return Presence(tuple(table["dataset_id"]), bits.astype(np.bool_))
