"""MLflow: runs, registered models with their aliases, and the series of each model.

This folder alone imports mlflow, and only inside functions.
"""

from perennial.foundation.modelling.tracking.client import TrackingError
from perennial.foundation.modelling.tracking.registry import (
    CHALLENGER,
    CHAMPION,
    SavedOtherwiseError,
    examination,
    load_model,
    note,
    set_aliases,
    trained,
)
from perennial.foundation.modelling.tracking.runs import EXAMINATION, Run, discard, run
from perennial.foundation.modelling.tracking.series import log_series

__all__ = [
    "CHALLENGER",
    "CHAMPION",
    "EXAMINATION",
    "Run",
    "SavedOtherwiseError",
    "TrackingError",
    "discard",
    "examination",
    "load_model",
    "log_series",
    "note",
    "run",
    "set_aliases",
    "trained",
]
