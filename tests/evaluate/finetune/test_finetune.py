"""Fine-tuning as `classify` asks for it: rows side by side, notices, and artifacts that stay as they are."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

from curate.errors import EvaluationError
from curate.evaluate.evaluate import evaluate
from curate.evaluate.subject import baselines, trained
from curate.evaluate.tasks.classify import CLASSIFY, ClassifySettings

if TYPE_CHECKING:
    from pathlib import Path

    from curate.evaluate.data import EvaluationData
    from curate.evaluate.results import Score
    from curate.evaluate.subject import Subject

BOTH = ClassifySettings(fine_tune=("head", "full"), full_epochs=3, max_epochs=20)


def scores(subject: Subject, data: EvaluationData, settings: ClassifySettings = BOTH) -> list[Score]:
    return CLASSIFY.evaluate(subject, data, settings, seed=0)


def ways(found: list[Score]) -> set[tuple[str, str]]:
    return {(each.setting, each.method) for each in found}


FROZEN = {("zero-shot", "knn"), ("zero-shot", "centroid"), ("zero-shot", "logistic")}


def test_frozen_head_and_full_stand_side_by_side(subject: Subject, data: EvaluationData) -> None:
    found = scores(subject, data)
    assert ways(found) == {*FROZEN, ("head", "mlp"), ("full", "mlp")}
    for setting in ("head", "full"):
        held = {(each.metric, each.part) for each in found if each.setting == setting}
        assert {("macro_f1", ""), ("calibration_error", ""), ("epochs", "")} <= held
        assert ("recall", "cell_type=monocyte") in held
    assert {each.n_cells for each in found if each.metric == "macro_f1"} == {48}
    [notice] = data.notices
    assert notice.startswith("small-1 fine-tuned, seed 0: head ")
    assert ", full 3 epochs (best " in notice


def test_without_being_asked_nothing_is_trained(subject: Subject, data: EvaluationData) -> None:
    assert ways(scores(subject, data, ClassifySettings())) == FROZEN
    assert not data.notices


def test_only_what_is_asked_for_is_given(subject: Subject, data: EvaluationData) -> None:
    full = BOTH.model_copy(update={"fine_tune": ("full",)})
    assert ways(scores(subject, data, full)) == {*FROZEN, ("full", "mlp")}
    head = BOTH.model_copy(update={"fine_tune": ("head",)})
    assert ways(scores(subject, data, head)) == {*FROZEN, ("head", "mlp")}


@pytest.mark.parametrize("tunings", [("full",), ("head", "full")])
def test_what_takes_no_gradients_has_a_head_and_a_notice(
    tunings: tuple[str, ...], data: EvaluationData
) -> None:
    settings = BOTH.model_copy(update={"fine_tune": tunings})
    for subject in baselines():
        assert ways(scores(subject, data, settings)) == {*FROZEN, ("head", "mlp")}
    notices = [notice for notice in data.notices if "gradients" in notice]
    assert notices == [
        f"{name} takes no gradients: it has a head, and is not fine-tuned in full" for name in ("hvg", "pca")
    ]


def test_cells_to_test_on_teach_nothing(
    subject: Subject, data: EvaluationData, monkeypatch: pytest.MonkeyPatch
) -> None:
    from curate.evaluate.finetune import finetune
    from curate.evaluate.tasks.classify import labelled

    seen: list[int] = []
    for name in ("train_head", "train_full"):
        inner = getattr(finetune, name)

        def spy(*args: object, inner: object = inner, **rest: object) -> object:
            seen.extend(len(each) for each in args if hasattr(each, "dtype") and each.dtype.kind == "U")  # type: ignore[arg-type]
            return inner(*args, **rest)  # type: ignore[operator]

        monkeypatch.setattr(finetune, name, spy)
    first = scores(subject, data)
    _, split = labelled(data, BOTH, seed=0)
    assert seen == [192, 192] == [split.train.size] * 2
    # Labels of cells to test on, told wrongly, change what is right and nothing else.
    epochs = [each.value for each in first if each.metric == "epochs"]
    wrong = data.obs["cell_type"].to_list()
    for row in split.test[:5].tolist():
        wrong[row] = "monocyte"
    assert epochs == [each.value for each in scores(subject, data) if each.metric == "epochs"]


def test_the_model_in_memory_stays_as_it_is(subject: Subject, data: EvaluationData) -> None:
    before = {name: value.clone() for name, value in subject.model().state_dict().items()}
    vectors = subject.embed(data).copy()
    scores(subject, data)
    assert not subject.model().training
    assert all(torch.equal(value, before[name]) for name, value in subject.model().state_dict().items())
    subject._vectors.clear()
    assert (subject.embed(data) == vectors).all()


def test_too_few_cells_for_a_validation_part_are_refused(subject: Subject, data: EvaluationData) -> None:
    import numpy as np

    with pytest.raises(EvaluationError, match=r"12 cells of 3 classes, the largest of 6: .* leaves none to"):
        scores(subject, data.take(np.arange(16)), BOTH.model_copy(update={"validation_fraction": 0.05}))


def test_one_class_is_refused(subject: Subject, data: EvaluationData) -> None:
    one = replace(data, obs=data.obs.with_columns(cell_type=data.obs["cell_type"].head(1).item()))
    with pytest.raises(EvaluationError, match=r"1 labels with two cells or more among 240 cells"):
        scores(subject, one)
