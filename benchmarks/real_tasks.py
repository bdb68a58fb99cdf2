"""Every model, its untrained control and every baseline on real tasks that training saw nothing of."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
import polars as pl

from benchmarks.machine import Machine
from benchmarks.measure import curate, done
from benchmarks.zero_shot import CORPUS, make_workspace
from curate.evaluate.results import read_results
from curate.evaluate.tasks import TASKS
from curate.train.models import MODELS

if TYPE_CHECKING:
    from curate.evaluate.tasks.task import EvaluationTask

NAME = "others"
#: Of the files that are left one has labels: positives are of the same data set.
OPTIONS = {"contrastive": ("--set", "across=none")}


@dataclass(frozen=True)
class Trial:
    """A task on a file: what is asked of `curate evaluate`, and what a reader must know."""

    task: str
    file: str
    options: tuple[str, ...] = ()
    note: str = ""


FEW_GENES = "the file has few of the models' genes (see genes)"
TUNED = ("--fine-tune", "both", "--set", "max_steps=100")
TRIALS = (
    Trial("classify", "pbmc4k_soupx", TUNED, "fine-tuned beside, in full for at most 100 steps"),
    Trial("classify", "kang_pbmc_muscat", TUNED, "fine-tuned beside, in full for at most 100 steps"),
    Trial(
        "integrate",
        "lung_celllines_mixology",
        (
            *("--where", "demuxlet_cls == 'SNG'"),
            *("--batch-column", "assay", "--label-column", "cell_line"),
        ),
        "batch: protocol; truth: genotype; doublets left out",
    ),
    Trial("integrate", "lung_dc_rogue", ("--batch-column", "donor_id"), "batch: patient"),
    Trial("perturb", "kang_pbmc_muscat", ("--set", "stratum_column=cell_type"), "donors held out in turn"),
    Trial("perturb", "glioblastoma_panobinostat_lemur", (), f"patients held out in turn; {FEW_GENES}"),
    Trial(
        "perturb",
        "papalexi_thp1_eccite_sceptre",
        ("--context-column", "batch"),
        f"replicates held out in turn; {FEW_GENES}",
    ),
)
EVALUATED = tuple(dict.fromkeys(each.file for each in TRIALS))


@click.command()
@click.argument("workspace", type=click.Path(path_type=Path))
@click.option("--cells", default=2500, show_default=True, help="Of the subset that models are trained on.")
@click.option("--model", "models", multiple=True, default=tuple(MODELS), show_default=True)
@click.option("--preset", default="tiny", show_default=True)
@click.option("-o", "--output", "out", type=click.Path(path_type=Path), required=True, help="A .md file.")
def command(workspace: Path, *, cells: int, models: tuple[str, ...], preset: str, out: Path) -> None:
    """Train every model on other real data in WORKSPACE, made when it is not there, and try all tasks.

    What was trained and evaluated before is found again.
    """
    workspace = workspace.resolve()
    shared = Path(os.environ.get("CURATE_SHARED", "../shared")).resolve()
    if not (workspace / "curate.toml").is_file():
        make_workspace(workspace, shared)
    overlap = [part for name in EVALUATED for part in ("--exclude-overlap", str(_file(shared, name)))]
    chosen = ("--strategy", "random", "--n-cells", cells, "--name", NAME)
    done(curate("build", *chosen, *overlap), workspace)
    trained = []
    for model in models:
        click.echo(f"training {model}", err=True)
        asked = (model, NAME, "--preset", preset, *OPTIONS.get(model, ()))
        trained.append(json.loads(done(curate("train", *asked, "--json"), workspace).stdout))
    sections = []
    for trial in TRIALS:
        click.echo(f"{trial.task} on {trial.file}", err=True)
        path = workspace / f"{trial.task}-{trial.file}.parquet"
        path.unlink(missing_ok=True)
        names = [each["name"] for each in trained]
        data = ("--data", str(_file(shared, trial.file)), "--min-overlap", "0", *trial.options)
        said = done(curate("evaluate", trial.task, *names, *data, "-o", path), workspace).stderr
        sections.append(_section(trial, read_results([path]), said))
    n_cells = trained[0]["trained_on"]["n_cells"]["train"]
    out.write_text(_page(sections, trained, n_cells, preset))
    click.echo(f"written: {out}")


def _file(shared: Path, name: str) -> Path:
    return shared / "data" / f"{name}.h5ad"


def _section(trial: Trial, table: pl.DataFrame, said: str) -> str:
    """Return a table: a row for each subject and method, the headline metrics, as they are and normalised."""
    card = TASKS[trial.task]
    whole = table.filter(pl.col("part") == "")
    names = [each for each in card.headline if (whole["metric"] == each).any()]
    leakage = ", ".join(sorted(set(whole["leakage"].drop_nulls()) - {"none"})) or "none"
    lines = [f"## {trial.task}: {trial.file}", ""]
    if trial.note:
        lines += [f"{trial.note[0].upper()}{trial.note[1:]}.", ""]
    heads = ["model", "kind", "how", "genes", *(each.replace("_", " ") for each in names)]
    lines += [_cells(heads), "|" + "---|" * len(heads)]
    for row in _wide(card, whole, names).iter_rows(named=True):
        how = row["method"] if row["setting"] == "zero-shot" else f"{row['method']} ({row['setting']})"
        genes = "" if row["genes_found"] is None else f"{row['genes_found']:.1%}"
        lines.append(_cells([row["model"], row["kind"], how, genes, *(_number(row, name) for name in names)]))
    lines += ["", f"Leakage: {leakage}."]
    lines += [f"- {line.strip()}" for line in dict.fromkeys(said.splitlines()) if line.startswith(trial.file)]
    return "\n".join(lines)


def _wide(card: EvaluationTask, whole: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    by = ["model", "kind", "setting", "method", "genes_found"]
    of = [
        pl.col(column).filter(pl.col("metric") == name).first().alias(f"{column} {name}")
        for name in names
        for column in ("value", "normalised")
    ]
    wide = whole.group_by(by, maintain_order=True).agg(*of)
    better = whole.filter(pl.col("metric") == names[0])["higher_is_better"][0]
    return wide.sort(f"value {names[0]}", descending=better is not False, nulls_last=True)


def _number(row: dict[str, object], name: str) -> str:
    value, normalised = row[f"value {name}"], row[f"normalised {name}"]
    if value is None:
        return ""
    return f"{value:.3f}" if normalised is None else f"{value:.3f} ({normalised:.2f})"


def _cells(texts: list[str]) -> str:
    return "| " + " | ".join(texts) + " |"


def _page(sections: list[str], trained: list[dict[str, object]], n_cells: int, preset: str) -> str:
    steps = ", ".join(f"{each['model']} {each['cost']['n_steps']:,}" for each in trained)  # type: ignore[index]
    others = ", ".join(name for name in CORPUS if name not in EVALUATED)
    return "\n".join(
        [
            "# Real tasks",
            "",
            f"Models of preset {preset}, trained on {n_cells:,} cells at random of real public files "
            f"({others}, and what is left of the others), without any cell that one of the evaluated files "
            "holds, by equal or nearly equal counts. Such small models on so few cells say nothing of what "
            "large ones do; they show what the tables hold.",
            "",
            f"Steps: {steps}. Untrained: the same start, no step. Baselines are made of the evaluated "
            "data. One seed. In brackets the score normalised: 0 is the trivial baseline of the task, 1 its "
            "positive control, where it has one. genes: share of the model's genes that the file has; the "
            "others count as zero.",
            "",
            "`python -m benchmarks real-tasks WORKSPACE -o docs/real-tasks.md`, "
            f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC.",
            "",
            f"Machine: {Machine.here()}.",
            "",
            *(f"{section}\n" for section in sections),
        ]
    )
