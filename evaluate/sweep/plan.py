"""What a sweep will do and take, before anything runs: plan.json.

1. the names of the grid are looked up;
2. what follows from it: subsets, runs, evaluations;
3. the jobs, what is equal once;
4. cells, hours and cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from curate.build.requests import cells_of_fraction
from curate.documents import Document, read_header
from curate.errors import SweepError
from curate.evaluate.sweep.estimate import Speeds, expected
from curate.evaluate.sweep.expand import expand
from curate.evaluate.sweep.jobs import Kind, jobs_of
from curate.evaluate.sweep.settle import settle

if TYPE_CHECKING:
    from curate.evaluate.sweep.expand import Design, Evaluation
    from curate.evaluate.sweep.folder import SweepFolder
    from curate.evaluate.sweep.grid import Grid
    from curate.evaluate.sweep.jobs import Job, Jobs
    from curate.evaluate.sweep.settle import Settled
    from curate.workspace import Workspace

FORMAT: Final = 1
STAGES: Final[dict[str, tuple[Kind, ...]]] = {
    "subsets": ("overlap", "manifest"),
    "counts": ("shards",),
    "training": ("train",),
    "leakage": ("leakage",),
    "evaluation": ("baselines", "evaluate"),
}


class JobRecord(Document):
    """A job, without what is asked for in it; see `curate.evaluate.sweep.jobs.Job`."""

    key: str
    kind: Kind
    called: str
    needs: tuple[str, ...]
    work: str
    amount: float | None
    limit_s: float | None
    expected_s: float | None


class RowsRecord(Document):
    """Where the results of an evaluation stand in the table, by what the grid calls them.

    Attributes
    ----------
    job
        Whose rows they are; of two places of the grid where the same was asked for, one job.
    strategy, model
        None of baselines.
    dataset
        With the label of the task, where it has one.
    """

    job: str
    strategy: str | None
    model: str | None
    dataset: str


class Numbers(Document):
    """How much a sweep is.

    Attributes
    ----------
    n_settings
        Subsets but for the seed.
    n_manifests
        Subsets, and the subsets under those that are spiked.
    n_models, n_fits
        Places of the grid with a trained model; models that are trained, what is equal once.
    n_evaluations
        Of trained models; those of untrained controls and of baselines of the data are apart.
    n_left_out
        Combinations that the grid excludes.
    cells_chosen, cells_trained
        Cells of all subsets; cells that all trainings see at most, one twice counted twice, None where time
        alone ends one of them.
    hours
        By stage, one job after the other, of the jobs of which it is known.
    unknown
        Kinds of work of which no rate is known, and how many jobs of each.
    cost
        Of the known hours at `price_per_hour`.
    """

    n_settings: int
    n_seeds: int
    n_manifests: int
    n_models: int
    n_fits: int
    n_controls: int
    n_per_model: float
    n_evaluations: int
    n_control_evaluations: int
    n_baselines: int
    n_left_out: int
    n_corpus_cells: int
    cells_chosen: int
    cells_trained: float | None
    hours: dict[str, float]
    unknown: dict[str, int]
    price_per_hour: float | None
    currency: str
    cost: float | None

    @property
    def total_hours(self) -> float:
        """Of all stages."""
        return sum(self.hours.values())


class PlanDocument(Document):
    """The content of plan.json.

    Attributes
    ----------
    absent
        What is not here yet and a run needs.
    """

    format: Literal[1] = FORMAT
    name: str
    corpus: str | None
    numbers: Numbers
    absent: tuple[str, ...]
    jobs: tuple[JobRecord, ...]
    rows: tuple[RowsRecord, ...]


@dataclass(frozen=True, eq=False)
class Plan:
    """A grid, what follows from it, and the jobs."""

    grid: Grid
    settled: Settled
    design: Design
    jobs: Jobs
    document: PlanDocument


def make_plan(grid: Grid, workspace: Workspace | None, *, price_per_hour: float | None = None) -> Plan:
    """Plan a sweep.

    Parameters
    ----------
    workspace
        Where the corpus and measured rates are; without one the grid says how many cells there are.
    price_per_hour
        Instead of that of the grid.

    Raises
    ------
    SweepError
        With all that is wrong with the grid.
    """
    # 1. Looked up.
    settled = settle(grid, workspace)
    settled.refuse_faults()
    # 2. What follows.
    design = expand(grid)
    # 3. The jobs.
    jobs = jobs_of(settled, design)
    # 4. Cells, hours and cost.
    speeds = Speeds(grid.rates, workspace.root if workspace is not None else None)
    price = price_per_hour if price_per_hour is not None else grid.price_per_hour
    document = PlanDocument(
        name=grid.name,
        corpus=settled.corpus.name if settled.corpus is not None else grid.corpus,
        numbers=_numbers(settled, design, jobs, speeds, price),
        absent=tuple(dict.fromkeys(settled.absent)),
        jobs=tuple(_record(job, speeds) for job in jobs.in_order),
        rows=tuple(_rows(grid, each, jobs) for each in (*design.baselines, *design.evaluations)),
    )
    return Plan(grid, settled, design, jobs, document)


def read_plan(folder: SweepFolder) -> PlanDocument:
    """Read the plan of a sweep.

    Raises
    ------
    SweepError
        When there is none, it is damaged, or of another format.
    """
    return read_header(
        folder.plan_path,
        PlanDocument,
        number=FORMAT,
        error=SweepError,
        noun="holds a sweep",
        absent=f"{folder.path} holds no sweep (plan.json); run one with `curate sweep run GRID.toml`",
        remedy="run the sweep again: it goes on, and writes a new one",
    )


def _numbers(settled: Settled, design: Design, jobs: Jobs, speeds: Speeds, price: float | None) -> Numbers:
    trained = [each for each in design.evaluations if each.run is not None and not each.run.is_untrained]
    n_fits = len({jobs.of_run[run.key] for run in design.trained})
    fits = [job for job in jobs.in_order if job.kind == "train"]
    hours, unknown = {}, dict[str, int]()
    for stage, kinds in STAGES.items():
        found = expected([job for job in jobs.in_order if job.kind in kinds], speeds)
        hours[stage] = found.known_s / 3600
        unknown |= found.unknown
    amounts = [job.amount for job in fits]
    return Numbers(
        n_settings=len(design.settings),
        n_seeds=len(settled.grid.seeds),
        n_manifests=sum(job.kind == "manifest" for job in jobs.in_order),
        n_models=len(design.trained),
        n_fits=n_fits,
        n_controls=len(design.runs) - len(design.trained),
        n_per_model=len(trained) / len(design.trained),
        n_evaluations=len(trained),
        n_control_evaluations=len(design.evaluations) - len(trained),
        n_baselines=len(design.baselines),
        n_left_out=design.n_left_out,
        n_corpus_cells=settled.n_cells,
        cells_chosen=sum(cells_of_fraction(each.fraction, settled.n_cells) for each in design.subsets),
        cells_trained=None if None in amounts else sum(each for each in amounts if each is not None),
        hours=hours,
        unknown=unknown,
        price_per_hour=price,
        currency=settled.grid.currency,
        cost=None if price is None else price * sum(hours.values()),
    )


def _record(job: Job, speeds: Speeds) -> JobRecord:
    return JobRecord(
        key=job.key,
        kind=job.kind,
        called=job.called,
        needs=job.needs,
        work=job.work,
        amount=job.amount,
        limit_s=job.limit_s,
        expected_s=speeds.seconds(job),
    )


def _rows(grid: Grid, evaluation: Evaluation, jobs: Jobs) -> RowsRecord:
    run, key, label = evaluation.run, jobs.of_evaluation[evaluation], evaluation.task.label
    dataset = evaluation.dataset if label is None else f"{evaluation.dataset}, {label}"
    if run is None:
        return RowsRecord(job=key, strategy=None, model=None, dataset=dataset)
    has_several = len(run.model.budgets or grid.budgets) > 1 and not run.is_untrained
    return RowsRecord(
        job=key,
        strategy=run.subset.strategy,
        model=f"{run.model.called} ({run.budget.called})" if has_several else run.model.called,
        dataset=dataset,
    )
