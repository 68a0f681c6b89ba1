"""The link to a report on a task that failed, too: what a failed task returned, Airflow does not keep."""

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowFailException


@contextmanager
def linked() -> Iterator[None]:
    """Around a task's work: an error with a `report` (a page that tells all of it) is the task's last word.

    The page is handed over as a result would be, so that the link shows (`plugins/perennial_links`). The task
    is not tried again, for what such a page tells does not mend itself in ten seconds: clear it once it is.
    """
    try:
        yield
    except Exception as error:
        report = getattr(error, "report", "")
        if not report:
            raise
        get_current_context()["ti"].xcom_push("return_value", {"report": report})
        raise AirflowFailException(str(error)) from error
