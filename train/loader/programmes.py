"""Gene programmes from a GMT file, aligned to the genes of shards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from curate.errors import ShardError
from curate.genes import map_genes

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from curate.gene_space import GeneSpace


@dataclass(frozen=True, eq=False)
class Programmes:
    """Gene programmes in a gene space.

    Attributes
    ----------
    names
        What they are called.
    members
        bool [n_programmes, n_genes], which genes each is made of; none is empty.
    n_found, n_named
        How many of the genes that the file names the gene space holds.
    left_out
        Programmes none of whose genes it holds.
    """

    names: tuple[str, ...]
    members: NDArray[np.bool_]
    n_found: int
    n_named: int
    left_out: tuple[str, ...]


def read_gmt(path: Path, genes: GeneSpace) -> Programmes:
    """Read gene programmes: a line each of name, description and genes, separated by tabs.

    Parameters
    ----------
    genes
        What the columns of the counts are, as `Shards.genes`. Genes of the file are found by Ensembl id, else
        by symbol.

    Raises
    ------
    ShardError
        When the file cannot be read, is no GMT, or no gene of it is found.
    """
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ShardError(f"{path} cannot be read as a GMT file: {error}") from error
    sets: dict[str, set[str]] = {}
    for number, line in enumerate(lines, start=1):
        name, _, *held = (field.strip() for field in line.split("\t")) if line.count("\t") > 1 else ("", "")
        if not name:
            raise ShardError(
                f"{path}, programme {number}: no line of name, description and genes between tabs"
            )
        sets.setdefault(name, set()).update(filter(None, held))
    named = sorted(set().union(*sets.values()))
    target = map_genes(named, table=genes).target
    column = {gene: int(at) for gene, at in zip(named, target, strict=True) if at >= 0}
    if not column:
        raise ShardError(
            f"none of the {len(named):,} genes that {path} names are among the {genes.n_genes:,} of the "
            "shards; give Ensembl ids or symbols of this organism"
        )
    members = np.zeros((len(sets), genes.n_genes), bool)
    for row, own in zip(members, sets.values(), strict=True):
        row[[column[gene] for gene in own if gene in column]] = True
    is_held = members.any(axis=1)
    names = np.array(list(sets), object)
    return Programmes(
        tuple(names[is_held]), members[is_held], len(column), len(named), tuple(names[~is_held])
    )
