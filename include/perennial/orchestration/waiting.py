"""Days are done in order. Airflow's own depends-on-past has no effect on partitioned runs.

The task checks first: a day whose turn it is needs no trigger. Otherwise the task defers and gives its slot
back, and a trigger checks again and again in the triggerer. It wakes the task when nothing seems to be
missing, when the run is late, when the patience is over, or when the check fails. The task then checks
itself. A late day raises one alert and goes on waiting; a day that waited too long fails. Both messages name
what is missing.

Waits are stored in Airflow's database. The next version must still be able to read the path of `Lookout`, its
arguments, `look_again` and its arguments.

The triggerer calls a function of a day. It is given as a dotted path, because the triggerer cannot import a
DAG file. It is called often, in a process that serves many triggers, so it should be cheap.
"""

import asyncio
import pkgutil
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import partial
from types import MappingProxyType
from typing import Any

from airflow.sdk import BaseSensorOperator
from airflow.sdk.exceptions import AirflowSensorTimeout, AirflowSkipException
from airflow.triggers.base import BaseTrigger, TriggerEvent

from perennial.orchestration import alerts
from perennial.orchestration.day import DAY, parse

PATIENCE = timedelta(hours=12)
SHORTEST_PAUSE, LONGEST_PAUSE = 2.0, 60.0
"""Seconds between two checks: a twentieth of the time waited so far, within these limits."""


class DayMissing(AirflowSensorTimeout):
    """A day waited too long; the message names what is missing. Airflow does not try such a task again."""


class Wait(BaseSensorOperator):
    """Wait until nothing is missing that the day needs.

    Args:
        missing: function of the run's day that returns the day that has to be done first: the day itself
            while its own files are missing, None when it is this day's turn. Its answer decides.
        watched: dotted path of the function that the triggerer calls for the same; also None if it does not
            know.
        given: further arguments of `watched`, by name.
        looked_for: dotted path of the function that returns the places where the day's own files may be.
        skip_if: function of the run's day that returns whether there is nothing to do for the day at all.
        patience: how long to wait, from the first check on.
        late_after: how long after the run began an alert is raised; None for no alert.
    """

    template_fields = ("day",)

    def __init__(
        self,
        *,
        missing: Callable[[date], date | None],
        watched: str,
        given: Mapping[str, str] = MappingProxyType({}),
        looked_for: str | None = None,
        skip_if: Callable[[date], bool] | None = None,
        patience: timedelta = PATIENCE,
        late_after: timedelta | None = None,
        day: str = DAY,
        **kwargs: Any,
    ) -> None:
        super().__init__(timeout=patience, **kwargs)
        self.missing = missing
        self.watched = watched
        self.given = dict(given)
        self.looked_for = looked_for
        self.skip_if = skip_if
        self.patience = patience
        self.late_after = late_after
        self.day = day

    def execute(self, context: Any) -> None:
        """The first check."""
        self._look(context, datetime.now(UTC), alerted=False)

    def look_again(self, context: Any, event: str, alerted: bool = False) -> None:
        """A later check. `event` is the time of the first check; `alerted`: an alert was raised before."""
        self._look(context, datetime.fromisoformat(event), alerted=alerted)

    def _look(self, context: Any, since: datetime, *, alerted: bool) -> None:
        """Return when it is the day's turn, else defer; fail when the patience is over."""
        day = parse(self.day)
        if self.skip_if and self.skip_if(day):
            raise AirflowSkipException(f"nothing to do for {day}")
        missing = self.missing(day)
        if missing is None:
            return
        waits_for = described(day, missing, self.looked_for)
        now, wake = datetime.now(UTC), since + self.patience
        if now >= wake:
            hours = f"{self.patience / timedelta(hours=1):.3g} hours"
            raise DayMissing(f"after {hours} {self.dag_id} of {day} still waits for {waits_for}")
        self.log.info("%s waits for %s", day, waits_for)
        if self.late_after and not alerted:
            late = alerts.deadline(context, self.late_after)
            if alerted := now >= late:
                alerts.run_is_late(context, f"it waits for {waits_for}")
            else:
                wake = min(wake, late)
        trigger = Lookout(
            self.watched, self.given, str(day), since.isoformat(), (wake - since).total_seconds()
        )
        self.defer(trigger=trigger, method_name="look_again", kwargs={"alerted": alerted})


class Lookout(BaseTrigger):
    """Fires when nothing seems to be missing, when the check fails, or `patience_seconds` after `since`.

    It checks often at first, and less often the longer it has waited. Its event holds only `since`.
    """

    def __init__(
        self, watched: str, given: Mapping[str, str], day: str, since: str, patience_seconds: float
    ) -> None:
        super().__init__()
        self.watched = watched
        self.given = dict(given)
        self.day = day
        self.since = since
        self.patience_seconds = patience_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """What another triggerer needs to make it again: it goes on waiting from the same moment."""
        names = ("watched", "given", "day", "since", "patience_seconds")
        return f"{__name__}.{type(self).__name__}", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Check until it fires; in a thread, because other triggers share the loop."""
        while (left := self.patience_seconds - self._waited()) > 0:
            await asyncio.sleep(min(max(self._waited() / 20, SHORTEST_PAUSE), LONGEST_PAUSE, left))
            if await asyncio.to_thread(self.may_go_on):
                break
        yield TriggerEvent(self.since)

    def may_go_on(self) -> bool:
        """One check: nothing is missing any more, or it cannot be known here."""
        try:
            return ask(self.watched, parse(self.day), **self.given) is None
        except Exception:
            self.log.exception("%s failed for %s; the task checks itself", self.watched, self.day)
            return True

    def _waited(self) -> float:
        return (datetime.now(UTC) - datetime.fromisoformat(self.since)).total_seconds()


def wait_for_turn(step: str, **kwargs: Any) -> Wait:
    """Wait until the once-only step has done the announced day before this one."""
    return Wait(
        task_id="wait_for_turn",
        missing=partial(day_before, step=step),
        watched=f"{__name__}.{day_before.__name__}",
        given={"step": step},
        **kwargs,
    )


def day_before(day: date, step: str) -> date | None:
    """The day that a once-only step has to do first, None when it is this day's turn."""
    from perennial.foundation.ledger import open_ledger

    return open_ledger().turn(step, day).waits_for


def ask(path: str, day: date, **given: str) -> Any:
    """Call the function at a dotted path."""
    return pkgutil.resolve_name(path)(day, **given)


def described(day: date, missing: date, looked_for: str | None) -> str:
    """What a day waits for, in words: an earlier day, or its own files with the places to look at."""
    if missing != day or looked_for is None:
        return str(missing)
    return f"its files, looked for at {', '.join(ask(looked_for, day))}"
