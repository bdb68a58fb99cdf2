"""Classification: from vectors of labelled cells to the labels of others.

Zero-shot: the representation stays as it is, and probes learn from four fifths of the cells of the
evaluation data and name the others, as in DenAdel et al. 2026 (k-NN, k = 5, stratified). Fine-tuned: a head
on the representation, or the whole model with a head, learns from the same cells and names the same others.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Final, Literal

import numpy as np
from pydantic import Field

from curate.documents import Listed
from curate.errors import EvaluationError
from curate.evaluate.data import logged
from curate.evaluate.finetune.finetune import fine_tuned
from curate.evaluate.finetune.settings import FineTuneSettings
from curate.evaluate.metrics import STUDY
from curate.evaluate.metrics.classification import (
    OVERALL,
    Predictions,
    accuracy,
    by_class,
    calibration_error,
    hop_distance,
    macro_f1,
)
from curate.evaluate.probes import LOGISTIC_ON_GENES, PROBES
from curate.evaluate.probes.probes import N_NEIGHBORS
from curate.evaluate.probes.split import TEST_FRACTION, split_cells
from curate.evaluate.results import Score
from curate.evaluate.tasks.task import EvaluationTask
from curate.nearest import nearest
from curate.ontology import GUIDE, Ontology
from curate.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from curate.evaluate.data import EvaluationData
    from curate.evaluate.probes.probes import Guess
    from curate.evaluate.probes.split import ProbeSplit
    from curate.evaluate.results import Setting
    from curate.evaluate.subject import Subject

Probe = Literal["knn", "centroid", "logistic"]
MLP: Final = "mlp"
MOST_NAMED: Final = 10
KNOWN, ABSENT = "types in training", "types absent from training"


class ClassifySettings(FineTuneSettings):
    """Settings of `classify`, and of the fine-tuning that is asked for.

    Attributes
    ----------
    label_column
        Column of obs with the labels. Cells of unknown label are left out, and labels with one cell.
    group_column
        Column of obs whose values stay on one side of the split, such as donor_id; cells are split one by one
        where it is None, as in the study.
    terms
        Term of the Cell Ontology (id or label) of labels that are no label or synonym of a type.
    ontology
        Whether scores that know the Cell Ontology are given: "auto" where a label is a type of it.
    """

    label_column: str = "cell_type"
    group_column: str | None = None
    probes: Listed[Probe] = ("knn", "centroid", "logistic")
    n_neighbors: Annotated[int, Field(ge=1)] = N_NEIGHBORS
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = TEST_FRACTION
    terms: dict[str, str] = Field(default={})
    ontology: Literal["auto", "yes", "no"] = "auto"


def evaluate(subject: Subject, data: EvaluationData, settings: ClassifySettings, *, seed: int) -> list[Score]:
    """Try the probes on a representation, and what it becomes by fine-tuning.

    Raises
    ------
    EvaluationError
        When there is no such column, one class only, or fewer cells than neighbours; or when scores of the
        ontology are asked for and no label is a type of it.
    ModelError
        When the data have too few of the model's genes, or fine-tuning diverges.
    """
    labels, split = labelled(data, settings, seed=seed)
    vectors = subject.embed(data)
    truth, types = labels[split.test], _types_of(subject)
    found: list[Score] = []
    for name in settings.probes:
        options = {"n_neighbors": settings.n_neighbors} if name == "knn" else {}
        guess = PROBES[name](vectors[split.train], labels[split.train], vectors[split.test], **options)
        found += scores(guess, truth, settings, method=name, trained_types=types)
    if settings.fine_tune:
        for tuned in fine_tuned(subject, data, labels, split, settings, seed=seed):
            found += scores(
                tuned.guess, truth, settings, method=MLP, setting=tuned.setting, trained_types=types
            )
            found.append(Score(tuned.setting, MLP, "epochs", tuned.curve.best_epoch, len(truth)))
    return found


def baselines(data: EvaluationData, settings: ClassifySettings, *, seed: int) -> list[Score]:
    """Try what needs no representation: the majority, and logistic regression on all genes."""
    labels, split = labelled(data, settings, seed=seed)
    log = logged(data.counts)
    found: list[Score] = []
    for method in ("majority", LOGISTIC_ON_GENES):
        guess = PROBES[method](log[split.train], labels[split.train], log[split.test])
        found += scores(guess, labels[split.test], settings, method=method)
    return found


def labelled(
    data: EvaluationData, settings: ClassifySettings, *, seed: int
) -> tuple[NDArray[np.str_], ProbeSplit]:
    """Return the labels of the cells, text [n_cells], and which of them are learned from and tested on."""
    labels = data.labels(settings.label_column)
    groups = data.labels(settings.group_column, what="groups") if settings.group_column else None
    split = split_cells(labels, seed=seed, test_fraction=settings.test_fraction, groups=groups)
    if split.n_unknown:
        data.notice(f"{counted(split.n_unknown, 'cell')} of unknown {settings.label_column} left out")
    _check_terms(settings, set(labels.tolist()))
    held = np.unique(np.concatenate([labels[split.train], labels[split.test]])).tolist()
    if split.too_few:
        data.notice(f"labels with too few cells left out: {', '.join(split.too_few)}")
    if settings.ontology != "no" and (strange := _without_term(held, settings)):
        data.notice(_told_of(strange, len(held), settings.label_column))
    return labels, split


def scores(
    guess: Guess,
    truth: NDArray[np.str_],
    settings: ClassifySettings,
    *,
    method: str,
    setting: Setting = "zero-shot",
    trained_types: frozenset[str] | None = None,
) -> list[Score]:
    """Score what was said of cells: over all of them, by class, and by whether training had their types.

    Parameters
    ----------
    trained_types
        Labels, and terms of the Cell Ontology, of the cells that the model was trained on; None where that is
        not known.
    """
    held = Predictions.of(truth.tolist(), guess.labels.tolist(), confidence=guess.confidence)
    n = len(truth)
    found = [Score(setting, method, name, score(held), n) for name, score in OVERALL.items()]
    if guess.confidence is not None:
        found.append(Score(setting, method, "calibration_error", calibration_error(held), n))
    term_of = _terms(tuple(sorted({*held.classes})), settings)
    if term_of is not None:
        ontology = _ontology()
        kind = held.forgiving(ontology, term_of)
        found += [
            Score(setting, method, "ontology_accuracy", accuracy(kind), n),
            Score(setting, method, "ontology_macro_f1", macro_f1(kind), n),
        ]
        hops, n_hops = hop_distance(held, ontology, term_of)
        if n_hops:
            found.append(Score(setting, method, "hop_distance", hops, n_hops))
    for row in by_class(held).iter_rows(named=True):
        part = f"{settings.label_column}={row['label']}"
        found += [
            Score(setting, method, name, row[name], row["n_cells"], part)
            for name in ("precision", "recall", "f1")
        ]
    if trained_types is not None:
        found += _open_set(truth, guess, trained_types, term_of, setting, method)
    return found


def _open_set(
    truth: NDArray[np.str_],
    guess: Guess,
    trained_types: frozenset[str],
    term_of: Callable[[str], str | None] | None,
    setting: Setting,
    method: str,
) -> list[Score]:
    """Score the cells of types that training had, and of types that it had not, apart."""
    names = np.unique(truth).tolist()
    known = {
        name
        for name in names
        if name in trained_types or (term_of is not None and term_of(name) in trained_types)
    }
    is_known = np.isin(truth, list(known))
    found = []
    for part, cells in ((KNOWN, is_known), (ABSENT, ~is_known)):
        if cells.any():
            held = Predictions.of(truth[cells].tolist(), guess.labels[cells].tolist())
            n = int(cells.sum())
            found += [
                Score(setting, method, "accuracy", accuracy(held), n, part),
                Score(setting, method, "macro_recall", OVERALL["macro_recall"](held), n, part),
            ]
    return found


def _types_of(subject: Subject) -> frozenset[str] | None:
    """Return labels and terms of the training cells' types; None where the corpus is not at hand."""
    manifest = subject.manifest
    corpus = manifest.find_corpus() if manifest is not None else None
    if manifest is None or corpus is None:
        return None
    columns = [name for name in ("cell_type", "cell_type_ontology_term_id") if name in corpus.header.columns]
    obs = manifest.obs(columns)
    trained = obs.filter(obs["split"].cast(str) == "train")
    return frozenset(
        value for name in columns for value in trained[name].cast(str).drop_nulls().unique().to_list()
    )


@lru_cache(maxsize=1)
def _ontology() -> Ontology:
    return Ontology.load(GUIDE)


def _check_terms(settings: ClassifySettings, labels: set[str]) -> None:
    """Refuse terms of labels that the data do not have, and what is no term of the ontology."""
    for label, term in settings.terms.items():
        if label not in labels:
            raise EvaluationError(
                f"a term is given for {label!r}, which is no {settings.label_column} of these cells; "
                f"{nearest(label, labels)}"
            )
        if _ontology().id_of(term) is None:
            raise EvaluationError(
                f"{term!r}, the term of {label!r}, is no term of the Cell Ontology {_ontology().release}; "
                "name one as CL:0000623 or by its label"
            )


def _terms(names: tuple[str, ...], settings: ClassifySettings) -> Callable[[str], str | None] | None:
    """Return what finds the term of a label; None where the ontology is of no use."""
    if settings.ontology == "no":
        return None
    found = {name: _ontology().id_of(settings.terms.get(name, name)) for name in names}
    if not any(found.values()):
        if settings.ontology == "yes":
            raise EvaluationError(
                f"none of the {len(names)} labels of {settings.label_column} is a type of the Cell Ontology "
                f"({', '.join(names[:5])}); name their terms (--term LABEL=TERM), or leave ontology=yes out"
            )
        return None
    return found.get


def _without_term(names: Sequence[str], settings: ClassifySettings) -> list[str]:
    return [name for name in names if _ontology().id_of(settings.terms.get(name, name)) is None]


def _told_of(strange: list[str], n_labels: int, column: str) -> str:
    """Return what follows for scores from labels that have no term."""
    if len(strange) == n_labels:
        said = f"none of {n_labels} labels of {column} has a term of the Cell Ontology, so it gives no scores"
    else:
        said = (
            f"of {n_labels} labels of {column}, {len(strange)} without a term of the Cell Ontology, in whose "
            "scores such a label fits only itself"
        )
    names = ", ".join(strange[:MOST_NAMED]) + ", …" * (len(strange) > MOST_NAMED)
    return f"{said}: {names}; name terms with --term LABEL=TERM (in a grid: terms)"


CLASSIFY = EvaluationTask(
    name="classify",
    summary="name the type of cells by probes on their vectors",
    reference=STUDY,
    settings=ClassifySettings,
    evaluate=evaluate,
    baselines=baselines,
    metrics=(
        *OVERALL,
        "calibration_error",
        "ontology_accuracy",
        "ontology_macro_f1",
        "hop_distance",
        "epochs",
        "precision",
        "recall",
        "f1",
    ),
    headline=("macro_f1", "accuracy", "ontology_macro_f1", "calibration_error"),
    trivial="majority",
)
