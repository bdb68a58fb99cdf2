"""`curate census`: summarise a release or a store; make a store from h5ad files."""

from __future__ import annotations

import click


@click.group()
def command() -> None:
    """Summarise a Census release; build a Census-layout store from h5ad files."""
