"""`curate info`."""

from __future__ import annotations

import json

import click


@click.command("info")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(home: str | None, /, *, as_json: bool) -> None:
    """Show the workspace: its census, corpora, embeddings and manifests.

    Example: curate -C demo info
    """
    from curate.build.embeddings.embedding import embedding_names
    from curate.manifests.registry import Registry
    from curate.workspace import Workspace

    workspace = Workspace.find(home)
    corpora = [workspace.corpus(name) for name in workspace.corpus_names()]
    registry = Registry(workspace.manifests_path)
    names = registry.names()
    damaged = [f"{entry.name}@v{entry.version}" for entry in registry.entries() if entry.problem]
    report = {
        "workspace": str(workspace.root),
        "census": workspace.settings.census.model_dump(),
        "corpora": [
            {
                "name": corpus.name,
                "id": corpus.id,
                "n_cells": corpus.n_cells,
                "label": corpus.header.census.label,
                "embeddings": embedding_names(corpus),
            }
            for corpus in corpora
        ],
        "manifests": names,
        "damaged_manifests": damaged,
    }
    if as_json:
        click.echo(json.dumps(report, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    from curate.manifests.page import simulated

    census = workspace.settings.census
    table = Table("corpus", "id", "cells", "embeddings", box=None)
    table.columns[2].justify = "right"
    for corpus in corpora:
        table.add_row(
            corpus.name, corpus.id[:12], f"{corpus.n_cells:,}", ", ".join(embedding_names(corpus)) or "none"
        )
    console = Console()
    console.print(f"workspace {workspace.root}", highlight=False)
    console.print(f"census    {census.uri or census.release}", highlight=False)
    console.print(f"manifests {len(names)} (`curate manifests list`)", highlight=False)
    if damaged:
        console.print(f"damaged   {', '.join(damaged)}", highlight=False, markup=False, style="red")
    if corpora:
        console.print(table)
        if line := simulated({corpus.name: corpus.header.census.label for corpus in corpora}):
            console.print(line, highlight=False, markup=False, style="yellow", soft_wrap=True)
    else:
        console.print("no corpus; make one with `curate corpus build --recipe NAME`")
