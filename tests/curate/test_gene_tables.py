from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest

from curate.errors import SourceError
from curate.gene_tables import gene_table, par_y_genes, read_gene_table, shipped_organisms

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("organism", "n_genes"), [("homo_sapiens", 78_894), ("mus_musculus", 78_317)])
def test_a_shipped_table_has_every_gene_once_with_its_length_and_type(organism: str, n_genes: int) -> None:
    table = gene_table(organism)
    assert table.schema == {
        "feature_id": pl.String,
        "feature_name": pl.String,
        "feature_length": pl.Int64,
        "feature_type": pl.String,
        "is_par_y": pl.Boolean,
    }
    assert table.height == table["feature_id"].n_unique() == n_genes
    assert sum(table.null_count().row(0)) == 0
    assert (table["feature_length"] > 0).all()


def test_a_known_gene_stands_in_the_human_table() -> None:
    row = gene_table().filter(pl.col("feature_id") == "ENSG00000141510").row(0, named=True)
    assert row["feature_name"] == "TP53"
    assert row["feature_type"] == "protein_coding"


def test_a_pseudoautosomal_copy_on_y_is_marked_and_its_gene_on_x_is_not() -> None:
    is_copy = dict(
        gene_table().filter(pl.col("feature_name") == "CD99")["feature_id", "is_par_y"].iter_rows()
    )
    assert is_copy.pop("ENSG00000002586") is False
    assert list(is_copy.values()) == [True]
    assert par_y_genes() > set(is_copy)
    assert not gene_table("mus_musculus")["is_par_y"].any()


def test_an_organism_without_a_table_is_refused_with_those_that_have_one() -> None:
    assert shipped_organisms() == ("homo_sapiens", "mus_musculus")
    with pytest.raises(SourceError, match=r"'danio_rerio' \(there are: homo_sapiens, mus_musculus\)"):
        gene_table("danio_rerio")


@pytest.mark.parametrize("name", ["genes.csv", "genes.csv.gz", "genes.tsv", "genes.parquet"])
def test_a_table_of_any_format_reads_the_same(tmp_path: Path, name: str) -> None:
    table = pl.DataFrame({"feature_id": ["b", "a"], "feature_name": ["B", None], "feature_length": [7, None]})
    path = tmp_path / name
    if name.endswith("parquet"):
        table.write_parquet(path)
    elif name.endswith("gz"):
        import gzip

        path.write_bytes(gzip.compress(table.write_csv().encode()))
    else:
        table.write_csv(path, separator="\t" if name.endswith("tsv") else ",")
    read = read_gene_table(path)
    assert read.rows() == [("b", "B", 7, None), ("a", "a", 1, None)]


def test_a_text_file_is_one_id_a_line(tmp_path: Path) -> None:
    path = tmp_path / "genes.txt"
    path.write_text("b\n\n a \n")
    assert read_gene_table(path)["feature_id"].to_list() == ["b", "a"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("genes.csv", "gene,name\na,A\n", "no column feature_id.*gene, name"),
        ("genes.csv", "feature_id\n", "lists no genes"),
        ("genes.csv", "feature_id\na\nb\na\n", "1 genes more than once, such as a"),
        ("genes.csv", "feature_id,feature_length\na,long\n", "not a whole number"),
        ("genes.csv", "", "could not read"),
        ("genes.xlsx", "", "not a gene table that curate reads"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(SourceError, match=message):
        read_gene_table(path)


def test_a_table_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"could not read the gene table .*absent\.csv"):
        read_gene_table(tmp_path / "absent.csv")
