from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from curate.errors import SourceError
from curate.h5ad.obs import MAPPABLE, CensusObs, census_obs, check_cell_types, parse_map, read_cell_types
from curate.h5ad.source import H5adSource
from curate.ontology import Ontology

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ONTOLOGY = Ontology.load()


@pytest.fixture
def obs_of(write_h5ad: Callable[..., Path]) -> Callable[..., CensusObs]:
    """Return the Census obs of a file of three cells with these obs columns."""

    def of(
        columns: dict[str, Any],
        map: dict[str, str] | None = None,
        *,
        cell_types: dict[str, str] | None = None,
        name: str = "sample",
        obs_names: list[str] | None = None,
    ) -> CensusObs:
        path = write_h5ad(name, x=np.ones((3, 5), dtype=np.float32), obs=columns, obs_names=obs_names)
        with H5adSource.open(path) as source:
            return census_obs(source, map or {}, ONTOLOGY, cell_types=cell_types)

    return of


def test_a_file_without_columns_reads_unknown_and_primary(obs_of: Callable[..., CensusObs]) -> None:
    obs = obs_of({})
    assert obs.cells.columns == list(MAPPABLE)
    assert sum(obs.cells.null_count().row(0)) == 0
    assert obs.cells["dataset_id"].to_list() == ["sample"] * 3
    assert obs.cells["is_primary_data"].to_list() == [True] * 3
    assert (
        set(obs.cells["tissue"]) == set(obs.cells["donor_id"]) == set(obs.cells["cell_type"]) == {"unknown"}
    )
    assert "tissue" in obs.filled
    assert obs.cell_types.n_unknown == 3


def test_columns_with_census_names_are_taken_and_others_are_named(obs_of: Callable[..., CensusObs]) -> None:
    obs = obs_of(
        {"assay": ["10x 3' v3"] * 3, "batch": [1, 2, 3], "dataset_id": ["elsewhere"] * 3, "nnz": [9, 9, 9]}
    )
    assert obs.cells["assay"].to_list() == ["10x 3' v3"] * 3
    assert obs.cells["dataset_id"].to_list() == ["sample"] * 3
    assert "assay" not in obs.filled
    assert obs.ignored == ("batch", "nnz")


def test_columns_are_mapped_and_constants_set(obs_of: Callable[..., CensusObs]) -> None:
    obs = obs_of(
        {"patient": ["p1", "p2", "p1"], "donor_id": ["wrong"] * 3},
        {"donor_id": "patient", "tissue": "=lung", "sex": "='fe male'", "assay": '="x"'},
    )
    assert obs.cells["donor_id"].to_list() == ["p1", "p2", "p1"]
    assert obs.cells["tissue"].to_list() == ["lung"] * 3
    assert obs.cells["sex"].to_list() == ["fe male"] * 3
    assert obs.cells["assay"].to_list() == ["x"] * 3


def test_tissue_general_is_tissue_unless_it_is_given(obs_of: Callable[..., CensusObs]) -> None:
    tissue = {"tissue": ["lung"] * 3, "tissue_ontology_term_id": ["UBERON:0002048"] * 3}
    obs = obs_of(tissue)
    assert obs.cells["tissue_general"].to_list() == ["lung"] * 3
    assert obs.cells["tissue_general_ontology_term_id"].to_list() == ["UBERON:0002048"] * 3
    given = obs_of(tissue, {"tissue_general": "=respiratory system"}).cells
    assert given["tissue_general"].to_list() == ["respiratory system"] * 3
    assert given["tissue_general_ontology_term_id"].to_list() == ["unknown"] * 3


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        (pd.Categorical(["a", None, "b"]), ["a", "unknown", "b"]),
        ([1, 2, 3], ["1", "2", "3"]),
        ([1.0, np.nan, 3.0], ["1", "unknown", "3"]),
        ([1.5, np.nan, 3.0], ["1.5", "unknown", "3.0"]),
        ([1e300, np.inf, 3.0], ["1e+300", "inf", "3.0"]),
        (np.array(["nan", "", "None"], dtype=object), ["unknown"] * 3),
        ([True, False, True], ["true", "false", "true"]),
        (pd.Categorical([7, 8, 7]), ["7", "8", "7"]),
    ],
)
def test_donors_become_text_and_missing_ones_unknown(
    obs_of: Callable[..., CensusObs], values: object, texts: list[str]
) -> None:
    assert obs_of({"donor_id": values}).cells["donor_id"].to_list() == texts


@pytest.mark.parametrize(
    "values",
    [[True, False, True], ["True", "False", "True"], [1, 0, 1], pd.Categorical(["true", "false", "true"])],
)
def test_is_primary_data_is_read_in_any_spelling(obs_of: Callable[..., CensusObs], values: object) -> None:
    assert obs_of({"is_primary_data": values}).cells["is_primary_data"].to_list() == [True, False, True]


def test_is_primary_data_that_is_neither_is_refused(obs_of: Callable[..., CensusObs]) -> None:
    with pytest.raises(SourceError, match="neither true nor false in 1 cells, such as 'maybe'"):
        obs_of({"is_primary_data": ["True", "maybe", "False"]})
    obs = obs_of({"is_primary_data": ["True", "maybe", "False"]}, {"is_primary_data": "=False"})
    assert obs.cells["is_primary_data"].to_list() == [False] * 3


def test_an_absent_obs_column_is_refused_with_the_nearest(obs_of: Callable[..., CensusObs]) -> None:
    with pytest.raises(
        SourceError,
        match=r"no obs column 'celltype' to take cell_type from \(.*cell_type==celltype\); "
        r"did you mean 'cell_types'",
    ):
        obs_of({"cell_types": ["a", "b", "c"]}, {"cell_type": "celltype"})


@pytest.mark.parametrize("column", ["soma_joinid", "raw_sum", "celltype"])
def test_a_census_column_that_is_computed_or_unknown_cannot_be_mapped(
    obs_of: Callable[..., CensusObs], column: str
) -> None:
    with pytest.raises(SourceError, match=f"'{column}' is no Census obs column that can be mapped"):
        obs_of({}, {column: "=1"})


@pytest.mark.parametrize(
    ("label", "term_id", "expected"),
    [
        ("B cell", None, ("B cell", "CL:0000236")),
        ("b CELL", None, ("B cell", "CL:0000236")),
        ("B lymphocyte", None, ("B cell", "CL:0000236")),
        ("B cells", None, ("B cell", "CL:0000236")),
        ("CL:0000236", None, ("B cell", "CL:0000236")),
        (None, "CL:0000236", ("B cell", "CL:0000236")),
        ("my B", "CL:0000236", ("B cell", "CL:0000236")),
        ("B cell", "CL:9999999", ("B cell", "CL:0000236")),
        ("H1975", None, ("H1975", "unknown")),
        ("H1975", "nothing", ("H1975", "unknown")),
    ],
)
def test_a_cell_type_is_resolved_by_id_label_synonym_or_singular(
    obs_of: Callable[..., CensusObs], label: str | None, term_id: str | None, expected: tuple[str, str]
) -> None:
    given = {"cell_type": label, "cell_type_ontology_term_id": term_id}
    obs = obs_of({name: [value] * 3 for name, value in given.items() if value is not None})
    resolved = obs.cells.select("cell_type", "cell_type_ontology_term_id").unique().rows()
    assert resolved == [expected]


def test_cell_types_are_counted_by_what_became_of_them(obs_of: Callable[..., CensusObs]) -> None:
    types = obs_of({"cell_type": pd.Categorical(["B cells", "H1975", None])}).cell_types
    assert types.resolved == {"B cell": 1}
    assert types.renamed == {"B cells": "B cell"}
    assert types.unresolved == {"H1975": 1}
    assert types.n_unknown == 1


def test_a_table_of_cell_types_goes_before_the_names(
    obs_of: Callable[..., CensusObs], tmp_path: Path
) -> None:
    path = tmp_path / "types.csv"
    path.write_text("cell_type,cell_type_ontology_term_id\nMono,CL:0000860\nB cell,plasma cell\n")
    given = read_cell_types(path)
    check_cell_types(given, ONTOLOGY)
    obs = obs_of({"cell_type": ["Mono", "B cell", "T cell"]}, cell_types=given)
    assert obs.cells["cell_type"].to_list() == ["classical monocyte", "plasma cell", "T cell"]
    assert obs.cells["cell_type_ontology_term_id"].to_list() == ["CL:0000860", "CL:0000786", "CL:0000084"]


def test_a_table_of_cell_types_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"1 of 2 given cell types .* such as 'Mono': 'CL:1'"):
        check_cell_types({"B": "B cell", "Mono": "CL:1"}, ONTOLOGY)
    path = tmp_path / "types.csv"
    path.write_text("cell_type,term\nMono,CL:0000860\n")
    with pytest.raises(SourceError, match="has no column cell_type_ontology_term_id"):
        read_cell_types(path)
    with pytest.raises(SourceError, match="could not read the cell types"):
        read_cell_types(tmp_path / "absent.csv")


def test_an_observation_joinid_depends_on_dataset_and_name_alone(obs_of: Callable[..., CensusObs]) -> None:
    joinids = obs_of({}, obs_names=["a", "b", "c"]).cells["observation_joinid"].to_list()
    assert len(set(joinids)) == 3
    again = obs_of({"tissue": ["x"] * 3}, obs_names=["c", "a", "z"]).cells["observation_joinid"].to_list()
    assert again[:2] == [joinids[2], joinids[0]]
    assert obs_of({}, name="other", obs_names=["a", "b", "c"]).cells["observation_joinid"][0] not in joinids


def test_a_given_observation_joinid_is_kept_when_it_is_unique(obs_of: Callable[..., CensusObs]) -> None:
    assert obs_of({"observation_joinid": ["x", "y", "z"]}).cells["observation_joinid"].to_list() == [
        "x",
        "y",
        "z",
    ]
    with pytest.raises(SourceError, match="1 of 3 cells share their observation_joinid"):
        obs_of({"observation_joinid": ["x", "y", "x"]})


def test_cells_of_two_datasets_keep_the_order_of_the_file(obs_of: Callable[..., CensusObs]) -> None:
    obs = obs_of({"study": ["s1", "s2", "s1"], "donor_id": ["a", "b", "c"]}, {"dataset_id": "study"})
    assert obs.cells["dataset_id"].to_list() == ["s1", "s2", "s1"]
    assert obs.cells["donor_id"].to_list() == ["a", "b", "c"]


def test_a_map_is_parsed() -> None:
    assert parse_map(["cell_type=celltype", "tissue==lung", "sex = 'male'"]) == {
        "cell_type": "celltype",
        "tissue": "=lung",
        "sex": "'male'",
    }


@pytest.mark.parametrize("item", ["cell_type", "=x", "cell_type="])
def test_a_map_without_both_sides_is_refused(item: str) -> None:
    with pytest.raises(
        SourceError, match="maps nothing; write CENSUS_COLUMN=OBS_COLUMN or CENSUS_COLUMN==VALUE"
    ):
        parse_map([item])


def test_a_column_mapped_twice_is_refused() -> None:
    with pytest.raises(SourceError, match="tissue is mapped twice, to 'a' and '=b'"):
        parse_map(["tissue=a", "tissue==b"])
