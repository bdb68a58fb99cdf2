"""`curate diversity`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from curate.cli.companions import goes_with, goes_with_option
from curate.manifests.document import SPLITS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from curate.build.diversity.report import DiversityReport
    from curate.build.diversity.space import SpaceSettings
    from curate.manifests.manifest import Manifest

CHART_SUFFIXES = (".png", ".svg", ".html")


class Probes(click.ParamType[Any]):
    """A number of cells, or all."""

    name = "N|all"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        """Return the number; None for all."""
        if value is None or value == "all":
            return None
        try:
            number = int(value)
        except ValueError:
            self.fail(f"{value!r} is not a whole number or all")
        if number < 2:
            self.fail(f"{number} cells are too few to measure from; take 2 or more")
        return number


def chart_path_of(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    """Return the path of a chart; wrong usage where its name says no format."""
    if value is not None and value.suffix not in CHART_SUFFIXES:
        raise click.BadParameter(f"{value} ends in none of {', '.join(CHART_SUFFIXES)}")
    return value


@click.command("diversity")
@click.argument("refs", metavar="REF...", nargs=-1, required=True)
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="COLUMN",
    help="Of obs; may be repeated.  [default: cell_type]",
)
@click.option(
    "--split",
    type=click.Choice([*SPLITS, "all"]),
    default="train",
    show_default=True,
    help="The cells that count.",
)
@click.option(
    "--embedding", metavar="NAME", help="For Vendi score and coverage.  [default: pca, where there is]"
)
@click.option("--vendi/--no-vendi", default=True, show_default=True, help="Vendi score.")
@click.option(
    "--order", type=click.FloatRange(min=0), default=1, show_default=True, help="Of the Vendi score; inf too."
)
@click.option(
    "--features",
    type=click.Choice(["embedding", "expression"]),
    default="embedding",
    show_default=True,
    help="Vendi score of vectors, or of scaled expression: reads the counts.",
)
@click.option("--coverage/--no-coverage", default=True, show_default=True, help="Coverage of the corpus.")
@click.option(
    "--probes", type=Probes(), default="10000", show_default=True, help="Cells of the corpus to measure from."
)
@click.option(
    "--radius",
    type=click.FloatRange(min=0, min_open=True),
    help="That covers a cell.  [default: median distance between neighbours among the probes]",
)
@click.option(
    "--left-out",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.001,
    show_default=True,
    help="Share of the farthest cells, by the partial Hausdorff distance.",
)
@click.option(
    "--rare-below",
    type=click.FloatRange(0, 1),
    default=0.001,
    show_default=True,
    help="A label is rare under this share of the corpus.",
)
@click.option(
    "--rare-cells",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Cells that hold a rare label.",
)
@click.option(
    "--rarefy", type=click.IntRange(min=1), metavar="N", help="[default: cells of the smallest set]"
)
@click.option(
    "--reference/--no-reference", default=True, show_default=True, help="The corpus itself as a row."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--csv", "csv_path", type=click.Path(dir_okay=False, path_type=Path), help="Write a tidy table."
)
@click.option(
    "--chart",
    "chart_path",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=chart_path_of,
    help="Write a chart: .png, .svg or .html.",
)
@click.pass_obj
@goes_with_option("order", "features", other="vendi")
@goes_with_option("probes", "radius", "left_out", other="coverage")
@goes_with(
    "embedding", needs="--vendi or --coverage", is_met=lambda values: values["vendi"] or values["coverage"]
)
def command(
    home: str | None,
    /,
    *,
    refs: tuple[str, ...],
    columns: tuple[str, ...],
    split: str,
    csv_path: Path | None,
    chart_path: Path | None,
    as_json: bool,
    rare_below: float,
    rare_cells: int,
    rarefy: int | None,
    reference: bool,
    **of_space: Any,
) -> None:
    """Compare how diverse manifests are, each beside its corpus: labels, Vendi score, coverage.

    REF is a name, name@v3, name@tag, an id, a path; or several names: 'random-*', or random for all that
    begin with random-. What each index means stands in docs/diversity.md.

    \b
    Examples:
        curate diversity random-0.01-s0 sketch-0.01-s0
        curate diversity 'random-*' 'sketch-*' --column cell_type --column tissue_general --chart ladder.png
    """
    if of_space["order"] != of_space["order"]:
        raise click.BadParameter("nan is no order; take 0 or more", param_hint="--order")
    if chart_path is not None:
        from curate.charts import check_charts

        check_charts()
    from curate.build.diversity.measure import measure_diversity
    from curate.build.diversity.report import COLUMNS, DiversitySettings
    from curate.manifests.references import resolve_all
    from curate.workspace import Workspace

    manifests = resolve_all(refs, workspace=Workspace.find(home) if home else None)
    settings = DiversitySettings(
        columns=tuple(dict.fromkeys(columns)) or COLUMNS,
        split=next((each for each in SPLITS if each == split), None),
        rare_below=rare_below,
        rare_cells=rare_cells,
        rarefied_to=rarefy,
        space=_space_settings(manifests, **of_space),
        has_corpus=reference,
    )
    report = measure_diversity(manifests, settings)
    if csv_path is not None or chart_path is not None:
        _write(report, csv_path, chart_path)
    if as_json:
        click.echo(json.dumps(_json(report.to_json()), indent=2, ensure_ascii=False, allow_nan=False))
        return
    from curate.build.diversity.page import diversity_page
    from curate.cli.manifests import console_of_data

    console = console_of_data()
    if not console.is_terminal:
        # Nobody's window: as wide as the tables are.
        console.width = 160
    console.print(diversity_page(report, width=console.width))


def _space_settings(
    manifests: Sequence[Manifest],
    *,
    embedding: str | None,
    vendi: bool,
    order: float,
    features: str,
    coverage: bool,
    probes: int | None,
    radius: float | None,
    left_out: float,
) -> SpaceSettings | None:
    """Return what to compute from vectors; None, and a notice, where there are none and none was named."""
    from curate.build.diversity.space import Features, SpaceSettings
    from curate.build.embeddings.embedding import embedding_names

    if not (vendi or coverage):
        return None
    default = SpaceSettings().embedding
    if embedding is None:
        corpora = {each.document.corpus.id: each.corpus() for each in manifests}
        without = [corpus for corpus in corpora.values() if default not in embedding_names(corpus)]
        if without:
            names = embedding_names(without[0])
            hint = (
                f"name one of {', '.join(names)} with --embedding"
                if names
                else "make one with `curate embed`"
            )
            click.echo(
                f"notice: corpus {without[0].name} has no embedding {default!r}: no Vendi score and no "
                f"coverage; {hint}",
                err=True,
            )
            return None
    return SpaceSettings(
        embedding=embedding or default,
        vendi=vendi,
        coverage=coverage,
        order=order,
        features=next(each for each in get_args(Features) if each == features),
        n_probes=probes,
        radius=radius,
        left_out_fraction=left_out,
    )


def _write(report: DiversityReport, csv_path: Path | None, chart_path: Path | None) -> None:
    from curate.atomic import atomic_file

    if csv_path is not None:
        from curate.build.diversity.page import diversity_table

        with atomic_file(csv_path) as aside:
            diversity_table(report).write_csv(aside)
    if chart_path is not None:
        from curate.build.diversity.chart import diversity_chart
        from curate.charts import save_chart

        save_chart(diversity_chart(report), chart_path)


def _json(content: Any) -> Any:
    """Return what strict JSON knows: an infinite order as text."""
    if isinstance(content, dict):
        return {key: _json(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_json(value) for value in content]
    return str(content) if isinstance(content, float) and content in (float("inf"),) else content
