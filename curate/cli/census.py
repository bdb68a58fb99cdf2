"""`curate census`: summarise a release or a store; make a store from h5ad files."""

from __future__ import annotations

import click

from curate.cli.census_create import create
from curate.cli.census_info import info


@click.group()
def command() -> None:
    """Summarise a Census release; build a Census-layout store from h5ad files."""


command.add_command(info)
command.add_command(create)
