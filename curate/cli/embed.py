"""`curate embed`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from curate.cli.companions import goes_with
from curate.cli.numbers import SEED
from curate.cli.train_options import ACCELERATORS

if TYPE_CHECKING:
    from curate.build.embeddings.embedding import Embedding
    from curate.corpus import Corpus
    from curate.workspace import Workspace


@click.command("embed")
@click.argument("corpus", required=False)
@click.option("--name", help="Name of the embedding; pca, or what --from names.")
@click.option("--n-components", type=int, default=50, show_default=True, help="Dimensions.")
@click.option("--n-hvgs", type=int, default=2000, show_default=True, help="Highly variable genes to keep.")
@click.option(
    "--fit-fraction",
    type=float,
    default=0.1,
    show_default=True,
    help="Share of the cells that mean, variance and components are fitted on (half a million at least).",
)
@click.option(
    "--hvg-fraction",
    type=float,
    help="Share of the cells, among those, that the genes are chosen on.  [default: 0.1 or all of those]",
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Which cells they are fitted on.")
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Processes of a local Dask cluster.")
@click.option("--scheduler", metavar="ADDRESS", help="A Dask scheduler whose workers reach the Census.")
@click.option(
    "--from",
    "source",
    metavar="SOURCE",
    help="Take over an embedding: FILE.npy, one row a cell in the order of the corpus, or census:NAME, one "
    "that the Census carries or hosts (scvi); or a trained model, by which every cell is embedded.",
)
@click.option(
    "--min-overlap",
    type=float,
    default=0.5,
    show_default=True,
    help="Least share of a trained model's genes that the corpus must have.",
)
@click.option("--accelerator", type=click.Choice(ACCELERATORS), default="auto", help="For a trained model.")
@click.option(
    "--explain",
    "is_explained",
    is_flag=True,
    help="Compute nothing: print what it would read, hold and take.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
@goes_with(
    *(
        "n_components",
        "n_hvgs",
        "fit_fraction",
        "hvg_fraction",
        "seed",
        "is_explained",
    ),
    needs="a PCA that is computed; --from takes over what is there, or embeds by a trained model",
    is_met=lambda values: values["source"] is None,
)
@goes_with(
    "workers",
    "scheduler",
    needs="an embedding that is computed; --from takes over what is there",
    is_met=lambda values: values["source"] is None or _is_model(values["source"]),
)
@goes_with(
    "min_overlap",
    "accelerator",
    needs="--from and a trained model",
    is_met=lambda values: values["source"] is not None and _is_model(values["source"]),
)
def command(
    home: str | None,
    /,
    *,
    corpus: str | None,
    name: str | None,
    source: str | None,
    is_explained: bool,
    min_overlap: float,
    accelerator: str,
    as_json: bool,
    **settings: Any,
) -> None:
    """Compute an embedding of a corpus, streaming.

    PCA of log-normalised, scaled expression of the highly variable genes. It is fitted on 10 % of the cells,
    whole rows of tiles spread evenly over the corpus, but on half a million at least; every cell is
    projected. So the counts of a large corpus are read 1.2 times. With --fit-fraction 1 it is fitted on all
    cells, as in DenAdel et al. 2026, and the values are scanpy's: the counts are read three times. They are
    never held as a whole. A run that was killed goes on where it was, less a minute, when the command is
    given again.

    With --from and a trained model (`curate models`) every cell is embedded by it, in a stream too.

    With --workers or --scheduler Dask works on the cells (pip install 'cellcurate[dask]'); the numbers are
    the same.

    \b
    Examples:
        curate embed
        curate embed sctab --fit-fraction 1 --name pca-all --workers 8
        curate embed sctab --from census:scvi
        curate embed sctab --from vectors.npy --name mine
        curate embed sctab --from scvi-sketch-0.01-s0-v1-3f2a9c1d --name scvi
        curate embed --explain
    """
    from curate.memory import keep_memory
    from curate.workspace import Workspace

    # Before the first thread: an arena that glibc gave away stays. Later it costs a gigabyte.
    keep_memory()
    if settings["workers"] and settings["scheduler"]:
        raise click.UsageError("give --workers or --scheduler; a scheduler has its own workers")
    workspace = Workspace.find(home)
    found = workspace.corpus(corpus, how="as `curate embed CORPUS`")
    if is_explained:
        _explain(found, workspace, settings, as_json=as_json)
        return
    if source is None:
        embedding = _computed(found, workspace, name or "pca", settings)
    elif _is_model(source):
        from curate.build.embeddings.embed_trained import embed_trained
        from curate.cli.model_settings import need_torch
        from curate.cli.models import find

        need_torch()
        embedding = embed_trained(
            found,
            find(home, source),
            name=name,
            min_overlap=min_overlap,
            accelerator=accelerator,
            workers=settings["workers"],
            scheduler=settings["scheduler"],
        )
    else:
        embedding = _take_over(found, source, name)
    if as_json:
        click.echo(embedding.header.model_dump_json(indent=2))
    else:
        _print(embedding, found)


def _explain(corpus: Corpus, workspace: Workspace, settings: dict[str, Any], *, as_json: bool) -> None:
    from curate.build.embeddings.embed import BLOCK_CELLS
    from curate.build.explain_embed import explain_embed
    from curate.cli.explanation import show

    sizes = {key: settings[key] for key in ("n_components", "n_hvgs", "fit_fraction")}
    show([explain_embed(corpus, root=workspace.root, block_cells=BLOCK_CELLS, **sizes)], as_json=as_json)


def _computed(corpus: Corpus, workspace: Workspace, name: str, settings: dict[str, Any]) -> Embedding:
    from curate.build.embeddings.embed import embed
    from curate.build.explain import corpus_nonzeros
    from curate.build.explain_embed import embed_passes
    from curate.rates import measured

    path = corpus.embeddings_path / name
    is_begun = path.exists() or (path.parent / f".{path.name}.partial").exists()
    nonzeros = embed_passes(corpus, settings["fit_fraction"]) * corpus_nonzeros(corpus)[0]
    with measured(workspace.root, "embed", nonzeros, unit="non-zeros", is_whole=not is_begun):
        return embed(corpus, name=name, **settings)


def _is_model(source: str) -> bool:
    """Whether --from names a trained model: anything but a file of vectors and what a Census has."""
    return not source.endswith(".npy") and not source.startswith("census:")


def _take_over(corpus: Corpus, source: str, name: str | None) -> Embedding:
    from curate.build.embeddings.embed_file import import_census_embedding, import_embedding

    if source.endswith(".npy"):
        return import_embedding(corpus, Path(source), name=name or Path(source).stem)
    hosted = source.removeprefix("census:")
    return import_census_embedding(corpus, hosted, name=name or hosted)


def _print(embedding: Embedding, corpus: Corpus) -> None:
    from rich.console import Console
    from rich.table import Table

    header = embedding.header
    table = Table(box=None, show_header=False)
    table.add_row("embedding", f"{header.name} ({header.id[:12]}) of corpus {corpus.name}")
    table.add_row("values", f"{header.n_cells:,} cells x {header.n_components} dimensions, float32")
    if header.model == "pca":
        ratios = header.explained_variance_ratio
        first = ", ".join(f"{ratio:.1%}" for ratio in ratios[:5])
        table.add_row("genes", f"{header.n_genes:,} variable ones of {corpus.header.genes.n:,}")
        table.add_row(
            "fitted on", f"{header.n_cells_fitted:,} cells, genes chosen on {header.n_cells_sampled:,}"
        )
        table.add_row("without counts", f"{header.n_cells_without_counts:,} cells, embedded as zeros")
        table.add_row("variance explained", f"{sum(ratios):.1%}, the first dimensions {first}")
    elif header.model == "trained":
        table.add_row("by", f"{header.parameters['architecture']} {str(header.parameters['artifact'])[:12]}")
        table.add_row("genes", f"{header.n_genes:,} of {corpus.header.genes.n:,} are the model's")
        table.add_row("without counts", f"{header.n_cells_without_counts:,} cells")
    else:
        table.add_row("taken from", f"{header.model} {header.parameters[header.model]}")
    table.add_row("folder", str(embedding.path))
    Console().print(table, highlight=False)
