"""`curate build`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from curate.build.strategies import STRATEGIES
from curate.build.strategies.custom import is_path
from curate.cli import ladder_options as ladders
from curate.cli.companions import either, goes_with, is_given
from curate.cli.dedup_options import dedup_exclusions, dedup_option
from curate.cli.leakage_options import overlap_exclusions_of, overlap_options
from curate.cli.numbers import Numbers, Seeds
from curate.cli.quality_options import quality_options
from curate.cli.spike_in_options import SpikeInOptions, spike_in_options
from curate.cli.split_options import split_options
from curate.cli.strategy_names import StrategyNames, name_of
from curate.cli.task_options import open_task, task_option

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from curate.manifests.manifest import Manifest
    from curate.quality import QualityRules


def strategy_options(function: Callable[..., None]) -> Callable[..., None]:
    """Offer the parameters of every strategy, each once."""
    offered: dict[str, tuple[Any, list[str]]] = {}
    for name, strategy in STRATEGIES.items():
        for parameter in strategy.parameters:
            offered.setdefault(parameter.name, (parameter, []))[1].append(name)
    for parameter, names in reversed(offered.values()):
        option = click.option(
            f"--{parameter.name.replace('_', '-')}",
            parameter.name,
            metavar=parameter.metavar,
            help=f"{', '.join(names)}: {parameter.help}",
        )
        function = option(_of_strategies(parameter.name, names)(function))
    return function


def _of_strategies(
    option: str, names: Sequence[str], *, other: str = ""
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Refuse an option where no strategy that has it was named; what a file has is known when it is run.

    With the `other` option it means something whatever the strategy.
    """
    return goes_with(
        option,
        needs=f"--{other} or --strategy {either(names)}" if other else f"--strategy {either(names)}",
        is_met=lambda values: (
            values.get(other) is not None
            or any(name in names or is_path(name) for name in map(name_of, values["strategies"]))
        ),
    )


def _epilog() -> str:
    width = max(map(len, STRATEGIES))
    lines = [f"  {name:<{width}}  {strategy.summary}" for name, strategy in STRATEGIES.items()]
    return "\b\nStrategies:\n" + "\n".join(lines)


@click.command("build", epilog=_epilog())
@click.option(
    "--strategy",
    "strategies",
    required=True,
    type=StrategyNames(),
    help="How to choose cells: a name below, or path/to/file.py:function; several with --ladder.",
)
@click.option(
    "--fraction",
    type=Numbers(float, distinct=True),
    help="Shares of the cells to choose from, such as 0.01,0.1.",
)
@click.option("--n-cells", type=Numbers(int, distinct=True), help="Numbers of cells instead of fractions.")
@click.option("--seed", type=Seeds(), default="0", show_default=True, help="Seeds, such as 0-4.")
@click.option("--where", help="Choose from matching cells only, such as \"tissue == 'lung' and nnz >= 300\".")
@click.option("--corpus", metavar="NAME", help="The corpus, where the workspace has several.")
@click.option(
    "--embedding",
    metavar="NAME",
    default="pca",
    show_default=True,
    help="For strategies that need one, and --dedup.",
)
@click.option("--name", help="Of the manifest; a prefix with several sizes.  [default: STRATEGY-SIZE-sSEED]")
@_of_strategies(
    "embedding",
    [name for name, each in STRATEGIES.items() if each.needs_embedding or each.costs],
    other="dedup",
)
@ladders.ladder_options
@quality_options
@dedup_option
@split_options
@task_option
@overlap_options
@spike_in_options
@strategy_options
@click.option(
    "--explain",
    "is_explained",
    is_flag=True,
    help="Build nothing: print what it, and reading the chosen counts, would take.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(
    home: str | None,
    /,
    *,
    strategies: list[str],
    fraction: list[float] | None,
    n_cells: list[int] | None,
    seed: list[int],
    where: str | None,
    corpus: str | None,
    embedding: str,
    name: str | None,
    ladder: list[float] | None,
    is_nested: bool,
    quality: QualityRules,
    dedup: float | None,
    splits: dict[str, Any],
    task_path: str | None,
    exclude_overlap: tuple[str, ...],
    exclude_overlap_by: list[Any],
    spike_ins: SpikeInOptions,
    is_explained: bool,
    as_json: bool,
    **parameters: str | None,
) -> None:
    """Choose cells from a corpus and write each choice down as a manifest.

    One manifest is made for every size and seed. What was built before adds no version.

    \b
    Examples:
        curate build --fraction 0.01 --strategy sketch
        curate build --fraction 0.01,0.1,0.5 --seed 0-4 --strategy reweight --by cell_type
        curate build --fraction 0.01 --strategy blocks --explain
        curate build --fraction 0.1 --strategy random --spike-in screen=0.1
        curate build --fraction 0.01 --strategy facility --dedup 0.95
        curate build --fraction 0.01 --strategy random --task pbmc.toml
        curate build --ladder 0.001:1:7 --nested --seeds 5 --strategy random,sketch,reweight
        curate build --ladder 0.01,0.1,1 --nested --strategy random --spike-in screen=0.1
    """
    _check_sizes(strategies, fraction, n_cells, ladder)
    from curate.build.build import build
    from curate.build.embeddings.embedding import Embedding, embedding_names
    from curate.build.quality import quality_exclusions
    from curate.build.strategies.named import settle_all
    from curate.manifests.notices import notices
    from curate.manifests.registry import Registry
    from curate.rates import measured
    from curate.workspace import Workspace

    workspace = Workspace.find(home)
    source = workspace.corpus(corpus)
    registry = Registry(workspace.manifests_path)
    given = {key: value for key, value in parameters.items() if value is not None}
    settled = settle_all(strategies, given)
    used = [each.strategy for each in settled]
    is_there = embedding in embedding_names(source) or is_given("embedding")
    is_measured_on = any(each.costs for each in used) and is_there
    is_read = dedup is not None or is_measured_on or any(each.needs_embedding for each in used)
    opened = Embedding.open(source.embeddings_path / embedding, source) if is_read else None
    choice: dict[str, Any] = {
        "where": where,
        "embedding": opened,
        "parameters": given,
    }
    sizes: dict[str, Any] = {"fraction": ladder or fraction, "n_cells": n_cells, "seed": seed}
    by_quality = quality_exclusions(source, quality)
    task = open_task(task_path, source)
    spiked = spike_ins.of(source)
    if is_explained:
        from curate.cli.build_explained import explain

        explain(
            workspace,
            source,
            settled,
            strategies=strategies,
            given=given,
            embedding=opened,
            dedup=dedup,
            exclusions=by_quality,
            evaluations=exclude_overlap,
            by=exclude_overlap_by,
            task=task,
            spike_ins=spiked,
            uncompared=spike_ins.allow_uncompared,
            where=where,
            sizes=sizes,
            splits=splits,
            as_json=as_json,
        )
        return
    near = dedup_exclusions(opened, dedup)
    with overlap_exclusions_of(
        source, exclude_overlap, by=exclude_overlap_by, uncompared=spike_ins.allow_uncompared
    ) as overlaps:
        choice |= {"registry": registry, "exclusions": [*by_quality, *overlaps, *near], **splits}
        choice |= {"task": task, "tell": lambda line: click.echo(f"notice: {line}", err=True)}
        if ladder is not None:
            from curate.build.ladder import build_ladder

            built = build_ladder(
                source,
                strategies=strategies,
                fractions=ladder,
                seeds=seed,
                nested=is_nested,
                name=name or "ladder",
                spike_ins=spiked,
                **choice,
            )
            ladders.report(built, as_json=as_json)
            return
        (strategy,) = strategies
        before = {(each, version) for each in registry.names() for version in registry.versions(each)}
        amount = len({*(fraction or n_cells or ())}) * len({*seed}) * source.n_cells
        work = f"build {settled[0].name}"
        with measured(workspace.root, work, amount, unit="cells", is_whole=not (overlaps or task or near)):
            manifests = build(source, strategy=strategy, name=name, spike_ins=spiked, **choice, **sizes)
    for manifest in manifests:
        for notice in notices(manifest.document):
            click.echo(f"notice: {manifest.ref}: {notice}", err=True)
    _report(manifests, [(each.name, each.version) not in before for each in manifests], as_json=as_json)


def _check_sizes(
    strategies: Sequence[str],
    fraction: list[float] | None,
    n_cells: list[int] | None,
    ladder: list[float] | None,
) -> None:
    if [fraction, n_cells, ladder].count(None) != 2:
        raise click.UsageError("give one of --fraction, --n-cells and --ladder")
    if len(strategies) > 1 and ladder is None:
        raise click.UsageError(f"{len(strategies)} strategies go with --ladder; otherwise name one")


def _report(manifests: Sequence[Manifest], is_new: Sequence[bool], *, as_json: bool) -> None:
    rows = [
        {
            "ref": manifest.ref,
            "id": manifest.id,
            "is_new": new,
            "n_cells": manifest.document.n_cells,
            "splits": manifest.document.splits.counts,
            "n_cell_types": manifest.document.diversity["cell_type"].n_labels,
            "shannon_bits": manifest.document.diversity["cell_type"].shannon_bits,
        }
        for manifest, new in zip(manifests, is_new, strict=True)
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    from curate.manifests.page import simulated

    table = Table(
        box=None,
        header_style="bold",
        caption="types, bits: cell types among the training cells, and their Shannon entropy",
        caption_justify="left",
    )
    table.add_column("manifest", overflow="fold")
    table.add_column("id", no_wrap=True)
    for title in ("cells", "train", "val", "test", "types", "bits"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for row, manifest in zip(rows, manifests, strict=True):
        counts = manifest.document.splits.counts
        table.add_row(
            manifest.ref,
            manifest.id[:8],
            f"{manifest.document.n_cells:,}",
            *(f"{counts.get(split, 0):,}" for split in ("train", "val", "test")),
            f"{row['n_cell_types']:,}",
            f"{row['shannon_bits']:.3f}",
            "new" if row["is_new"] else "was there",
        )
    console = Console(highlight=False)
    console.print(table)
    if line := simulated({each.document.corpus.name: each.document.corpus.label for each in manifests}):
        console.print(line)
