"""Descriptions of public data sets: what add-source would else have to be told. Nothing is downloaded."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import Field, ValidationError

from curate.documents import Document, first_fault
from curate.errors import SourceError
from curate.nearest import nearest

SHIPPED_PATH = Path(__file__).parent / "shipped"


class Description(Document):
    """A data set: what its file is called and holds. What is not known is left out.

    Attributes
    ----------
    file, n_bytes, url
        Name and size of the file, and where it can be had.
    n_cells
        Cells of it.
    perturbation_column, control
        The obs column that says how a cell is perturbed, and its values of unperturbed cells.
    layer, gene_column, map
        As the options of add-source.
    used_by
        Where it was used as a spike-in.
    """

    title: str
    citation: str | None = None
    organism: str = "homo_sapiens"
    cell_line: str | None = None
    file: str | None = None
    n_bytes: int | None = Field(default=None, ge=1)
    url: str | None = None
    n_cells: int | None = Field(default=None, ge=1)
    perturbation_column: str | None = None
    control: tuple[str, ...] = ()
    layer: str | None = None
    gene_column: str | None = None
    map: dict[str, str] = Field(default={})
    used_by: str | None = None
    notes: tuple[str, ...] = ()

    def differences(self, path: Path, *, n_cells: int) -> tuple[str, ...]:
        """Return a line for each thing in which a file is not the one described."""
        found: dict[str, tuple[object, object]] = {"name": (self.file, path.name)}
        if path.is_file():
            found["size in bytes"] = (self.n_bytes, path.stat().st_size)
        found["number of cells"] = (self.n_cells, n_cells)
        return tuple(
            f"{path} is not the file described as {self.title!r}: its {what} is {_shown(held)}, described "
            f"{_shown(described)}"
            for what, (described, held) in found.items()
            if described is not None and described != held
        )


def shipped_names() -> tuple[str, ...]:
    """Return the names of the descriptions that are shipped."""
    return tuple(sorted(path.stem for path in SHIPPED_PATH.glob("*.toml")))


def load_description(name: str) -> Description:
    """Read a description that is shipped, by its name, or one from a TOML file.

    Raises
    ------
    SourceError
        When there is none, it is not TOML, or has an unknown key or a value that does not fit.
    """
    path = SHIPPED_PATH / f"{name}.toml" if name in shipped_names() else Path(name)
    try:
        return Description.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        hint = nearest(name, shipped_names())
        raise SourceError(
            f"no description {name!r}: {error.strerror}; name a TOML file or one that is shipped: {hint}"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SourceError(f"description {path} is not TOML: {error}") from None
    except ValidationError as error:
        where, what = first_fault(error)
        raise SourceError(
            f"description {name}: {where}: {what}; its keys are {', '.join(Description.model_fields)}"
        ) from None


def _shown(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else repr(value)
