"""The obs of an h5ad file as Census obs: columns mapped, missing ones "unknown", cell types resolved."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from curate.census import layout, observation_joinids
from curate.errors import SourceError
from curate.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from curate.h5ad.cells import ObsOfSource
    from curate.ontology import Ontology

UNKNOWN = layout.UNKNOWN
#: Census columns that a file can fill; the others are computed.
MAPPABLE = tuple(c.name for c in layout.OBS_COLUMNS if c.name not in ("soma_joinid", *layout.STATISTICS))
# What Python prints for a missing value, and so what files hold whose columns were once cast to text.
_MISSING = ("", "nan", "NaN", "None", "<NA>")
_FALLBACK = {
    "tissue_general": "tissue",
    "tissue_general_ontology_term_id": "tissue_ontology_term_id",
}


@dataclass(frozen=True)
class CellTypes:
    """What became of a file's cell types; numbers are cells."""

    resolved: dict[str, int]
    unresolved: dict[str, int]
    renamed: dict[str, str]
    n_unknown: int


@dataclass(frozen=True)
class CensusObs:
    """Cells of one file as Census obs.

    Attributes
    ----------
    cells
        One row a cell in the file's order: dataset_id, is_primary_data (bool), observation_joinid, the others
        text without nulls.
    cell_types
        What became of the cell types.
    filled
        Columns that the file did not give: they read "unknown".
    ignored
        Columns of the file's obs that no Census column was taken from.
    """

    cells: pl.DataFrame
    cell_types: CellTypes
    filled: tuple[str, ...]
    ignored: tuple[str, ...]


def parse_map(items: Iterable[str]) -> dict[str, str]:
    """Return the map of "census_column=obs_column" and "census_column==value" (a constant) items.

    Raises
    ------
    SourceError
        When an item has no "=", or when a Census column is mapped twice.
    """
    parsed: dict[str, str] = {}
    for item in items:
        column, equals, origin = item.partition("=")
        column, origin = column.strip(), origin.strip()
        if not (column and equals and origin):
            raise SourceError(
                f"{item!r} maps nothing; write CENSUS_COLUMN=OBS_COLUMN or CENSUS_COLUMN==VALUE"
            )
        if column in parsed:
            raise SourceError(f"{column} is mapped twice, to {parsed[column]!r} and {origin!r}; map it once")
        parsed[column] = origin
    return parsed


def read_cell_types(path: Path) -> dict[str, str]:
    """Return the terms by cell type of a CSV with the columns cell_type and cell_type_ontology_term_id.

    Raises
    ------
    SourceError
        When the file cannot be read or lacks a column.
    """
    columns = ("cell_type", "cell_type_ontology_term_id")
    try:
        table = pl.read_csv(path, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = str(error).split("\n")[0]
        raise SourceError(f"could not read the cell types {path}: {reason}") from error
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise SourceError(f"{path} has no column {missing[0]}; {nearest(missing[0], table.columns)}")
    return dict(table.select(columns).drop_nulls().iter_rows())


def check_map(map: Mapping[str, str]) -> None:
    """Raise SourceError when a mapped column is not one of the Census that a file can fill."""
    for column in map:
        if column not in MAPPABLE:
            hint = nearest(column, MAPPABLE)
            raise SourceError(f"{column!r} is no Census obs column that can be mapped; {hint}")


def check_cell_types(cell_types: Mapping[str, str], ontology: Ontology) -> None:
    """Raise SourceError when a given cell type stands for a term that the ontology does not know."""
    wrong = {label: term for label, term in cell_types.items() if ontology.id_of(term) is None}
    if wrong:
        label, term = next(iter(wrong.items()))
        raise SourceError(
            f"{len(wrong)} of {len(cell_types)} given cell types have terms that the Cell Ontology "
            f"({ontology.release}) does not know, such as {label!r}: {term!r}; give CL ids or labels"
        )


def census_obs(
    source: ObsOfSource,
    map: Mapping[str, str],
    ontology: Ontology,
    *,
    cell_types: Mapping[str, str] | None = None,
) -> CensusObs:
    """Return the obs of a file as Census obs.

    A column that `map` names comes from there; else one of the same name is taken as it is; else it reads
    "unknown". dataset_id is the file's stem unless mapped; tissue_general is tissue; is_primary_data is True;
    observation_joinid is a hash of dataset_id and the cell's obs name, so that it survives re-creation.

    Parameters
    ----------
    map
        By Census column: the name of an obs column, or "=value" for a constant (quotes are dropped).
    ontology
        Resolves cell types, given as label, exact synonym or id; a resolved one gets the label of its id.

    cell_types
        Terms by the file's own cell types; they go before the ontology's labels and synonyms.

    Raises
    ------
    SourceError
        When a mapped obs column is absent (the nearest is named), is_primary_data is not boolean, or
        observation_joinid is not unique within a dataset.
    """
    check_map(map)
    names = tuple(dict.fromkeys((*MAPPABLE, *map)))
    given = {name: _origin(source, name, map) for name in names}
    columns = {
        name: as_texts(values)
        for name, values in given.items()
        if values is not None and name != "is_primary_data"
    }
    columns.setdefault("dataset_id", pl.repeat(source.path.stem, source.n_cells, dtype=pl.String, eager=True))
    for name, stand_in in _FALLBACK.items():
        if "tissue_general" not in map and given["tissue_general"] is None and stand_in in columns:
            columns.setdefault(name, columns[stand_in])
    resolution = _resolve_cell_types(columns, ontology, cell_types or {}, source.n_cells)
    primary = given["is_primary_data"]
    filled = tuple(n for n in MAPPABLE if n not in (*columns, "is_primary_data", "observation_joinid"))
    cells = pl.DataFrame([values.alias(name) for name, values in columns.items()]).with_columns(
        _booleans(source, primary).alias("is_primary_data"), *(pl.lit(UNKNOWN).alias(name) for name in filled)
    )
    cells = _with_joinids(source, cells).select(MAPPABLE)
    taken = {map.get(name, name) for name in MAPPABLE}
    ignored = tuple(name for name in source.obs.columns if name not in taken)
    return CensusObs(cells, resolution, filled, ignored)


def _origin(source: ObsOfSource, name: str, map: Mapping[str, str]) -> pl.Series | None:
    """Return the column that a Census column is taken from, None where there is none."""
    origin = map.get(name)
    if origin is not None and origin.startswith("="):
        value = origin[1:].strip()
        if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        return pl.repeat(value, source.n_cells, dtype=pl.String, eager=True)
    if origin is None:
        # A file's dataset_id names other people's datasets: only a map says that it means these cells.
        return source.obs[name] if name in source.obs.columns and name != "dataset_id" else None
    if origin not in source.obs.columns:
        raise SourceError(
            f"{source.path} has no obs column {origin!r} to take {name} from "
            f"(for a constant write {name}=={origin}); {nearest(origin, source.obs.columns)}"
        )
    return source.obs[origin]


def as_texts(values: pl.Series) -> pl.Series:
    """Return a column as text, what is missing as "unknown"; whole floats as integers, donor 1.0 as "1"."""
    if values.dtype.is_float():
        values = values.fill_nan(None)
        # Above 2**53 a float is no longer one integer.
        if ((values.drop_nulls() % 1 == 0) & (values.drop_nulls().abs() <= 2**53)).all():
            values = values.cast(pl.Int64)
    texts = values.cast(pl.String)
    return texts.set(texts.is_in(_MISSING), None).fill_null(UNKNOWN)


def _booleans(source: ObsOfSource, values: pl.Series | None) -> pl.Series:
    if values is None:
        return pl.repeat(value=True, n=source.n_cells, eager=True)
    texts = as_texts(values).str.to_lowercase()
    known = {"true": True, "1": True, "false": False, "0": False}
    if not texts.is_in(list(known)).all():
        wrong = texts.filter(~texts.is_in(list(known)))
        raise SourceError(
            f"{source.path}: is_primary_data is neither true nor false in {len(wrong):,} cells, such as "
            f"{wrong[0]!r}; map another column or a constant (--map is_primary_data==true)"
        )
    return texts.is_in([text for text, value in known.items() if value])


def _resolve_cell_types(
    columns: dict[str, pl.Series], ontology: Ontology, cell_types: Mapping[str, str], n_cells: int
) -> CellTypes:
    """Put resolved labels and ids into `columns`; a type that does not resolve stays, with id "unknown"."""
    unknown = pl.repeat(UNKNOWN, n_cells, dtype=pl.String, eager=True)
    pairs = pl.DataFrame(
        {
            "label": columns.get("cell_type", unknown),
            "id": columns.get("cell_type_ontology_term_id", unknown),
        }
    )
    resolved: Counter[str] = Counter()
    unresolved: Counter[str] = Counter()
    renamed, found = {}, []
    for label, term_id, n in pairs.group_by("label", "id", maintain_order=True).len().iter_rows():
        new_label, new_id = _resolved(label, term_id, ontology, cell_types)
        found.append((label, term_id, new_label, new_id))
        if new_id != UNKNOWN:
            resolved[new_label] += n
            if new_label != label:
                renamed[label if label != UNKNOWN else term_id] = new_label
        elif label != UNKNOWN:
            unresolved[label] += n
    table = pl.DataFrame(found, schema=["label", "id", "new_label", "new_id"], orient="row")
    joined = pairs.join(table, on=["label", "id"], how="left", maintain_order="left")
    columns["cell_type"], columns["cell_type_ontology_term_id"] = joined["new_label"], joined["new_id"]
    n_unknown = n_cells - resolved.total() - unresolved.total()
    return CellTypes(dict(resolved.most_common()), dict(unresolved.most_common()), renamed, n_unknown)


def _resolved(label: str, term_id: str, ontology: Ontology, cell_types: Mapping[str, str]) -> tuple[str, str]:
    """Return label and id of the first that is a term: given id, given table, name, singular of the name."""
    for text in (term_id, cell_types.get(label, UNKNOWN), label.strip(), label.strip().removesuffix("s")):
        found = None if text == UNKNOWN else ontology.id_of(text) or ontology.replacement(text)
        if found is not None:
            return ontology.label(found), found
    return label, UNKNOWN


def _with_joinids(source: ObsOfSource, cells: pl.DataFrame) -> pl.DataFrame:
    if "observation_joinid" not in cells.columns:
        return pl.concat(
            part.with_columns(
                pl.Series(
                    "observation_joinid", observation_joinids(str(dataset_id), part["name"]), dtype=pl.String
                )
            )
            for (dataset_id,), part in cells.with_columns(source.obs_names.alias("name"))
            .with_row_index("row")
            .partition_by("dataset_id", as_dict=True, maintain_order=True)
            .items()
        ).sort("row")
    n_extra = cells.height - cells.select("dataset_id", "observation_joinid").n_unique()
    if n_extra:
        raise SourceError(
            f"{source.path}: {n_extra:,} of {cells.height:,} cells share their observation_joinid with "
            "another of the same dataset; drop the column, and it is made from the obs names"
        )
    return cells
