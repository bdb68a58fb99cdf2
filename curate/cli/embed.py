"""`curate embed`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from curate.build.embedding import Embedding
    from curate.corpus import Corpus


@click.command("embed")
@click.argument("corpus", required=False)
@click.option("--name", default="pca", show_default=True, help="Name of the embedding.")
@click.option("--n-components", type=int, default=50, show_default=True, help="Dimensions.")
@click.option("--n-hvgs", type=int, default=2000, show_default=True, help="Highly variable genes to keep.")
@click.option(
    "--hvg-fraction",
    type=float,
    default=0.1,
    show_default=True,
    help="Share of the cells that they are chosen on (at least 20,000 cells).",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Which cells they are chosen on.")
@click.option(
    "--from",
    "file",
    metavar="FILE.npy",
    type=click.Path(path_type=Path),
    help="Take over an embedding made elsewhere: one row a cell, in the order of the corpus.",
)
@click.option(
    "--explain",
    "is_explained",
    is_flag=True,
    help="Compute nothing: print what it would read, hold and take.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    *,
    corpus: str | None,
    name: str,
    file: Path | None,
    is_explained: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Compute an embedding of a corpus, streaming.

    PCA of log-normalised, scaled expression of the highly variable genes; the values are scanpy's. Counts are
    read three times in blocks and never held as a whole. A run that was killed goes on from the passes it has
    finished when the command is given again.

    \b
    Examples:
        curate embed
        curate embed sctab --n-components 30 --name pca-30
        curate embed sctab --from scvi.npy --name scvi
        curate embed --explain
    """
    from curate.build.embed import BLOCK_CELLS, embed
    from curate.build.embed_file import import_embedding
    from curate.build.explain import EMBED_PASSES, corpus_nonzeros, explain_embed
    from curate.cli.explanation import show
    from curate.rates import measured
    from curate.workspace import Workspace

    workspace = Workspace.find(ctx.obj)
    source = workspace.corpus(corpus)
    if is_explained:
        if file is not None:
            raise click.UsageError("--from copies a file; --explain is about computing an embedding")
        sizes = {key: settings[key] for key in ("n_components", "n_hvgs")}
        found = explain_embed(source, root=workspace.root, block_cells=BLOCK_CELLS, **sizes)
        show([found], as_json=as_json)
        return
    if file is None:
        path = source.embeddings_path / name
        is_begun = path.exists() or (path.parent / f".{path.name}.partial").exists()
        nonzeros = EMBED_PASSES * corpus_nonzeros(source)[0]
        with measured(workspace.root, "embed", nonzeros, unit="non-zeros", is_whole=not is_begun):
            embedding = embed(source, name=name, **settings)
    else:
        _refuse_settings_of_pca(ctx, settings)
        embedding = import_embedding(source, file, name=name)
    if as_json:
        click.echo(embedding.header.model_dump_json(indent=2))
    else:
        _print(embedding, source)


def _refuse_settings_of_pca(ctx: click.Context, settings: dict[str, Any]) -> None:
    given = [
        name for name in settings if ctx.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT
    ]
    if given:
        option = f"--{given[0].replace('_', '-')}"
        raise click.UsageError(f"{option} is a setting of the PCA; it means nothing with --from")


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
        table.add_row("chosen on", f"{header.n_cells_sampled:,} cells")
        table.add_row("without counts", f"{header.n_cells_without_counts:,} cells, embedded as zeros")
        table.add_row("variance explained", f"{sum(ratios):.1%}, the first dimensions {first}")
    else:
        table.add_row("taken from", str(header.parameters["file"]))
    table.add_row("folder", str(embedding.path))
    Console().print(table, highlight=False)
