"""Settings of heads, and of networks that are trained with them."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, field_validator

from curate.documents import Listed
from curate.evaluate.tasks.task import TaskSettings

Tuning = Literal["head", "full"]
Positive = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0)]


class HeadSettings(TaskSettings):
    """Settings of a head: an MLP from standardised vectors to labels.

    Hidden units, dropout and batch size are those of the study's heads on scVI and PCA; its learning rate is
    1e-4, on vectors that are not standardised.

    Attributes
    ----------
    hidden
        Units of the hidden layers, as "128" or "256,128"; none for a linear head.
    dropout
        After each hidden layer.
    class_weights
        "balanced": every class weighs alike in the loss, as in scTab; "none": every cell.
    learning_rate, weight_decay
        Of AdamW.
    batch_size
        Cells of a step.
    validation_fraction
        Share of the cells to learn from, within each class, by whose loss training stops.
    max_epochs, patience
        Passes at most over the cells, and passes in a row without a better validation loss after which
        training stops. The weights of the best are kept.
    """

    hidden: Listed[Positive] = (128,)
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    class_weights: Literal["balanced", "none"] = "balanced"
    learning_rate: Rate = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    batch_size: Positive = 128
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    max_epochs: Positive = 200
    patience: Positive = 10


class FineTuneSettings(HeadSettings):
    """Settings of fine-tuning.

    Attributes
    ----------
    fine_tune
        What is tried beside the frozen model: "head", an MLP on its vectors; "full", the same and then the
        whole model with it.
    encoder_learning_rate
        Of the model in full fine-tuning; the head keeps `learning_rate`.
    full_epochs, full_patience
        As `max_epochs` and `patience`, once the whole model is trained.
    max_steps
        Most steps in which the whole model is trained; as many as the epochs have when None.
    """

    fine_tune: Listed[Tuning] = ()
    encoder_learning_rate: Rate = 1e-4
    full_epochs: Positive = 30
    full_patience: Positive = 5
    max_steps: Positive | None = 1000

    @field_validator("fine_tune", mode="after")
    @classmethod
    def _in_order(cls, value: tuple[Tuning, ...]) -> tuple[Tuning, ...]:
        # The same asked for in another order is the same.
        return tuple(each for each in get_args(Tuning) if each in value)
