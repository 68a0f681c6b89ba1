"""Airflow's task logs, with contact data masked as they are written.

`AIRFLOW__LOGGING__LOGGING_CONFIG_CLASS` names this module. Airflow's own masker knows only exact secrets, but
contact data may stand in any message, traceback or printed line, also of a library that quotes what it could
not read. Airflow lets a remote log add structlog processors to the file that a task's supervisor writes; that
is how the mask gets in. The remote log that a shop has set up still works behind it.
"""

from os import PathLike
from typing import Any

from airflow.config_templates import airflow_local_settings

from perennial.foundation.masking import masked
from perennial.foundation.settings import settings

LOGGING_CONFIG = airflow_local_settings.DEFAULT_LOGGING_CONFIG


def mask(_logger: object, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """A structlog processor: the event with every text in it masked, however deep."""
    return {name: _masked(value, settings().key) for name, value in event.items()}


class MaskedLogs:
    """A remote log in Airflow's sense: it masks, then does what `remote` does, if there is one."""

    def __init__(self, remote: Any) -> None:
        self._remote = remote

    @property
    def processors(self) -> tuple[Any, ...]:
        """The structlog processors that every event passes before it is written."""
        return (mask, *(self._remote.processors if self._remote else ()))

    def upload(self, path: PathLike[str] | str, ti: Any = None) -> None:
        """Upload a written log."""
        if self._remote:
            self._remote.upload(path, ti)

    def read(self, relative_path: str, ti: Any) -> tuple[list[str], list[str] | None]:
        """The uploaded log; nothing if it is on the disk only, where Airflow reads it by itself."""
        return self._remote.read(relative_path, ti) if self._remote else ([], None)


REMOTE_TASK_LOG = MaskedLogs(airflow_local_settings.REMOTE_TASK_LOG)


def _masked(value: Any, key: bytes | None) -> Any:
    if isinstance(value, str):
        return masked(value, key)
    if isinstance(value, dict):
        return {name: _masked(inner, key) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(inner, key) for inner in value]
    return value
