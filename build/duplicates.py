"""Cells that stand twice in a corpus or a Census, found by what they hold.

Two questions about `is_primary_data`, which is curation, not content: which contents are marked primary more
than once, and which cells that are not primary have no primary copy at all.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from curate.corpus.content import census_content, corpus_content, measured_by_all
from curate.corpus.copies import MIN_GENES, Copies, find_copies, is_among
from curate.errors import CorpusError
from curate.identity import arrow_identity_hash, release_identity_hash

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from curate.census import Census
    from curate.corpus import Corpus
    from curate.corpus.content import Content

TWICE, ALONE = "primary twice", "no primary copy"
_COLUMNS = ("dataset_id", "is_primary_data")
_OBSERVATION_JOINID = "observation_joinid"


@dataclass(frozen=True)
class DatasetPair:
    """Contents that primary cells of two datasets share, or that one dataset holds twice (A is B)."""

    dataset_a: str
    dataset_b: str
    n_cells: int


@dataclass(frozen=True)
class DatasetCells:
    """Cells of a dataset that are not primary, and those of them without a primary copy."""

    dataset: str
    n_not_primary: int
    n_without_primary: int


@dataclass(frozen=True)
class Duplicates:
    """What was found among some cells.

    Attributes
    ----------
    what
        The corpus or Census.
    n_cells, n_primary
        Cells looked at, and primary ones among them.
    n_genes
        Genes that cells were compared over.
    min_genes, n_too_few, n_without_counts
        Cells with counts of fewer genes than `min_genes` are not compared: how many, and how many of them
        have no counts at all.
    n_contents_twice, n_cells_twice, n_surplus
        Contents that more than one primary cell holds, those cells, and cells less contents: what
        `deduplicate = "content"` drops among primary cells.
    n_without_primary, n_contents_alone
        Cells that are not primary whose content no primary cell holds, and their distinct contents: what
        `rescue_without_primary` would keep at most.
    pairs, datasets
        The same by datasets, the most first.
    """

    what: str
    n_cells: int
    n_primary: int
    n_genes: int
    min_genes: int
    n_too_few: int
    n_without_counts: int
    n_contents_twice: int
    n_cells_twice: int
    n_surplus: int
    n_without_primary: int
    n_contents_alone: int
    pairs: tuple[DatasetPair, ...]
    datasets: tuple[DatasetCells, ...]

    def to_json(self, *, top: int | None = None) -> dict[str, Any]:
        """Return it as JSON knows it, tables cut to the `top` first rows."""
        found = asdict(self)
        return found | {"pairs": found["pairs"][:top], "datasets": found["datasets"][:top]}


def corpus_duplicates(
    corpus: Corpus, *, min_genes: int = MIN_GENES, shared_genes: bool = False
) -> tuple[Duplicates, pl.DataFrame]:
    """Find the copies among the cells of a corpus.

    Parameters
    ----------
    min_genes
        Cells with counts of fewer genes cannot be told apart, and are counted only.
    shared_genes
        Compare over the genes that every dataset measured, instead of all: a cell that two datasets hold with
        other genes has other counts over all of them.

    Returns
    -------
    Duplicates, DataFrame
        Numbers, and one row a cell found: soma_joinid, dataset_id, observation_joinid where there is one,
        is_primary_data, n_genes, finding ("primary twice" or "no primary copy"), content (hexadecimal),
        is_kept (the one of each content that stays, which does not depend on the order of cells). Memory:
        about 50 bytes a cell.

    Raises
    ------
    CensusError, CorpusError
        When the counts cannot be read, or there are none.
    """
    if shared_genes:
        with corpus.open_census() as census:
            datasets = corpus.value_counts("dataset_id")["value"].to_list()
            genes = measured_by_all(census, corpus.header.organism, datasets)
            content = corpus_content(corpus, genes=genes, census=census)
    else:
        content = corpus_content(corpus)
    obs = corpus.columns(list(_COLUMNS))
    found, listed = _look(obs, corpus.identity(), content, what=f"corpus {corpus.name}", min_genes=min_genes)
    rows = listed["row"].to_numpy()
    has_texts = corpus.header.identity == "dataset_id+observation_joinid"
    names = ["soma_joinid", *([_OBSERVATION_JOINID] if has_texts else [])]
    return found, _named(listed, _rows_of_corpus(corpus, names, rows))


def census_duplicates(
    root: Path,
    census: Census,
    organism: str,
    *,
    min_genes: int = MIN_GENES,
    shared_genes: bool = False,
) -> tuple[Duplicates, pl.DataFrame]:
    """Find the copies among all cells of an organism in a Census, primary or not.

    Parameters
    ----------
    root
        The workspace; what cells hold is kept in it, so that the counts are read once.
    min_genes, shared_genes
        As in `corpus_duplicates`.

    Returns
    -------
    As `corpus_duplicates`.

    Raises
    ------
    CensusError, CorpusError
        When it cannot be read, or holds no counts.
    """
    has_texts = _OBSERVATION_JOINID in census.obs_columns(organism)
    names = [*_COLUMNS, *([_OBSERVATION_JOINID] if has_texts else [])]
    parts, identities = [], []
    for table in census.read_obs(organism, names):
        joinids = table["soma_joinid"].to_numpy()
        identities.append(
            arrow_identity_hash(
                table["dataset_id"].combine_chunks(), table[_OBSERVATION_JOINID].combine_chunks()
            )
            if has_texts
            else release_identity_hash(census.release, joinids)
        )
        frame = pl.from_arrow(table.select(list(_COLUMNS)))
        assert isinstance(frame, pl.DataFrame)
        parts.append(frame.with_columns(pl.col("dataset_id").cast(pl.Categorical)))
    obs = pl.concat(parts)
    genes = None
    if shared_genes:
        genes = measured_by_all(census, organism, obs["dataset_id"].unique().cast(pl.String).to_list())
    content = census_content(root, census, organism, genes=genes)
    what = f"{organism} of {census.uri} (release {census.release})"
    found, listed = _look(obs, np.concatenate(identities), content, what=what, min_genes=min_genes)
    rows = listed["row"].to_numpy()
    columns = pl.DataFrame({"soma_joinid": rows})
    if has_texts and rows.size:
        order = np.argsort(rows)
        tables = census.read_obs(organism, [_OBSERVATION_JOINID], joinids=rows[order])
        texts = pl.concat(
            [pl.DataFrame({_OBSERVATION_JOINID: pl.from_arrow(t[_OBSERVATION_JOINID])}) for t in tables]
        )
        columns = columns.with_columns(texts[np.argsort(order)][_OBSERVATION_JOINID])
    return found, _named(listed, columns)


def _rows_of_corpus(corpus: Corpus, names: Sequence[str], rows: NDArray[np.int64]) -> pl.DataFrame:
    order = np.argsort(rows)
    return corpus.columns(names, rows=rows[order])[np.argsort(order)]


def _named(listed: pl.DataFrame, columns: pl.DataFrame) -> pl.DataFrame:
    order = ["soma_joinid", "dataset_id", _OBSERVATION_JOINID, "is_primary_data", "n_genes", "finding"]
    whole = pl.concat([columns, listed], how="horizontal")
    return whole.select([name for name in (*order, "content", "is_kept") if name in whole.columns])


def _look(
    obs: pl.DataFrame, identity: NDArray[np.uint64], content: Content, *, what: str, min_genes: int
) -> tuple[Duplicates, pl.DataFrame]:
    """Answer both questions for cells of which obs, identity and content are given in one order."""
    if min_genes < 1:
        raise CorpusError(f"min_genes {min_genes} must be at least 1: a cell without counts equals any other")
    hashes = content.hashes
    is_primary = obs["is_primary_data"].fill_null(value=False).to_numpy()
    is_told = content.n_genes >= min_genes
    twice = find_copies(hashes, is_told & is_primary, is_primary=is_primary, identity=identity)
    primary = np.sort(hashes[is_told & is_primary])
    others = np.flatnonzero(is_told & ~is_primary)
    alone = others[~is_among(hashes, primary, rows=others)]
    del primary
    lonely = np.zeros(hashes.size, np.bool_)
    lonely[alone] = True
    repeated = find_copies(hashes, lonely, is_primary=is_primary, identity=identity).surplus
    found = Duplicates(
        what=what,
        n_cells=hashes.size,
        n_primary=int(is_primary.sum()),
        n_genes=content.header.n_genes,
        min_genes=min_genes,
        n_too_few=int((~is_told).sum()),
        n_without_counts=int((np.asarray(content.n_genes) == 0).sum()),
        n_contents_twice=twice.n_groups,
        n_cells_twice=twice.rows.size,
        n_surplus=twice.surplus.size,
        n_without_primary=alone.size,
        n_contents_alone=alone.size - repeated.size,
        pairs=_pairs(obs["dataset_id"], twice),
        datasets=_datasets(obs["dataset_id"], np.flatnonzero(~is_primary), alone),
    )
    return found, _listed(obs, content, twice, alone, repeated)


def _pairs(datasets: pl.Series, copies: Copies) -> tuple[DatasetPair, ...]:
    """Count the contents that two datasets share; those that one holds twice count for it with itself."""
    held = (
        pl.DataFrame({"group": copies.group, "dataset": datasets.gather(copies.rows).cast(pl.String)})
        .group_by("group", "dataset")
        .len("n")
    )
    pairs = (
        held.join(held, on="group", suffix="_b")
        .filter(
            (pl.col("dataset") < pl.col("dataset_b"))
            | ((pl.col("dataset") == pl.col("dataset_b")) & (pl.col("n") > 1))
        )
        .group_by("dataset", "dataset_b")
        .len("n_cells")
        .sort("n_cells", "dataset", "dataset_b", descending=[True, False, False])
    )
    return tuple(DatasetPair(*row) for row in pairs.iter_rows())


def _datasets(
    datasets: pl.Series, others: NDArray[np.int64], alone: NDArray[np.int64]
) -> tuple[DatasetCells, ...]:
    counted = [
        datasets.gather(rows).cast(pl.String).alias("dataset").value_counts(name=name)
        for rows, name in ((others, "n_not_primary"), (alone, "n_without_primary"))
    ]
    table = counted[0].join(counted[1], on="dataset", how="left").fill_null(0)
    table = table.sort("n_without_primary", "dataset", descending=[True, False])
    return tuple(DatasetCells(*row) for row in table.iter_rows())


def _listed(
    obs: pl.DataFrame,
    content: Content,
    twice: Copies,
    alone: NDArray[np.int64],
    repeated: NDArray[np.int64],
) -> pl.DataFrame:
    """Return the cells found, copies beside each other."""
    alone = alone[np.lexsort((alone, content.hashes[alone]))]
    rows = np.concatenate([twice.rows, alone])
    is_surplus = np.zeros(content.hashes.size, np.bool_)
    is_surplus[twice.surplus] = True
    is_surplus[repeated] = True
    return pl.DataFrame(
        {
            "row": rows,
            "dataset_id": obs["dataset_id"].gather(rows).cast(pl.String),
            "is_primary_data": obs["is_primary_data"].gather(rows),
            "n_genes": content.n_genes[rows],
            "finding": [TWICE] * twice.rows.size + [ALONE] * alone.size,
            "content": [f"{value:016x}" for value in content.hashes[rows].tolist()],
            "is_kept": ~is_surplus[rows],
        },
        schema_overrides={"finding": pl.String, "content": pl.String},
    )
