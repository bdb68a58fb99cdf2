"""The Census layout: what its objects are called, which columns they hold since when, how they are stored.

Source: Census schema 2.4.0 and the storage settings of the public releases (chanzuckerberg/cellxgene-census).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Sequence

SCHEMA_VERSION = "2.4.0"
INFO, DATA, RNA, OBSM = "census_info", "census_data", "RNA", "obsm"
SUMMARY, DATASETS, CELL_COUNTS, ORGANISMS = "summary", "datasets", "summary_cell_counts", "organisms"
PRESENCE = "feature_dataset_presence_matrix"
UNKNOWN = "unknown"
#: label in the summary of a store that curate made: sha256 of its genes and counts
CONTENT_DIGEST = "curate_content_sha256"

#: organism -> (label, ontology term)
KNOWN_ORGANISMS = {
    "homo_sapiens": ("Homo sapiens", "NCBITaxon:9606"),
    "mus_musculus": ("Mus musculus", "NCBITaxon:10090"),
    "macaca_mulatta": ("Macaca mulatta", "NCBITaxon:9544"),
    "callithrix_jacchus": ("Callithrix jacchus", "NCBITaxon:9483"),
    "pan_troglodytes": ("Pan troglodytes", "NCBITaxon:9598"),
}

#: assays that count fragments of whole transcripts, which the normalised layer divides by the gene's length
FULL_LENGTH_ASSAYS = frozenset(
    {
        "EFO:0003755",
        "EFO:0008747",
        "EFO:0008763",
        "EFO:0008797",
        "EFO:0008877",
        "EFO:0008930",
        "EFO:0008931",
        "EFO:0008956",
        "EFO:0009999",
        "EFO:0010004",
        "EFO:0010006",
        "EFO:0010022",
        "EFO:0010058",
        "EFO:0010184",
        "EFO:0022396",
        "EFO:0022488",
        "EFO:0022839",
        "EFO:0030031",
        "EFO:0030060",
        "EFO:0030061",
        "EFO:0700016",
    }
)


@dataclass(frozen=True)
class ObsColumn:
    """A column of obs: its Arrow type, whether it is an enumeration, and the schema that brought it."""

    name: str
    type: pa.DataType
    is_enumeration: bool = False
    since: tuple[int, int] = (1, 0)

    @property
    def read_type(self) -> pa.DataType:
        """The type in which a reader returns it: enumerations as dictionary<int32, string>."""
        return pa.dictionary(pa.int32(), pa.string()) if self.is_enumeration else self.type


def _with_term(name: str) -> list[ObsColumn]:
    return [ObsColumn(each, pa.string(), True) for each in (name, f"{name}_ontology_term_id")]


#: since when X has "normalized" and var has nnz and n_measured_obs; since when text is stored as enumerations
STATISTICS_SINCE, ENUMERATIONS_SINCE = (1, 1), (1, 2)
STATISTICS = ("raw_sum", "nnz", "raw_mean_nnz", "raw_variance_nnz", "n_measured_vars")
OBS_COLUMNS: tuple[ObsColumn, ...] = (
    ObsColumn("soma_joinid", pa.int64()),
    ObsColumn("dataset_id", pa.string(), True),
    *_with_term("assay"),
    *_with_term("cell_type"),
    *_with_term("development_stage"),
    *_with_term("disease"),
    ObsColumn("donor_id", pa.string(), True),
    ObsColumn("is_primary_data", pa.bool_()),
    ObsColumn("observation_joinid", pa.string(), since=(1, 3)),
    *_with_term("self_reported_ethnicity"),
    *_with_term("sex"),
    ObsColumn("suspension_type", pa.string(), True),
    *_with_term("tissue"),
    ObsColumn("tissue_type", pa.string(), True, since=(1, 3)),
    *_with_term("tissue_general"),
    ObsColumn("raw_sum", pa.float64(), since=STATISTICS_SINCE),
    ObsColumn("nnz", pa.int64(), since=STATISTICS_SINCE),
    ObsColumn("raw_mean_nnz", pa.float64(), since=STATISTICS_SINCE),
    ObsColumn("raw_variance_nnz", pa.float64(), since=STATISTICS_SINCE),
    ObsColumn("n_measured_vars", pa.int64(), since=STATISTICS_SINCE),
)
STANDARD = {column.name: column for column in OBS_COLUMNS}
VAR_COLUMNS: dict[str, type[pl.DataType]] = {
    "soma_joinid": pl.Int64,
    "feature_id": pl.String,
    "feature_name": pl.String,
    "feature_type": pl.String,
    "feature_length": pl.Int64,
    "nnz": pl.Int64,
    "n_measured_obs": pl.Int64,
}
CELL_COUNTS_SCHEMA: dict[str, type[pl.DataType]] = {
    "soma_joinid": pl.Int64,
    "organism": pl.String,
    "category": pl.String,
    "label": pl.String,
    "ontology_term_id": pl.String,
    "total_cell_count": pl.Int64,
    "unique_cell_count": pl.Int64,
}
#: what every Census has beside its organisms, and every organism
REQUIRED = ((INFO, SUMMARY), (INFO, DATASETS), (DATA,))
REQUIRED_OF_ORGANISM = (("obs",), ("ms", RNA, "var"), ("ms", RNA, "X", "raw"))
#: what summary_cell_counts counts by; suspension_type has no ontology term
COUNTED = (
    "cell_type",
    "assay",
    "tissue",
    "disease",
    "self_reported_ethnicity",
    "sex",
    "tissue_general",
    "suspension_type",
)


def version(schema_version: str) -> tuple[int, int]:
    """Return the version of a Census schema, such as "1.0.0", to compare with `since`."""
    major, minor = (int(part) for part in schema_version.split(".")[:2])
    return major, minor


def obs_columns(schema_version: str) -> tuple[ObsColumn, ...]:
    """Return the obs columns of a Census schema, such as "1.0.0"."""
    return tuple(column for column in OBS_COLUMNS if column.since <= version(schema_version))


def obs_config(columns: Sequence[ObsColumn]) -> dict[str, Any]:
    """Return how obs is stored: 65,536 cells a tile, delta-coded joinids, zstd everywhere."""
    numbers = {c.name: ["ByteShuffleFilter", _zstd(9)] for c in columns if c.name in STATISTICS}
    enumerations = {c.name: [_zstd(9)] for c in columns if c.is_enumeration}
    others = {
        c.name: [_zstd(19)]
        for c in columns
        if c.name not in numbers | enumerations and c.name != "soma_joinid"
    }
    return _table_config(numbers | enumerations | others)


def var_config() -> dict[str, Any]:
    """Return how var is stored."""
    numbers = ("feature_length", "nnz", "n_measured_obs")
    texts = ("feature_id", "feature_name", "feature_type")
    filters = {name: [_zstd(19)] for name in texts}
    return _table_config(filters | {name: ["ByteShuffleFilter", _zstd(9)] for name in numbers})


def layer_config(layer: str) -> dict[str, Any]:
    """Return how a layer of X is stored: space tiles of 2048 cells x 2048 genes, zstd."""
    data = [_zstd(13)] if layer == "normalized" else ["ByteShuffleFilter", _zstd(9)]
    return _create_config(
        dims={
            "soma_dim_0": {"tile": 2048, "filters": [_zstd(9)]},
            "soma_dim_1": {"tile": 2048, "filters": ["ByteShuffleFilter", _zstd(9)]},
        },
        attrs={"soma_data": {"filters": data}},
        cell_order="row-major",
        tile_order="row-major",
    )


def _table_config(filters: dict[str, list[Any]]) -> dict[str, Any]:
    return _create_config(
        dims={"soma_joinid": {"filters": ["DoubleDeltaFilter", _zstd(19)]}},
        attrs={name: {"filters": each} for name, each in filters.items()},
        offsets_filters=["DoubleDeltaFilter", _zstd(19)],
    )


def _create_config(**settings: Any) -> dict[str, Any]:
    # Duplicates are never written; allowing them spares the reader the search for them.
    return {"tiledb": {"create": {"capacity": 2**16, "allows_duplicates": True, **settings}}}


def _zstd(level: int) -> dict[str, Any]:
    return {"_type": "ZstdFilter", "level": level}
