"""`curate task`: write a task document, show what it finds in a corpus."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

    from curate.build.task.report import TaskReport

# As curate.task.KINDS, which would import pydantic.
_KINDS = ("classification", "integration", "perturbation")


@click.group()
def command() -> None:
    """Write and show task documents: for which downstream task cells are wanted.

    \b
        curate task init pbmc.toml --reference pbmc4k.h5ad
        curate task show pbmc.toml
        curate build --fraction 0.01 --strategy random --task pbmc.toml
    """


@command.command("init")
@click.argument("path", metavar="TASK.toml", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--reference",
    metavar="FILE.h5ad",
    type=click.Path(path_type=Path),
    help="Data of the task: the labels of its training half are filled in.",
)
@click.option("--kind", type=click.Choice(_KINDS), default="classification", show_default=True)
@click.option(
    "--label-column", metavar="COLUMN", default="cell_type", show_default=True, help="Of the reference."
)
@click.option(
    "--split-by",
    metavar="COLUMN",
    default="cell",
    show_default=True,
    help="What stays together when the reference is divided: cell, or a column such as donor_id.",
)
@click.option("--ontology", metavar="guide | FILE.obo", default="guide", show_default=True)
def init(
    path: Path, *, reference: Path | None, kind: Any, label_column: str, split_by: str, ontology: str
) -> None:
    """Write a task document to begin with, every key explained.

    Example: curate task init pbmc.toml --reference pbmc4k.h5ad
    """
    from curate.atomic import atomic_file
    from curate.build.task.start import starting_document
    from curate.errors import TaskError
    from curate.ontology import Ontology
    from curate.task import TaskDocument

    if path.exists():
        raise TaskError(f"{path} is there already; name another file")
    text = starting_document(
        re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).lstrip("._-") or "task",
        kind,
        folder=path.parent,
        reference=reference,
        ontology=Ontology.load(ontology),
        label_column=label_column,
        split_by=split_by,
    )
    with atomic_file(path) as aside:
        aside.write_text(text, encoding="utf-8")
    TaskDocument.load(path)
    click.echo(f"{path} is written; next: fill it in, and `curate task show {path}`")


@command.command("show")
@click.argument("path", metavar="TASK.toml")
@click.option("--corpus", metavar="NAME", help="The corpus, where the workspace has several.")
@click.option("--embedding", metavar="NAME", help="Bring the reference into the space of this embedding.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def show(home: str | None, /, *, path: str, corpus: str | None, embedding: str | None, as_json: bool) -> None:
    """Show what a task finds in a corpus: cells that match, types that are absent, its reference.

    With --embedding the training half of the reference is projected, as a build would do.

    \b
    Examples:
        curate task show pbmc.toml
        curate task show pbmc.toml --corpus lung --embedding pca --json
    """
    from curate.build.embeddings.embedding import Embedding
    from curate.build.task.report import report_task
    from curate.build.task.task import Task
    from curate.workspace import Workspace

    source = Workspace.find(home).corpus(corpus)
    opened = None if embedding is None else Embedding.open(source.embeddings_path / embedding, source)
    report = report_task(Task.open(path, source), opened)
    for note in report.notes:
        click.echo(f"notice: {note}", err=True)
    if as_json:
        click.echo(json.dumps(report.to_json(), indent=2, ensure_ascii=False))
        return
    from curate.cli.manifests import console_of_data

    _print(console_of_data(), report)


@command.command("schema")
def schema() -> None:
    """Print the JSON Schema of task documents.

    Example: curate task schema > task.schema.json
    """
    from curate.task import json_schema

    click.echo(json.dumps(json_schema(), indent=2))


def _print(console: Console, report: TaskReport) -> None:
    from rich.table import Table

    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold cyan", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, text in _facts(report):
        facts.add_row(name, text)
    console.print(facts)
    if report.types:
        table = Table(box=None, header_style="bold cyan")
        table.add_column("\nwanted type", overflow="fold")
        table.add_column("\nterm", no_wrap=True)
        for title in ("\nexactly", "\nby descent"):
            table.add_column(title, justify="right", no_wrap=True)
        for each in report.types:
            table.add_row(each.label, each.term_id, f"{each.n_exact:,}", f"{each.n_by_descent:,}")
        table.add_row(
            "all, each cell once", "", f"{report.n_exact:,}", f"{report.n_by_descent:,}", style="bold"
        )
        console.print(table)
    if report.values:
        table = Table(box=None, header_style="bold cyan")
        table.add_column("\nwanted", no_wrap=True)
        table.add_column("\nvalue", overflow="fold")
        table.add_column("\ncells", justify="right", no_wrap=True)
        for value in report.values:
            table.add_row(value.column, value.value, f"{value.n_cells:,}")
        console.print(table)
    if report.labels:
        table = Table(box=None, header_style="bold cyan")
        table.add_column("\nlabel of the training half", overflow="fold")
        table.add_column("\nterm", no_wrap=True)
        table.add_column("\ncells", justify="right", no_wrap=True)
        for label, held in report.labels.items():
            table.add_row(label, held.term_id or "none", f"{held.n_cells:,}")
        console.print(table)


def _facts(report: TaskReport) -> list[tuple[str, str]]:
    share = 100 * report.n_matching / report.n_cells
    kinds = f", types {'with' if report.descendants else 'without'} their kinds" if report.types else ""
    facts = [
        ("task", f"{report.name}, {report.kind}"),
        ("corpus", f"{report.corpus}, {report.n_cells:,} cells"),
        ("ontology", report.ontology),
        ("matching", f"{report.n_matching:,} cells ({share:.2f} %){kinds}"),
        ("absent", ", ".join(report.absent) or "nothing that is wanted"),
    ]
    if report.reference is not None and report.reference["kind"] != "corpus":
        held = report.reference
        split = ", ".join(f"{key} {value}" for key, value in held["split"].items())
        facts.append(("reference", f"{held['name']}: {held['n_train'] + held['n_held_out']:,} cells"))
        facts.append(
            ("split", f"{held['n_train']:,} for training, {held['n_held_out']:,} held out ({split})")
        )
    else:
        facts.append(("reference", "the cells of the corpus that match"))
    if report.genes is not None:
        genes = report.genes
        text = f"{genes.n_genes:,}, of them {genes.n_in_corpus:,} of the corpus' {genes.n_corpus:,}"
        if genes.n_model is not None:
            text += f"; {genes.n_in_model:,} of the {genes.n_model:,} of embedding {report.embedding}"
        facts.append(("genes", text))
    if report.n_vectors is not None:
        facts.append(("vectors", f"{report.n_vectors:,} cells of the training half in {report.embedding}"))
    if report.unfit is not None:
        facts.append(("vectors", f"none: {report.unfit}"))
    excluded = [f"{reason} {n:,} cells" for reason, n in report.excluded.items()]
    if report.excludes_reference != "none":
        excluded.append(f"cells of the reference ({report.excludes_reference}), looked for by a build")
    if not report.types and not report.values:
        facts = [(name, text) for name, text in facts if name not in ("matching", "absent")]
        facts.append(("wanted", "no type, tissue, disease or assay: the reference alone says what is"))
    return [*facts, ("excluded", "; ".join(excluded) or "nothing")]
