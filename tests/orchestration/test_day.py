import pytest
from airflow.sdk.execution_time.context import OutletEventAccessors

from perennial.orchestration.assets import PROFILES
from perennial.orchestration.day import parse, publishes


def handed_on(partition_key: str | None, **params: str | None) -> set[str]:
    """The days under which a task emits its asset."""
    events = OutletEventAccessors()
    context = {"partition_key": partition_key, "params": params, "outlet_events": events}
    publishes(PROFILES)["post_execute"](context)
    return events[PROFILES].partition_keys


def test_a_run_with_a_partition_key_hands_on_that_day():
    assert handed_on("2017-12-01", day=None) == {"2017-12-01"}


def test_a_run_by_hand_hands_on_the_day_of_its_form():
    assert handed_on(None, day="2017-12-02") == {"2017-12-02"}


def test_a_stretch_hands_on_its_last_day_alone():
    assert handed_on(None, first_day="2017-01-01", last_day="2017-11-30") == {"2017-11-30"}


def test_a_run_by_hand_without_a_day_says_what_is_missing():
    with pytest.raises(ValueError, match=r"the run's day is None; expected YYYY-MM-DD.*param 'day'"):
        handed_on(None, day=None)


@pytest.mark.parametrize("text", ["None", "2017-13-01", "01.12.2017", ""])
def test_what_is_no_day_is_refused(text: str):
    with pytest.raises(ValueError, match="expected YYYY-MM-DD"):
        parse(text)
