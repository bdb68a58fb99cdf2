"""The parts of an opened store: find them, check that they are there, say plainly what is missing."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import polars as pl

from curate.census import layout
from curate.census.faults import FAULTS, sentence
from curate.errors import CensusError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import tiledbsoma as soma


class Store:
    """An opened collection whose parts are addressed by path, such as ("census_info", "summary").

    Raises
    ------
    CensusError
        When it is not a Census, naming what it lacks.
    """

    def __init__(self, root: soma.Collection[Any]) -> None:
        self._root = root
        self.uri: str = root.uri.removeprefix("file://")
        self._whole: set[str] = set()
        self._check((), layout.REQUIRED)
        self.organisms: tuple[str, ...] = tuple(sorted(self.part(layout.DATA).keys()))
        if not self.organisms:
            raise CensusError(f"{self.uri} is not a Census: {layout.DATA} holds no organism")

    def close(self) -> None:
        """Close every part that was opened."""
        self._root.close()

    def part(self, *names: str) -> Any:
        """Open a collection or an array.

        Raises
        ------
        CensusError
            When it is not there or does not open.
        """
        part = self._find(names)
        if isinstance(part, Exception):
            raise CensusError(
                f"{self.uri} has no {'/'.join(names)}, or it does not open: {sentence(part)}"
            ) from part
        return part

    def table(self, *names: str) -> pl.DataFrame:
        """Read a whole data frame, in joinid order."""
        part = self.part(*names)
        with self.reading("/".join(names)):
            frame = pl.from_arrow(part.read().concat())
        assert isinstance(frame, pl.DataFrame)
        return frame.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String)).sort("soma_joinid")

    def experiment(self, organism: str) -> tuple[str, str]:
        """Return the path of an organism's experiment, checked to be whole.

        Raises
        ------
        CensusError
            When there is no such organism, naming those there are, or parts of it are missing.
        """
        name = organism.strip().lower().replace(" ", "_")
        if name not in self.organisms:
            known = ", ".join(self.organisms)
            raise CensusError(f"{self.uri} has no organism {organism!r}; there are: {known}")
        if name not in self._whole:
            self._check((layout.DATA, name), layout.REQUIRED_OF_ORGANISM)
            self._whole.add(name)
        return layout.DATA, name

    @contextmanager
    def reading(self, what: str) -> Iterator[None]:
        """Turn the errors of TileDB into CensusError."""
        try:
            yield
        except FAULTS as error:
            raise CensusError(f"could not read {what} from {self.uri}: {sentence(error)}") from error

    def _check(self, base: tuple[str, ...], required: Sequence[tuple[str, ...]]) -> None:
        missing = [
            "/".join(base + names) for names in required if isinstance(self._find(base + names), Exception)
        ]
        if missing:
            raise CensusError(f"{self.uri} is not a whole Census: it lacks {', '.join(missing)}")

    def _find(self, names: Sequence[str]) -> Any:
        """Open a part; return the error when it is not there."""
        part: Any = self._root
        try:
            for name in names:
                part = part[name]
        except (KeyError, TypeError, *FAULTS) as error:
            return error
        return part
