"""Airflow's task logs, with contact data masked as they are written.

Named by `AIRFLOW__LOGGING__LOGGING_CONFIG_CLASS`. Airflow's own masker knows exact secrets only, and a
contact may stand in any message, traceback or printed line, also of a library that quotes what it could not
read. A remote log may bring structlog processors for the file that a task's supervisor writes: by that door
of Airflow's this comes in. Remote logging, where a shop has set it up, goes on behind it.
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
    """A remote log as Airflow knows it: masks, then does what `remote` does, if there is one."""

    def __init__(self, remote: Any) -> None:
        self._remote = remote

    @property
    def processors(self) -> tuple[Any, ...]:
        """What an event goes through before it is written."""
        return (mask, *(self._remote.processors if self._remote else ()))

    def upload(self, path: PathLike[str] | str, ti: Any = None) -> None:
        """Send a written log on."""
        if self._remote:
            self._remote.upload(path, ti)

    def read(self, relative_path: str, ti: Any) -> tuple[list[str], list[str] | None]:
        """What was sent on; nothing where the log stays on the disk, from which Airflow reads by itself."""
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
