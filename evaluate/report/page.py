"""A report as one page of HTML that holds all it needs: no script, no network."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import polars as pl

from curate.atomic import atomic_file
from curate.charts import COLOURS, FAINT, GRID, INK, chart_svg, check_charts
from curate.evaluate.report.look import extent
from curate.evaluate.report.pareto import COSTS, cost_of, front
from curate.evaluate.report.report import charts_of
from curate.evaluate.report.tables import SUMMARY, summary_row
from curate.evaluate.report.verdicts import (
    against_random_in_words,
    compared,
    gaps,
    headlines,
    other_cells,
    verdicts_of,
)
from curate.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from curate.evaluate.report.report import Report

#: Rows of the table of failures that are shown.
MOST_FAILURES = 50
_HEADS = {
    "curves": "Score against cells",
    "saturation": "Where more cells stop paying",
    "strategies": "Strategies against random",
    "cost": "Score against cost",
    "settings": "Frozen and fine-tuned",
}
_STYLE = f"""
body {{ font: 14px/1.45 "Liberation Sans", Helvetica, Arial, sans-serif; color: {INK}; background: white;
  max-width: 1080px; margin: 32px auto; padding: 0 24px; }}
h1 {{ font-size: 22px; margin: 0 0 4px; overflow-wrap: anywhere; }}
h2 {{ font-size: 16px; margin: 36px 0 10px; border-top: 1px solid {GRID}; padding-top: 18px; }}
p, li {{ overflow-wrap: anywhere; }}
ul {{ padding-left: 20px; }} li {{ margin: 3px 0; }}
.faint {{ color: {FAINT}; }}
.note {{ border-left: 4px solid {COLOURS[1]}; padding: 4px 12px; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; margin: 4px 0 14px; font-size: 13px; }}
th {{ text-align: left; font-weight: bold; border-bottom: 1px solid {FAINT}; }}
th, td {{ padding: 3px 16px 3px 0; vertical-align: top; }}
td {{ border-bottom: 1px solid {GRID}; }}
.n {{ text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }}
svg {{ max-width: 100%; height: auto; display: block; margin-left: -16px; }}
"""


def write_page(report: Report, path: Path, *, title: str) -> None:
    """Write a report as a page of HTML.

    Raises
    ------
    WriteError
        When a package of the extra [report] is missing, or the file cannot be written.
    """
    check_charts()
    content = page(report, title=title)
    with atomic_file(path) as aside:
        aside.write_text(content, encoding="utf-8")


def page(report: Report, *, title: str) -> str:
    """Return a report as a page of HTML: verdicts, charts, tables."""
    by_kind: dict[str, list[str]] = {}
    for name, chart in charts_of(report):
        by_kind.setdefault(name.partition("-")[0], []).append(chart_svg(chart))
    parts = [_head(report, title), _verdicts(report)]
    for kind in ("curves", "saturation", "strategies", "cost", "settings"):
        charts = "".join(by_kind.get(kind, []))
        extra = {"saturation": _saturation, "strategies": _strategies, "cost": _cost}.get(kind)
        body = charts + (extra(report) if extra is not None else "")
        parts.append(f"<h2>{_HEADS[kind]}</h2>{body}" if body else "")
    parts += [_failures(report), _how(report)]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body></html>\n"
    )


def _head(report: Report, title: str) -> str:
    runs = report.runs
    n_models = report.results.filter(pl.col("kind") == "trained")["model_id"].n_unique()
    smallest, largest = extent(runs["n_cells"])
    facts = (
        f"{counted(n_models, 'trained model')}, {counted(report.results.height, 'result')}; "
        f"models {', '.join(runs['model'].unique().sort())}; strategies "
        f"{', '.join(runs['strategy'].unique().sort())}; "
        f"{counted(runs['n_cells'].n_unique(), 'size')} from {smallest:,.0f} to "
        f"{largest:,.0f} training cells"
    )
    told = ["simulated data, no real cells"] if report.is_simulated else []
    told += list(report.labels)
    leaked = report.results.filter(pl.col("leakage").is_not_null() & (pl.col("leakage") != "none"))
    if leaked.height:
        said = ", ".join(leaked["leakage"].unique().sort().to_list())
        told.append(f"Leakage, in {counted(leaked.height, 'result')}: {said}")
    notes = "".join(
        f'<p class="note">{escape(each)}</p>' for each in [*told, *other_cells(report.results), *gaps(runs)]
    )
    return f'<h1>{escape(title)}</h1><p class="faint">{escape(facts)}</p>{notes}'


def _verdicts(report: Report) -> str:
    parts = ["<h2>What the runs say</h2>", _list(headlines(report))]
    views = report.saturation.partition_by(
        "task", "dataset", "setting", "method", "metric", maintain_order=True
    )
    for held in views:
        name = held.row(0, named=True)
        head = f"{name['dataset']}, {name['task']}, {name['setting']} {name['method']}, {name['metric']}"
        parts.append(f"<p><b>{escape(head)}</b></p>{_list(verdicts_of(held))}")
    return "".join(parts)


def _saturation(report: Report) -> str:
    curves = report.saturation.filter(pl.col("n_sizes") > 1)
    n_points = report.saturation.height - curves.height
    left_out = f"; not shown: {counted(n_points, 'curve')} of one size" if n_points else ""
    rows = [summary_row(row) for row in curves.iter_rows(named=True)]
    heads = [(name, "" if at < 4 else "n") for at, name in enumerate(SUMMARY)]
    return (
        f'<div class="wide">{_table(heads, rows)}</div>'
        '<p class="faint">cells: of the largest subset; best: the highest mean over seeds (sign turned where '
        "lower is better); best fit: family and its Akaike weight; doubling: what twice the largest subset "
        f"would bring, with its 95 % interval{left_out}</p>"
    )


def _strategies(report: Report) -> str:
    if report.differences.is_empty():
        return _list(against_random_in_words(report.differences))
    rows = [
        (
            row["dataset"],
            f"{row['metric']}, {row['setting']} {row['method']}",
            row["model"],
            compared(row).rstrip(","),
            row["comparison"],
            f"{row['difference']:+.3g}",
            f"{row['low']:+.3g} to {row['high']:+.3g}",
            f"{row['p']:.2g}",
            f"{row['p_adjusted']:.2g}",
        )
        for row in report.differences.sort("p_adjusted", "p", maintain_order=True).iter_rows(named=True)
    ]
    heads = [(name, "") for name in ("data set", "metric", "model", "subsets", "at")]
    heads += [(name, "n") for name in ("difference", "95 %", "p", "adjusted p")]
    return f'<div class="wide">{_table(heads, rows)}</div>'


def _cost(report: Report) -> str:
    cost = cost_of(report.views)
    if cost is None:
        return "<p>The cost of some trainings is not known.</p>"
    parts = []
    for view in report.views:
        best = front(view, cost)
        rows = [
            (
                str(nth),
                row["model"],
                row["strategy"],
                f"{row['n_cells']:,.0f}",
                f"{row[cost]:,.3g}",
                f"{row['mean']:.4g}",
            )
            for nth, row in enumerate(best.iter_rows(named=True), start=1)
        ]
        heads = [
            ("", "n"),
            ("model", ""),
            ("strategy", ""),
            ("training cells", "n"),
            (COSTS[cost], "n"),
            ("mean score", "n"),
        ]
        parts.append(f"<p><b>{escape(view.title)}</b></p>{_table(heads, rows)}")
    return "".join(parts)


def _failures(report: Report) -> str:
    if report.failures.is_empty():
        return ""
    shown = report.failures.head(MOST_FAILURES)
    more = report.failures.height - shown.height
    rest = f'<p class="faint">and {counted(more, "more")}</p>' if more > 0 else ""
    table = _table([("cell of the grid", ""), ("error", "")], shown.select("what", "error").rows())
    failed = counted(report.failures.height, "job")
    return f"<h2>What failed</h2><p>{failed} of the sweep failed.</p>{table}{rest}"


def _how(report: Report) -> str:
    versions = report.results.select("metric", "metric_version").unique().sort("metric", "metric_version")
    shown = report.runs["metric"].unique().to_list()
    metrics = ", ".join(
        f"{row['metric']} v{row['metric_version']}"
        for row in versions.filter(pl.col("metric").is_in(shown)).iter_rows(named=True)
    )
    lines = [
        "Study's point: the smallest subset with any run above 95 % of the best run (DenAdel et al., Nature "
        "Methods 2026).",
        "Plateau: gains of all larger subsets over it are bounded at 95 % by the tolerance, 5 % of the best "
        "mean unless "
        "given; runs of a seed are pairs.",
        "Verdicts: of each curve by itself, at 95 %, one-sided; of twenty flat curves one may seem to rise.",
        "Best fit: log, power, exponential and rational curves and a constant, by AICc.",
        "What more cells would bring: all four families weighed by how well they fit, and its 95 % interval.",
        "Strategies: paired over seeds, Student's t, adjusted by Holm for all comparisons of this page.",
        f"Metrics: {metrics}.",
    ]
    return f"<h2>How it was found</h2>{_list(lines)}"


def _list(lines: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def _table(heads: Sequence[tuple[str, str]], rows: Iterable[Sequence[str]]) -> str:
    def row(tag: str, texts: Sequence[str]) -> str:
        cells = (
            f'<{tag} class="{style}">{escape(text)}</{tag}>' if style else f"<{tag}>{escape(text)}</{tag}>"
            for text, (_, style) in zip(texts, heads, strict=True)
        )
        return f"<tr>{''.join(cells)}</tr>"

    body = "".join(row("td", texts) for texts in rows)
    return f"<table><thead>{row('th', [title for title, _ in heads])}</thead><tbody>{body}</tbody></table>"
