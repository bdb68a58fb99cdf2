"""A small store whose cells are counted by hand, and recipes for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp

from curate.census import CensusWriter, Dataset
from curate.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OBO = """data-version: cl/releases/2020-02-03/cl.owl
ontology: cl

[Term]
id: CL:0000000
name: cell

[Term]
id: CL:0000003
name: native cell
is_a: CL:0000000

[Term]
id: CL:0000010
name: cultured cell
is_a: CL:0000000

[Term]
id: CL:0000542
name: lymphocyte
is_a: CL:0000003

[Term]
id: CL:0000236
name: B cell
is_a: CL:0000542

[Term]
id: CL:0000084
name: T cell
is_a: CL:0000542

[Term]
id: CL:0000738
name: leukocyte
is_a: CL:0000003

[Term]
id: CL:0000576
name: monocyte
is_a: CL:0000738
"""
#: n cells, type, term, assay, primary, dataset, donor
GROUPS = [
    (2, "B cell", "CL:0000236", "10x 3' v3", True, "a", "1"),
    (2, "B cell", "CL:0000236", "10x 3' v2", True, "a", "2"),
    (2, "B cell", "CL:0000236", "10x 3' v3", True, "b", "1"),
    (3, "B cell", "CL:0000236", "Smart-seq2", True, "b", "1"),
    (4, "B cell", "CL:0000236", "10x 3' v3", False, "b", "1"),
    (4, "B cell", "CL:0000236", "Smart-seq2", False, "a", "1"),
    (5, "T cell", "CL:0000084", "10x 3' v3", True, "a", "1"),
    (3, "T cell", "CL:0000084", "10x 3' v3", True, "b", "1"),
    (1, "monocyte", "CL:0000576", "10x 3' v3", True, "a", "1"),
    (1, "monocyte", "CL:0000576", "10x 3' v3", True, "a", "2"),
    (2, "monocyte", "CL:0000576", "10x 3' v3", True, "b", "1"),
    (2, "monocyte", "CL:0000576", "10x 3' v3", False, "b", "2"),
    (5, "cultured cell", "CL:0000010", "10x 3' v3", True, "a", "1"),
    (3, "unknown", "unknown", "10x 3' v3", True, "b", "2"),
    (3, "lymphocyte", "CL:0000542", "10x 3' v3", True, "a", "1"),
    (3, "lymphocyte", "CL:0000542", "10x 3' v3", True, "a", "2"),
    (1, "lymphocyte", "CL:0000542", "10x 3' v3", True, "b", "1"),
]
N_GENES = 4


@pytest.fixture(scope="session")
def write_store() -> Callable[..., Path]:
    """Write the store of GROUPS to a folder."""
    return _write_store


def _write_store(
    path: Path, *, schema_version: str = "2.4.0", build_date: str = "2026-01-31", count: int = 1
) -> Path:
    genes = pl.DataFrame(
        {
            "feature_id": [f"ENSG{j:011d}" for j in range(N_GENES)],
            "feature_name": [f"GENE{j}" for j in range(N_GENES)],
            "feature_type": ["protein_coding", "lncRNA", "protein_coding", "protein_coding"],
            "feature_length": [1000] * N_GENES,
        }
    )
    columns = [
        "cell_type",
        "cell_type_ontology_term_id",
        "assay",
        "is_primary_data",
        "dataset_id",
        "donor_id",
    ]
    rows = [row for n, *row in GROUPS for _ in range(n)]
    obs = pl.DataFrame(rows, schema=columns, orient="row").sample(fraction=1.0, shuffle=True, seed=5)
    with CensusWriter(
        path, genes=genes, build_date=build_date, label="by hand", schema_version=schema_version
    ) as writer:
        for dataset in ("a", "b"):
            cells = obs.filter(pl.col("dataset_id") == dataset).drop("dataset_id")
            counts = sp.csr_array(np.full((cells.height, N_GENES), count, np.float32))
            writer.add_dataset(
                Dataset(dataset, "by hand"), cells, [counts], measured=np.ones(N_GENES, np.bool_)
            )
    return path


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of GROUPS."""
    return _write_store(tmp_path_factory.mktemp("store") / "store")


@pytest.fixture
def recipe(tmp_path: Path) -> Callable[[str], Recipe]:
    """Read a recipe from its text; small.obo lies beside it."""
    (tmp_path / "small.obo").write_text(OBO)

    def load(text: str) -> Recipe:
        path = tmp_path / "recipe.toml"
        path.write_text(text)
        return Recipe.load(path)

    return load
