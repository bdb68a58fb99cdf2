"""The tables of a report as files: CSV, Parquet or LaTeX, as the name of the file says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from curate.atomic import atomic_file
from curate.errors import WriteError
from curate.evaluate.report.look import share

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import polars as pl

FORMATS: Final = (".csv", ".parquet", ".tex")
#: Columns of the saturation table in LaTeX: heading -> what stands in it.
_LATEX: Final = (
    "data set", "metric", "model", "strategy", "cells", "best", "study's point", "plateau", "verdict",
    "best fit", "doubling",
)  # fmt: skip
_SPECIAL: Final = {each: f"\\{each}" for each in "&%$#_{}"} | {"~": r"\textasciitilde{}", "^": r"\^{}"}


def write_table(table: pl.DataFrame, path: Path) -> None:
    """Write a table of a report; LaTeX (booktabs) is of the saturation table, those columns that fit.

    Raises
    ------
    WriteError
        When the name ends in something else, or the file cannot be written.
    """
    check_table_name(path)
    with atomic_file(path) as aside:
        if path.suffix == ".csv":
            table.write_csv(aside)
        elif path.suffix == ".parquet":
            table.write_parquet(aside)
        else:
            aside.write_text(latex(table), encoding="utf-8")


def check_table_name(path: Path) -> None:
    """Refuse a name that says no format.

    Raises
    ------
    WriteError
        When it ends in none of FORMATS.
    """
    if path.suffix not in FORMATS:
        raise WriteError(f"{path} ends in none of {', '.join(FORMATS)}; name the format of the table so")


def latex(table: pl.DataFrame) -> str:
    """Return the saturation table as LaTeX, for the packages booktabs and longtable."""
    rows = [summary_row(row) for row in table.iter_rows(named=True)]
    return latex_table(_LATEX, rows, n_text=4)


def summary_row(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a row of the saturation table in texts, for people: see the headings of `SUMMARY`."""
    gain = (
        "" if row["gain_doubling"] is None else f"{row['gain_doubling']:+.3g} {_ends(row, 'gain_doubling')}"
    )
    plateau = "" if row["plateau"] is None else share(row["plateau_fraction"], row["plateau"])
    weight = row.get(f"weight_{row['family']}")
    family = "" if row["family"] is None else f"{row['family']} ({weight:.2f})"
    return (
        row["dataset"],
        f"{row['metric']}, {row['setting']} {row['method']}",
        row["model"],
        row["strategy"],
        f"{row['largest']:,.0f}",
        f"{row['best']:.3f}",
        "" if row["study_point"] is None else share(row["study_fraction"], row["study_point"]),
        plateau,
        row["verdict"] or "cannot be told",
        family,
        gain,
    )


SUMMARY: Final = _LATEX


def latex_table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, n_text: int) -> str:
    """Return a table as LaTeX; the first `n_text` columns are flush left, the others flush right."""
    columns = "l" * n_text + "r" * (len(headings) - n_text)
    body = "\n".join(" & ".join(escaped(text) for text in row) + r" \\" for row in rows)
    head = " & ".join(escaped(each) for each in headings) + r" \\"
    return (
        "% packages: booktabs, longtable\n"
        f"\\begin{{longtable}}{{{columns}}}\n\\toprule\n{head}\n\\midrule\n\\endhead\n{body}\n\\bottomrule\n"
        "\\end{longtable}\n"
    )


def escaped(text: str) -> str:
    """Return a text with the characters escaped that LaTeX takes for its own."""
    return "".join(_SPECIAL.get(each, "\\textbackslash{}" if each == "\\" else each) for each in text)


def _ends(row: Mapping[str, Any], name: str) -> str:
    ends = row[f"{name}_low"], row[f"{name}_high"]
    return "(" + " to ".join("unbounded" if abs(end) == float("inf") else f"{end:+.3g}" for end in ends) + ")"
