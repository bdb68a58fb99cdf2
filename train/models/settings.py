"""What decides a model beside the data: settings, and the presets that name some of them."""

from __future__ import annotations

from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import Field, ValidationError

from curate.documents import Document, first_fault
from curate.errors import ModelError
from curate.nearest import nearest

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

Preset = Literal["tiny", "study", "large"]
PRESETS: tuple[Preset, ...] = get_args(Preset)
Positive = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Settings(Document):
    """Settings of any model.

    Attributes
    ----------
    n_dims
        Dimensions of the embedding.
    """

    n_dims: Positive


class NetworkSettings(Settings):
    """Settings of a model that is trained by gradients.

    Attributes
    ----------
    batch_size
        Cells of a step, of one rank.
    max_epochs
        Passes over the training cells where no budget says when to stop.
    min_steps
        Least steps where no budget says when to stop: few cells are passed over more often, in `max_epochs`
        rounds of as many steps, after each of which is validated.
    learning_rate, weight_decay
        Of AdamW.
    warmup_steps
        Steps in which the learning rate rises from 0.
    schedule
        Of the learning rate thereafter: down to 0 at the last step, where that is known beforehand.
    clip_norm
        Gradients of a larger norm are cut to it; none are when None.
    patience
        Validations in a row without a better loss after which training stops; never when None.
    """

    batch_size: Positive = 256
    max_epochs: Positive = 10
    min_steps: Annotated[int, Field(ge=0)] = 0
    learning_rate: Rate = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    clip_norm: Rate | None = 1.0
    patience: Positive | None = 5


def changed(settings: Settings, changes: dict[str, Any], *, model: str) -> Settings:
    """Return settings with some changed; texts are read as their types, "none" as None where that may be.

    Who says how many epochs gets so many: `max_epochs` without `min_steps` sets that to 0.

    Raises
    ------
    ModelError
        For a setting that the model does not have, naming the nearest, or a value that is out of range.
    """
    fields = type(settings).model_fields
    for name in changes:
        if name not in fields:
            raise ModelError(f"model {model} has no setting {name!r}; {nearest(name, fields)}")
    if "max_epochs" in changes:
        changes = {"min_steps": 0} | changes
    given = {name: None if _is_none(fields[name], value) else value for name, value in changes.items()}
    try:
        return type(settings).model_validate({**settings.model_dump(), **given}, strict=False)
    except ValidationError as fault:
        where, what = first_fault(fault)
        what = what.removeprefix("Value error, ")
        if not where:
            raise ModelError(f"settings of model {model}: {what}") from None
        value = changes.get(where.partition(".")[0])
        raise ModelError(f"setting {where} of model {model}: {what}; given {value!r}") from None


def _is_none(field: FieldInfo, value: Any) -> bool:
    return value == "none" and NoneType in get_args(field.annotation)
