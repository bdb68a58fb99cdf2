"""census_info of a store in the making: summary, datasets, summary_cell_counts, organisms."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from curate.census import layout
from curate.census.tables import write_table

if TYPE_CHECKING:
    import tiledbsoma as soma


@dataclass(frozen=True)
class Dataset:
    """What a dataset is, as census_info/datasets keeps it."""

    dataset_id: str
    title: str
    collection_name: str = ""
    citation: str = ""
    collection_id: str = ""
    collection_doi: str = ""
    collection_doi_label: str = ""
    dataset_version_id: str = ""
    h5ad_path: str = ""


class InfoWriter:
    """Count cells while datasets are added; write the four tables at the end."""

    def __init__(self, organism: str, *, build_date: str, label: str, schema_version: str) -> None:
        self._organism = organism
        self._heading = {
            "census_schema_version": schema_version,
            "census_build_date": build_date,
            "label": label,
        }
        self._datasets: dict[str, dict[str, object]] = {}
        self._counts: dict[tuple[str, str, str], list[int]] = {}
        self._n_donors = 0

    @property
    def n_datasets(self) -> int:
        """The number of datasets added."""
        return len(self._datasets)

    def check(self, dataset: Dataset) -> None:
        """Raise ValueError when the dataset was added before."""
        if dataset.dataset_id in self._datasets:
            raise ValueError(f"the dataset {dataset.dataset_id!r} was added before")

    def add(self, dataset: Dataset, obs: pl.DataFrame) -> None:
        """Count the cells of a dataset."""
        self._datasets[dataset.dataset_id] = asdict(dataset) | {"dataset_total_cell_count": obs.height}
        self._n_donors += obs["donor_id"].n_unique()
        self._count("all", "na", "na", obs.height, int(obs["is_primary_data"].sum()))
        for category in layout.COUNTED:
            term = f"{category}_ontology_term_id"
            by = [pl.col(category), (pl.col(term) if term in obs.columns else pl.lit("na")).alias("term")]
            sizes = pl.len().alias("total"), pl.col("is_primary_data").sum().alias("unique")
            for label, term_id, total, unique in obs.group_by(by).agg(sizes).iter_rows():
                self._count(category, term_id, label, total, unique)

    def finish(self, info: soma.Collection[Any], *, content_digest: str) -> None:
        """Write the tables."""
        total, unique = self._counts["all", "na", "na"]
        summary = self._heading | {
            "total_cell_count": str(total),
            "unique_cell_count": str(unique),
            f"number_donors_{self._organism}": str(self._n_donors),
            layout.CONTENT_DIGEST: content_digest,
        }
        write_table(
            info, layout.SUMMARY, pl.DataFrame({"label": list(summary), "value": list(summary.values())})
        )
        names = {"title": "dataset_title", "h5ad_path": "dataset_h5ad_path"}
        write_table(info, layout.DATASETS, pl.DataFrame(list(self._datasets.values())).rename(names))
        counts = pl.DataFrame(
            [
                {
                    "organism": self._organism,
                    "category": category,
                    "label": label,
                    "ontology_term_id": term_id,
                    "total_cell_count": total,
                    "unique_cell_count": unique,
                }
                for (category, term_id, label), (total, unique) in sorted(self._counts.items())
            ]
        )
        write_table(info, layout.CELL_COUNTS, counts, enumerations=("organism", "category"))
        name, term_id = layout.KNOWN_ORGANISMS.get(self._organism, (self._organism, layout.UNKNOWN))
        organisms = {"organism_ontology_term_id": term_id, "organism_label": name, "organism": self._organism}
        write_table(info, layout.ORGANISMS, pl.DataFrame([organisms]))

    def _count(self, category: str, term_id: str, label: str, total: int, unique: int) -> None:
        counts = self._counts.setdefault((category, term_id, label), [0, 0])
        counts[0] += total
        counts[1] += unique
