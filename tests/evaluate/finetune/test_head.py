"""Heads on arrays: as good as scikit-learn's, the same from the same seed, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.neural_network import MLPClassifier

from curate.errors import EvaluationError, ModelError
from curate.evaluate.finetune.head import Head, cells_of, train_head
from curate.evaluate.finetune.settings import FineTuneSettings, HeadSettings
from curate.evaluate.tasks.classify import CLASSIFY


def blobs(n: int, *, apart: float, n_classes: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Points about the corners of a simplex, in dimensions of unlike scales."""
    rng = np.random.default_rng(seed)
    kind = np.arange(n) % n_classes
    points = rng.normal(size=(n, 6)) + apart * np.eye(n_classes, 6)[kind]
    return points * np.logspace(-2, 2, 6), np.array(list("abcdef"))[kind]


def rings(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Points of a disc, and of a ring about it: no line parts them."""
    rng = np.random.default_rng(0)
    kind = np.arange(n) % 2
    angle, radius = rng.uniform(0, 2 * np.pi, n), rng.uniform(0, 1, n) + 1.5 * kind
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1), np.array(["in", "out"])[kind]


def weights(head: Head) -> list[bytes]:
    return [value.numpy().tobytes() for value in head.layers.state_dict().values()]


def test_classes_that_lines_part_are_told_as_by_logistic_regression() -> None:
    x, labels = blobs(600, apart=8)
    head = train_head(x[:400], labels[:400], seed=0)
    peer = LogisticRegression(max_iter=2000).fit(x[:400] / x[:400].std(axis=0), labels[:400])
    assert (head.predict(x[400:]).labels == labels[400:]).mean() == 1
    assert peer.score(x[400:] / x[:400].std(axis=0), labels[400:]) == 1


def test_overlapping_classes_are_told_as_by_the_mlp_of_scikit_learn() -> None:
    x, labels = blobs(1200, apart=2)
    head = train_head(x[:800], labels[:800], seed=0)
    mean, deviation = x[:800].mean(axis=0), x[:800].std(axis=0)
    peer = MLPClassifier((128,), early_stopping=True, max_iter=200, random_state=0)
    peer.fit((x[:800] - mean) / deviation, labels[:800])
    ours = f1_score(labels[800:], head.predict(x[800:]).labels, average="macro")
    theirs = f1_score(labels[800:], peer.predict((x[800:] - mean) / deviation), average="macro")
    assert ours > 0.75
    assert ours > theirs - 0.02


def test_what_no_line_parts_is_told_apart_and_by_a_head_without_hidden_layers_not() -> None:
    x, labels = rings(600)
    bent, straight = (
        train_head(x[:400], labels[:400], HeadSettings(hidden=hidden), seed=0) for hidden in ((64,), ())
    )
    assert (bent.predict(x[400:]).labels == labels[400:]).mean() > 0.98
    assert (straight.predict(x[400:]).labels == labels[400:]).mean() < 0.75


def test_the_same_seed_gives_the_same_bits_and_another_one_others() -> None:
    x, labels = blobs(300, apart=2)
    before = torch.get_rng_state().numpy().tobytes()
    first, again, other = (train_head(x, labels, seed=seed) for seed in (3, 3, 4))
    assert weights(first) == weights(again) != weights(other)
    assert first.curve == again.curve
    assert torch.get_rng_state().numpy().tobytes() == before


def test_probabilities_are_of_the_classes_in_order() -> None:
    x, labels = blobs(300, apart=8)
    head = train_head(x, labels, seed=0)
    probabilities = head.probabilities(x)
    assert probabilities.shape == (300, 4)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(300))
    guess = head.predict(x)
    assert guess.confidence is not None
    assert guess.confidence.tolist() == probabilities.max(axis=1).tolist()
    assert head.classes[probabilities.argmax(axis=1)].tolist() == guess.labels.tolist()


def test_the_best_epoch_is_kept_and_training_ends_by_patience() -> None:
    x, labels = blobs(300, apart=1)
    curve = train_head(x, labels, HeadSettings(patience=3, learning_rate=0.03), seed=0).curve
    assert curve.n_epochs == curve.best_epoch + 3 < 200
    # Lower than all before it by more than the tolerance, and by no more undercut by those after it.
    assert curve.losses[curve.best_epoch] < min(curve.losses) + 1e-4
    assert curve.n_steps == 3 * curve.n_epochs


def test_what_is_lower_by_a_hair_is_no_better() -> None:
    x, labels = blobs(300, apart=1)
    curve = train_head(x, labels, HeadSettings(patience=3, learning_rate=3e-7, dropout=0), seed=0).curve
    # Each epoch is better than that before it, and all of them by less than the tolerance of 1e-4.
    assert all(later < earlier for earlier, later in zip(curve.losses, curve.losses[1:], strict=False))
    assert curve.losses[0] - curve.losses[-1] < 1e-4
    assert (curve.best_epoch, curve.n_epochs) == (0, 3)


def test_balanced_weights_find_more_of_a_rare_class() -> None:
    x, labels = blobs(2000, apart=1.5, n_classes=2)
    few = np.concatenate([np.flatnonzero(labels == "a"), np.flatnonzero(labels == "b")[:50]])
    test_x, test_labels = blobs(1000, apart=1.5, n_classes=2, seed=1)
    is_rare = test_labels == "b"
    recall = {
        how: (
            train_head(x[few], labels[few], HeadSettings(class_weights=how), seed=0)
            .predict(test_x[is_rare])
            .labels
            == "b"
        ).mean()
        for how in ("balanced", "none")
    }
    assert recall["balanced"] > recall["none"] + 0.2


def test_the_validation_part_is_drawn_within_classes_and_leaves_every_class_cells() -> None:
    labels = np.array(["a"] * 50 + ["b"] * 30 + ["c"])
    classes, cells = cells_of(labels, HeadSettings(), seed=0)
    assert classes.tolist() == ["a", "b", "c"]
    assert sorted([*cells.learned, *cells.validation]) == list(range(81))
    assert np.unique(labels[cells.validation], return_counts=True)[1].tolist() == [5, 3]
    # 81 / (3 n) each.
    assert cells.class_weights.tolist() == pytest.approx([0.54, 0.9, 27])


def test_bad_input_is_refused() -> None:
    x, labels = blobs(40, apart=1)
    with pytest.raises(EvaluationError, match=r"one class only \(a\)"):
        train_head(x, np.full(40, "a"), seed=0)
    with pytest.raises(EvaluationError, match=r"8 cells of 4 classes, the largest of 2: .*leaves none"):
        train_head(x[:8], labels[:8], seed=0)
    with pytest.raises(EvaluationError, match=r"vectors of shape \(39, 6\) for 40 labels"):
        train_head(x[:39], labels, seed=0)
    x[3, 1] = np.nan
    with pytest.raises(EvaluationError, match=r"1 of 40 vectors for a head on scvi are not finite"):
        train_head(x, labels, seed=0, what="a head on scvi")


def test_a_loss_that_is_no_number_ends_the_training() -> None:
    x, labels = blobs(200, apart=1)
    with pytest.raises(
        ModelError, match=r"fine-tuning a head diverged: after \d+ steps the loss .* is (nan|inf)"
    ):
        train_head(x, labels, HeadSettings(learning_rate=1e30), seed=0)


def test_settings_are_read_from_texts_and_kept_in_one_order() -> None:
    settings = CLASSIFY.with_changes({"fine_tune": "full,head", "hidden": "64,32"})
    assert isinstance(settings, FineTuneSettings)
    assert settings.fine_tune == ("head", "full")
    assert settings.hidden == (64, 32)
    assert CLASSIFY.with_changes({"fine_tune": ["head", "head"]}).fine_tune == ("head",)  # type: ignore[attr-defined]
    with pytest.raises(EvaluationError, match=r"setting fine_tune\.0 of task classify"):
        CLASSIFY.with_changes({"fine_tune": "all"})
