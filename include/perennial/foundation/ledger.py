"""The small database of the progress: which days are closed, and how far each once-only step has come.

SQLite on one machine, Postgres on several. It has few rows and is read often; large data is in the lake.

*Closed days* are days whose landing is published. A day is *announced* with the day whose asset event made it
known: after `ingest` the day itself, after `load_history` the last day of the loaded days. The *frontier* of
a once-only step is the last day it has done. *About* names the work of a long-running step, which no other
step may do.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import cache

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from perennial.foundation.settings import settings

_METADATA = sa.MetaData()
_CLOSED_DAYS = sa.Table(
    "closed_days",
    _METADATA,
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("announced_with", sa.Date, nullable=False, index=True),
)
_FRONTIERS = sa.Table(
    "frontiers",
    _METADATA,
    sa.Column("step", sa.String(64), primary_key=True),
    sa.Column("day", sa.Date, nullable=True),
)
_WORK = sa.Table(
    "work",
    _METADATA,
    sa.Column("step", sa.String(64), primary_key=True),
    sa.Column("about", sa.Text, nullable=False),
)
_SCHEMA = sa.Table("schema_version", _METADATA, sa.Column("version", sa.Integer, primary_key=True))

_MIGRATIONS: tuple[tuple[str, ...], ...] = ()
"""The statements that turn version n of the database into n + 1; a new table needs none."""


class OutOfOrderError(RuntimeError):
    """A once-only step was called for a day before its turn."""


@dataclass(frozen=True)
class Turn:
    """Is this day still to be done, and which day must be done first, if any."""

    open: bool
    waits_for: date | None = None


@dataclass(frozen=True)
class Ledger:
    """The small database behind one SQLAlchemy engine."""

    engine: Engine

    def close(self, days: Iterable[date], announced_with: date) -> None:
        """Record that the days are published. Days that are closed already keep their rows."""
        with self._write() as connection:
            closed = set(connection.scalars(sa.select(_CLOSED_DAYS.c.day)))
            rows = [{"day": day, "announced_with": announced_with} for day in days if day not in closed]
            if rows:
                connection.execute(sa.insert(_CLOSED_DAYS), rows)

    def closed_days(self) -> set[date]:
        """Every day whose landing is published."""
        with self.engine.connect() as connection:
            return set(connection.scalars(sa.select(_CLOSED_DAYS.c.day)))

    @contextmanager
    def standstill(self) -> Iterator[set[date]]:
        """While the body runs, no day is closed and no work begins; yields the closed days.

        Two bodies never run at the same time. A body must not write to the ledger.
        """
        with self._write() as connection:
            self._stand_still(connection)
            yield set(connection.scalars(sa.select(_CLOSED_DAYS.c.day)))

    def begin(self, step: str, about: str) -> None:
        """Record the work of the step from now on, in place of its work before."""
        with self._write() as connection:
            self._stand_still(connection)
            connection.execute(sa.delete(_WORK).where(_WORK.c.step == step))
            connection.execute(sa.insert(_WORK).values(step=step, about=about))

    def about(self, step: str) -> str | None:
        """The present work of the step, or its last work."""
        with self.engine.connect() as connection:
            return connection.scalar(sa.select(_WORK.c.about).where(_WORK.c.step == step))

    def announced_before(self, day: date) -> date | None:
        """The last day before `day` that was announced to the rest of the pipeline."""
        with self.engine.connect() as connection:
            return _announced_before(connection, day)

    def frontier(self, step: str) -> date | None:
        """The last day the step has done; None before its first."""
        with self.engine.connect() as connection:
            return _frontier(connection, step)

    def turn(self, step: str, day: date) -> Turn:
        """Is it the day's turn? Past days are done; without a frontier any day can be the first."""
        with self.engine.connect() as connection:
            return _turn(connection, step, day)

    @contextmanager
    def once(self, step: str, day: date) -> Iterator[bool]:
        """Hold the step while its body writes the day's record; on success the frontier moves to `day`.

        Yields whether the day is still to be done; at or before the frontier the body must write nothing.

        Raises:
            OutOfOrderError: an earlier day has to be done first.
        """
        with self._write() as connection:
            self._hold(connection, step)
            turn = _turn(connection, step, day)
            if turn.waits_for is not None:
                raise OutOfOrderError(f"{step}: {day} has to wait for {turn.waits_for}, which is not done")
            yield turn.open
            if turn.open:
                connection.execute(_FRONTIERS.update().where(_FRONTIERS.c.step == step).values(day=day))

    @contextmanager
    def standing(self, step: str) -> Iterator[date | None]:
        """While the body runs, the step does no day; yields its frontier. The body must not write here."""
        with self._write() as connection:
            self._hold(connection, step)
            yield _frontier(connection, step)

    def _hold(self, connection: Connection, step: str) -> None:
        """Make sure that the step has a row, and lock it until the transaction ends."""
        statement = sa.select(_FRONTIERS.c.step).where(_FRONTIERS.c.step == step).with_for_update()
        if connection.scalar(statement) is None:
            connection.execute(sa.insert(_FRONTIERS).values(step=step, day=None))
            connection.scalar(statement)

    def _stand_still(self, connection: Connection) -> None:
        """Keep days open until the transaction ends; SQLite lets one writer in at a time anyway."""
        if self.engine.dialect.name == "postgresql":
            connection.execute(sa.text(f"LOCK TABLE {_CLOSED_DAYS.name} IN EXCLUSIVE MODE"))

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        with self.engine.connect() as connection:
            if self.engine.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection
            connection.commit()


@cache
def open_ledger() -> Ledger:
    """The ledger of the settings, brought up to date."""
    return _open(settings().ledger)


def _open(url: str) -> Ledger:
    engine = sa.create_engine(url)
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _prepare_sqlite)
    ledger = Ledger(engine)
    _migrate(ledger)
    return ledger


def _prepare_sqlite(connection: object, _: object) -> None:
    """Wait for other writers, allow reading at the same time, and leave BEGIN to this module."""
    connection.isolation_level = None  # type: ignore[attr-defined]
    for pragma in ("journal_mode = WAL", "busy_timeout = 120000", "synchronous = NORMAL"):
        connection.execute(f"PRAGMA {pragma}")  # type: ignore[attr-defined]


def _migrate(ledger: Ledger) -> None:
    with ledger._write() as connection:
        if ledger.engine.dialect.name == "postgresql":
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext('perennial ledger'))"))
        _METADATA.create_all(connection)
        version = connection.scalar(sa.select(sa.func.max(_SCHEMA.c.version)))
        for statements in _MIGRATIONS[len(_MIGRATIONS) if version is None else version :]:
            for statement in statements:
                connection.execute(sa.text(statement))
        if version != len(_MIGRATIONS):
            connection.execute(sa.insert(_SCHEMA).values(version=len(_MIGRATIONS)))


def _announced_before(connection: Connection, day: date) -> date | None:
    column = _CLOSED_DAYS.c.announced_with
    return connection.scalar(sa.select(sa.func.max(column)).where(column < day))


def _frontier(connection: Connection, step: str) -> date | None:
    return connection.scalar(sa.select(_FRONTIERS.c.day).where(_FRONTIERS.c.step == step))


def _turn(connection: Connection, step: str, day: date) -> Turn:
    frontier = _frontier(connection, step)
    if frontier is not None and day <= frontier:
        return Turn(open=False)
    before = _announced_before(connection, day)
    if frontier is None or before is None or before <= frontier:
        return Turn(open=True)
    return Turn(open=True, waits_for=before)
