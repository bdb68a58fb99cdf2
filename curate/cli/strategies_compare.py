"""`curate strategies compare`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from curate.cli.companions import is_given
from curate.cli.diversity import chart_path_of
from curate.cli.numbers import Seeds
from curate.cli.strategy_names import StrategyNames
from curate.cli.task_options import open_task, task_option

if TYPE_CHECKING:
    from curate.build.comparison.compare import Comparison


@click.command()
@click.option("--fraction", type=float, help="Share of the cells that each chooses, such as 0.01.")
@click.option("--n-cells", type=int, help="Number of cells instead.")
@click.option("--strategies", type=StrategyNames(), help="Such as random,sketch(k=100).  [default: all]")
@click.option("--seed", type=Seeds(), default="0", show_default=True, help="Seeds, such as 0-4.")
@click.option("--seeds", "n_seeds", metavar="N", type=click.IntRange(min=1), help="So many seeds, from 0 on.")
@click.option("--corpus", metavar="NAME", help="The corpus, where the workspace has several.")
@click.option("--embedding", metavar="NAME", help="[default: pca, where there is]")
@click.option(
    "--rare-below",
    type=click.FloatRange(0, 1),
    default=0.001,
    show_default=True,
    help="A cell type is rare under this share of the corpus.",
)
@task_option
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
def compare(
    home: str | None,
    *,
    fraction: float | None,
    n_cells: int | None,
    strategies: list[str] | None,
    seed: list[int],
    n_seeds: int | None,
    corpus: str | None,
    embedding: str | None,
    rare_below: float,
    task_path: str | None,
    as_json: bool,
    csv_path: Path | None,
    chart_path: Path | None,
) -> None:
    """Run strategies on a corpus and compare what they choose; no manifest is written.

    Each runs in a process of its own, so that its time and peak memory are its own. One that needs what there
    is not is skipped, one that fails is told, and the rest goes on.

    \b
    Examples:
        curate strategies compare --fraction 0.01
        curate strategies compare --n-cells 1000 --strategies "random,sketch,sketch(k=100)" --seeds 3
        curate strategies compare --fraction 0.01 --strategies random,own.py:choose --chart strategies.png
    """
    if (fraction is None) == (n_cells is None):
        raise click.UsageError("give one of --fraction and --n-cells")
    if n_seeds is not None and is_given("seed"):
        raise click.UsageError("--seeds N is short for --seed 0-(N-1): give one of them")
    from curate.build.comparison.compare import compare_strategies
    from curate.build.embeddings.embedding import Embedding, embedding_names
    from curate.build.strategies import STRATEGIES
    from curate.workspace import Workspace

    if chart_path is not None:
        from curate.charts import check_charts

        check_charts()
    source = Workspace.find(home).corpus(corpus)
    named = embedding or "pca"
    opened = None
    if embedding is not None or named in embedding_names(source):
        opened = Embedding.open(source.embeddings_path / named, source)
    else:
        click.echo(
            f"notice: corpus {source.name} has no embedding {named!r}: no coverage and no Vendi score; "
            "make one with `curate embed`",
            err=True,
        )
    comparison = compare_strategies(
        source,
        strategies=strategies or list(STRATEGIES),
        fraction=fraction,
        n_cells=n_cells,
        seeds=list(range(n_seeds)) if n_seeds else seed,
        embedding=opened,
        rare_below=rare_below,
        task=open_task(task_path, source),
        tell=lambda line: click.echo(f"notice: {line}", err=True),
    )
    _write(comparison, csv_path, chart_path)
    if as_json:
        from curate.build.comparison.page import comparison_json

        click.echo(json.dumps(comparison_json(comparison), indent=2, ensure_ascii=False, allow_nan=False))
        return
    from curate.build.comparison.page import comparison_page
    from curate.cli.manifests import console_of_data

    console = console_of_data()
    if not console.is_terminal:
        console.width = 160
    console.print(comparison_page(comparison))


def _write(comparison: Comparison, csv_path: Path | None, chart_path: Path | None) -> None:
    if csv_path is not None:
        from curate.atomic import atomic_file
        from curate.build.comparison.page import comparison_table

        with atomic_file(csv_path) as aside:
            comparison_table(comparison).write_csv(aside)
    if chart_path is not None:
        from curate.build.comparison.chart import comparison_chart
        from curate.charts import save_chart

        save_chart(comparison_chart(comparison), chart_path)
