"""Every error that curate raises on purpose.

::

    CurateError              the command line catches this one: one line on stderr, exit 1
    ├── CensusError          a store that cannot be opened, reached or read as a Census
    ├── SourceError          an h5ad file whose cells, counts or genes cannot be used
    ├── FilterError          an obs filter that does not parse or names an absent column
    ├── RecipeError          a recipe with an unknown key, or one that cannot be applied
    ├── CorpusError          a corpus that is missing, incomplete or not unique
    ├── EmbeddingError       an embedding that is missing, damaged or of another corpus
    ├── SelectionError       a number of cells that cannot be chosen, an unknown strategy
    ├── ManifestError        a manifest that is missing, damaged or of an unknown format
    ├── TaskError            a task document with an unknown key, or one that cannot be resolved
    ├── LeakageError         an evaluation set that cannot be compared; overlap where there must be none
    ├── ScheduleError        workers that cannot be had, or keep dying
    ├── SaturationError      runs from which no learning curve can be read
    ├── ShardError           shards that are missing, damaged or of another manifest
    ├── ModelError           a model that is missing, damaged, cannot be made from its cells, or diverged
    │   └── TrainingError    one whose training ended before its time; what it had reached is kept
    ├── EvaluationError      evaluation data, labels or results that cannot be used
    ├── SweepError           a grid that names nothing that can run, or a sweep that cannot be resumed
    ├── WorkspaceError       no workspace, or one that cannot be made
    └── WriteError           a file that could not be written; nothing is left half-written

A message says what is wrong, the numbers, and what to do.
"""

from __future__ import annotations


class CurateError(Exception):
    """Root of the errors that a user can act on."""


class CensusError(CurateError):
    """A store that cannot be opened, reached or read as a Census."""


class SourceError(CurateError):
    """An h5ad file whose cells, counts or genes cannot be used."""


class FilterError(CurateError):
    """An obs filter that does not parse or names an absent column."""


class RecipeError(CurateError):
    """A recipe with an unknown key, or one that cannot be applied."""


class CorpusError(CurateError):
    """A corpus that is missing, incomplete or not unique."""


class EmbeddingError(CurateError):
    """An embedding that is missing, damaged or of another corpus."""


class SelectionError(CurateError):
    """A number of cells that cannot be chosen, or an unknown strategy."""


class ManifestError(CurateError):
    """A manifest that is missing, damaged or of an unknown format."""


class TaskError(CurateError):
    """A task document with an unknown key, or one that cannot be resolved against a corpus."""


class LeakageError(CurateError):
    """An evaluation set that cannot be compared, or overlap with one where there must be none."""


class ScheduleError(CurateError):
    """Workers that cannot be had, or keep dying."""


class SaturationError(CurateError):
    """Runs from which no learning curve can be read."""


class ShardError(CurateError):
    """Shards that are missing, damaged or of another manifest."""


class EvaluationError(CurateError):
    """Evaluation data, labels or results that cannot be used."""


class SweepError(CurateError):
    """A grid that names nothing that can run, or a sweep that cannot be opened or resumed."""


class ModelError(CurateError):
    """A model that is missing, damaged, cannot be made from its cells, or diverged."""


class TrainingError(ModelError):
    """Training that ended before its time; the checkpoint that it had reached, if any, is kept."""


class WorkspaceError(CurateError):
    """No workspace, or one that cannot be made."""


class WriteError(CurateError):
    """A file that could not be written; nothing is left half-written."""


class BusyError(WriteError):
    """A place that another run is at work on; it may be waited for."""
