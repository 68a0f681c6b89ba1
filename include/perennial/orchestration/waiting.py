"""Keeping days in order: Airflow's own depends-on-past does nothing on partitioned runs.

The sensor gives its worker slot back between looks, and its timeout names the day that is missing.
"""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from airflow.sdk import BaseSensorOperator
from airflow.sdk.exceptions import AirflowSensorTimeout, AirflowSkipException

from perennial.orchestration.day import DAY, parse

LOOK_EVERY_SECONDS = 8
PATIENCE = timedelta(hours=12)


class DayMissing(AirflowSensorTimeout):
    """A day waited too long for another; the message names it."""


class Wait(BaseSensorOperator):
    """Until no earlier day is missing any more.

    Args:
        missing: from the run's day to the day that has to be done first, None when it is this day's turn.
        skip_if: from the run's day to whether there is nothing to do for it at all.
    """

    template_fields = ("day",)

    def __init__(
        self,
        *,
        missing: Callable[[date], date | None],
        skip_if: Callable[[date], bool] | None = None,
        day: str = DAY,
        **kwargs: Any,
    ) -> None:
        super().__init__(mode="reschedule", poke_interval=LOOK_EVERY_SECONDS, timeout=PATIENCE, **kwargs)
        self.missing = missing
        self.skip_if = skip_if
        self.day = day

    def poke(self, context: Any) -> bool:
        """One look."""
        day = parse(self.day)
        if self.skip_if and self.skip_if(day):
            raise AirflowSkipException(f"nothing to do for {day}")
        waits_for = self.missing(day)
        if waits_for is not None:
            self.log.info("%s waits for %s", day, waits_for)
        return waits_for is None

    def execute(self, context: Any) -> Any:
        """Look, and give the slot back until the next look; at the end of patience say what is missing."""
        try:
            return super().execute(context)
        except AirflowSensorTimeout as timeout:
            missing = self.missing(parse(self.day))
            raise DayMissing(f"{self.dag_id} of {self.day} still waits for {missing}. {timeout}") from timeout


def wait_for_turn(step: str, **kwargs: Any) -> Wait:
    """Wait until the once-only step has done the announced day before this one."""

    def missing(day: date) -> date | None:
        from perennial.foundation.ledger import open_ledger

        return open_ledger().turn(step, day).waits_for

    return Wait(task_id="wait_for_turn", missing=missing, **kwargs)
