"""Which comparisons of a source were made: what its records may say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from curate.build.leakage.guard import CELL_METHODS, Method

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


@dataclass(frozen=True)
class Made:
    """How the cells of a source were looked for in its corpus or in another source.

    Attributes
    ----------
    by
        The methods that compared.
    why_not
        Of the others, why not.
    n_undecided
        Cells that detect too few shared genes to be decided by content: of the source, or of the smaller of
        two.
    """

    by: tuple[Method, ...]
    why_not: Mapping[str, str]
    n_undecided: int

    @classmethod
    def of(cls, found: Collection[str], why_not: Mapping[str, str], n_undecided: int) -> Made:
        """Take it from what was kept: the methods that there are counts of, and why some did not compare."""
        by = tuple(method for method in CELL_METHODS if method in found and method not in why_not)
        return cls(by, why_not, n_undecided)

    @property
    def is_by_content(self) -> bool:
        """Whether equal counts or near copies were looked for; names differ from file to file."""
        return "exact" in self.by or "near" in self.by

    @property
    def reasons(self) -> str:
        """Why some methods did not compare, each reason once."""
        return "; ".join(dict.fromkeys(self.why_not.values()))

    def record(self) -> dict[str, object]:
        """Return the parameters of an exclusion: what ran, what did not and why, how many are undecided."""
        record: dict[str, object] = {"by": list(self.by)}
        if self.why_not:
            record |= {"not_by": list(self.why_not), "why_not": self.reasons}
        return record | ({"n_undecided": self.n_undecided} if self.n_undecided else {})
