"""The link to a report on a failed task: Airflow does not keep what a failed task returns."""

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowFailException


@contextmanager
def linked() -> Iterator[None]:
    """Around a task's work: an error with a `report`, the path of a page, fails the task for good.

    The path is stored as a result would be, so that the link shows (`plugins/perennial_links`). The task is
    not tried again, because such an error does not go away in ten seconds: clear the task when its cause is
    mended.
    """
    try:
        yield
    except Exception as error:
        report = getattr(error, "report", "")
        if not report:
            raise
        get_current_context()["ti"].xcom_push("return_value", {"report": report})
        raise AirflowFailException(str(error)) from error
