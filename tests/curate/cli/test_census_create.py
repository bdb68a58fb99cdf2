from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from curate.cli import curate
from curate.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(curate, ["census", "create", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_store_is_made_and_what_was_taken_is_said(write_h5ad: Callable[..., Path], tmp_path: Path) -> None:
    names = ["TP53", "ENSG00000141510", "GAPDH", "odd-1", "odd-2"]
    path = write_h5ad(var_names=names, obs={"celltype": ["B cells"] * 29 + ["H1975"], "batch": [1] * 30})
    output = run(tmp_path / "store", path, "--map", "cell_type=celltype", "--map", "tissue==lung")
    assert (tmp_path / "store").is_dir()
    assert "unmapped genes: 2, with 41.63% of the counts: odd-1, odd-2" in output
    assert "genes summed: TP53 + ENSG00000141510 = ENSG00000141510" in output
    assert "cell types renamed: B cells → B cell" in output
    assert "without a Cell Ontology term (see --cell-types): H1975 (1)" in output
    assert "obs columns not taken (see --map): batch" in output
    assert "30 cells and 2 genes" in output
    assert f"curate census info --uri {tmp_path / 'store'}" in output


def test_one_of_something_is_said_in_the_singular(write_h5ad: Callable[..., Path], tmp_path: Path) -> None:
    table = tmp_path / "genes.csv"
    table.write_text(
        "feature_id,feature_name\nENSG00000141510,TP53\nENSG00000111640,TWICE\nENSG00000090382,TWICE\n"
    )
    output = run(tmp_path / "store", write_h5ad(var_names=["TP53", "TWICE"]), "--genes-table", table)
    assert "unmapped genes: 1 (1 is a symbol of several genes)" in output
    assert "30 cells and 1 gene; next:" in output
    info = CliRunner().invoke(curate, ["census", "info", "--uri", str(tmp_path / "store")]).output
    assert "1 dataset" in info.splitlines()


def test_help_tells_what_the_heads_of_the_table_mean() -> None:
    words = " ".join(CliRunner().invoke(curate, ["census", "create", "--help"]).output.split())
    for head in ("symbol, those", "summed, those", "CL cells, the cells"):
        assert head in words


def test_ten_unmapped_genes_are_listed_and_all_of_them_in_json(
    write_h5ad: Callable[..., Path], tmp_path: Path
) -> None:
    odd = [f"odd-{k}" for k in range(12)]
    path = write_h5ad(var_names=["TP53", *odd])
    assert "odd-9, and 2 more (--json lists all)" in run(tmp_path / "a", path)
    document = json.loads(run(tmp_path / "b", path, "--json", "--build-date", "2026-01-31"))
    assert document["files"][0]["genes"]["unmapped"] == odd
    assert document["build_date"] == "2026-01-31"


def test_a_table_of_cell_types_and_one_of_genes_are_read(
    write_h5ad: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "types.csv").write_text("cell_type,cell_type_ontology_term_id\nMono,CL:0000860\n")
    (tmp_path / "genes.csv").write_text("feature_id,feature_name\nmine,TP53\n")
    path = write_h5ad(obs={"cell_type": ["Mono"] * 30})
    types, genes = tmp_path / "types.csv", tmp_path / "genes.csv"
    output = run(tmp_path / "store", path, "--cell-types", types, "--genes-table", genes, "--json")
    document = json.loads(output)
    assert document["files"][0]["cell_types"]["resolved"] == {"classical monocyte": 30}
    assert (document["n_genes"], document["files"][0]["genes"]["n_mapped"]) == (1, 1)


def test_no_files_is_wrong_usage(tmp_path: Path) -> None:
    result = CliRunner().invoke(curate, ["census", "create", str(tmp_path / "store")])
    assert result.exit_code == 2
    assert "Missing argument" in result.output


def test_a_map_without_both_sides_is_wrong_usage(tmp_path: Path) -> None:
    arguments = ["census", "create", str(tmp_path / "store"), "a.h5ad", "--map", "cell_type"]
    result = CliRunner().invoke(curate, arguments)
    assert result.exit_code == 2
    assert "Invalid value for --map: 'cell_type' maps nothing" in result.output


def test_a_file_that_cannot_be_used_is_an_error_of_one_line(
    write_h5ad: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match="no obs column 'celltype'") as caught:
        run(tmp_path / "store", write_h5ad(), "--map", "cell_type=celltype")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "store").exists()
