from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from perennial.foundation.endpoint import Endpoint
from perennial.foundation.lake import Lake
from perennial.foundation.modelling import promotion, tracking
from perennial.foundation.modelling.promotion import WINDOW
from perennial.models import features, pipeline, return_model
from perennial.models.return_model import ReturnModel
from perennial.models.settings import return_model_settings
from perennial.models.training_cases import HORIZONS, TrainingCases
from tests.learning import CUSTOMERS, DAY, column, fill, orders

CUTOFFS = 5
MEASURES = {"auc", "log_loss", "brier", "ece", "precision", "recall", "accuracy", "auc_low", "spend_error"}
PICTURES = {"calibration.png", "gain.png", "importance.png", "partial_dependence.png"}


def ordered_after(customer: str, cutoff: date, days: int) -> bool:
    return any(cutoff < day <= cutoff + timedelta(days) for day in orders(int(customer[1:])))


def test_a_label_says_whether_the_customer_ordered_in_the_window(lake: Lake):
    fill(lake)
    history = pipeline.history_of(lake, DAY, CUTOFFS)
    for back, cases in enumerate([history.newest, *history.earlier]):
        cutoff = DAY - WINDOW * (back + 1)
        customers = cases.rows["customer_id"].to_pylist()
        assert customers == sorted(customers)
        assert "stranger" not in customers
        for days, labels in zip(HORIZONS, cases.returns.T, strict=True):
            assert labels.tolist() == [float(ordered_after(one, cutoff, days)) for one in customers]


def test_spend_is_what_was_paid_in_the_window(lake: Lake):
    fill(lake)
    newest = pipeline.history_of(lake, DAY, CUTOFFS).newest
    cutoff = DAY - WINDOW
    for customer, spend in zip(newest.rows["customer_id"].to_pylist(), newest.spend, strict=True):
        bought = [day for day in orders(int(customer[1:])) if cutoff < day <= DAY]
        lines = lake.read("events").filter(lambda t, who=customer: t.customer_id == who)
        paid = lines.filter(lines.occurred_at.date().isin(bought)).revenue.sum().to_pyarrow().as_py()
        assert spend == pytest.approx(float(paid or 0))


def test_the_judged_fit_has_not_seen_the_window(lake: Lake):
    fill(lake)
    chosen = return_model_settings()
    history = pipeline.history_of(lake, DAY, CUTOFFS)
    newest = history.newest
    turned = replace(
        history, newest=TrainingCases(newest.rows, 1 - newest.returns, newest.spend), today=newest.rows
    )
    honest, lied_to = (pipeline.fit_both(one, chosen) for one in (history, turned))
    asked = newest.rows
    np.testing.assert_array_equal(honest.judged.probabilities(asked), lied_to.judged.probabilities(asked))
    assert np.abs(honest.served.probabilities(asked) - lied_to.served.probabilities(asked)).max() > 0.05


def test_events_of_later_days_change_nothing(lake: Lake):
    fill(lake)
    before = pipeline.history_of(lake, DAY, CUTOFFS)
    fill(lake, through=DAY + timedelta(20))
    after = pipeline.history_of(lake, DAY, CUTOFFS)
    for one, other in zip([before.newest, *before.earlier], [after.newest, *after.earlier], strict=True):
        np.testing.assert_array_equal(one.returns, other.returns)


def test_missing_profiles_are_named(lake: Lake):
    with pytest.raises(pipeline.TooLittleHistoryError, match="2017-10-05, 2017-11-02, 2017-11-30"):
        pipeline.history_of(lake, DAY, CUTOFFS)


def test_training_twice_gives_the_same_model(lake: Lake):
    fill(lake)
    history = pipeline.history_of(lake, DAY, CUTOFFS)
    one, other = (pipeline.fit_both(history, return_model_settings()) for _ in range(2))
    np.testing.assert_array_equal(one.served.answers(history.today), other.served.answers(history.today))


def test_a_longer_window_is_never_less_likely(lake: Lake):
    fill(lake)
    history = pipeline.history_of(lake, DAY, CUTOFFS)
    fit = pipeline.fit_both(history, return_model_settings()).served
    said = fit.answers(history.today)[:, :-1]
    assert (np.diff(said, axis=1) >= 0).all()
    assert ((said > 0) & (said < 1)).all()


def test_a_day_is_trained_and_registered_with_all_that_an_analyst_asks_for(lake: Lake, endpoint: Endpoint):
    import mlflow

    fill(lake)
    done = pipeline.train(str(DAY), endpoint)
    client = mlflow.MlflowClient(endpoint.url, endpoint.url)
    run = client.get_run(done["mlflow_run"])
    assert run.info.status == "FINISHED"
    assert run.data.metrics.keys() >= MEASURES
    assert run.data.params["version_profiles"] == str(lake.version("profiles"))
    assert {one.dataset.name for one in run.inputs.dataset_inputs} >= {"events", "profiles"}
    assert {one.path for one in client.list_artifacts(run.info.run_id)} >= PICTURES
    nested = f"tags.`mlflow.parentRunId` = '{run.info.run_id}'"
    rivals = client.search_runs([run.info.experiment_id], nested)
    assert {one.data.tags["candidate"] for one in rivals} == {
        *("return model", "trees", "deep trees", "rhythm", "plain LightGBM", "BG NBD", "recency rule")
    }
    assert all(one.data.metrics.keys() >= {"auc", "log_loss_low"} for one in rivals)
    version = client.get_model_version_by_alias("return_model", "challenger")
    assert str(version.version) == done["version"] == "1"


def test_the_registered_model_answers_through_mlflow(
    lake: Lake, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
):
    import mlflow

    fill(lake)
    version = pipeline.train(DAY, endpoint)["version"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", endpoint.url)
    registered = mlflow.pyfunc.load_model(f"models:/return_model/{version}")
    rows = lake.read("profiles").filter(lambda t: t.day == DAY).order_by("customer_id").to_pyarrow()
    frame = features.to_frame(rows)
    found: pd.DataFrame = registered.predict(frame)
    ours: ReturnModel = tracking.load_model(endpoint, "return_model", int(version))
    np.testing.assert_allclose(found["p_return_28"], ours.served.probabilities(rows.select(features.COLUMNS)))
    judged = registered.predict(frame, params={"fit": "judged"})
    assert np.abs(judged["p_return_28"] - found["p_return_28"]).max() > 0


def test_a_customer_without_orders_gets_the_base_rate_and_says_so(
    lake: Lake, endpoint: Endpoint, promoted: int
):
    assert pipeline.score(DAY, endpoint) == CUSTOMERS + 1
    scores = lake.read("scores").order_by("customer_id")
    assert column(scores, "reasons")[-1] == ["has not ordered yet"]
    model: ReturnModel = tracking.load_model(endpoint, "return_model", promoted)
    assert column(scores, "p_return_28")[-1] == model.served.base[-2]
    assert set(column(scores, "model_version")) == {promoted}
    assert all(len(said) == 3 for said in column(scores, "reasons")[:-1])


def test_a_return_model_of_another_layout_is_refused(
    endpoint: Endpoint, promoted: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(return_model, "LAYOUT", 99)
    with pytest.raises(tracking.SavedOtherwiseError, match="layout 1; this code reads layout 99"):
        tracking.load_model(endpoint, "return_model", promoted)


def test_the_model_finds_those_who_come_back(lake: Lake, endpoint: Endpoint, promoted: int):
    pipeline.score(DAY, endpoint)
    said = dict(
        zip(*(column(lake.read("scores"), name) for name in ("customer_id", "p_return_28")), strict=True)
    )
    regulars = [said[f"c{customer:02}"] for customer in range(0, CUSTOMERS, 2)]
    lost = [said[f"c{customer:02}"] for customer in range(1, CUSTOMERS, 2)]
    assert np.mean(regulars) > np.mean(lost) + 0.3


def test_without_any_model_scoring_is_a_clear_error(lake: Lake, endpoint: Endpoint):
    with pytest.raises(promotion.NoModelError, match="no return_model has ever been promoted"):
        pipeline.score(DAY, endpoint)


def test_a_day_before_the_first_model_gets_no_scores(lake: Lake, endpoint: Endpoint, promoted: int):
    assert pipeline.score(DAY - timedelta(1), endpoint) == 0
    assert DAY - timedelta(1) not in lake.days("scores")


@pytest.fixture
def promoted(lake: Lake, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> int:
    """The version promoted on DAY."""
    monkeypatch.setattr(promotion, "MODELS", ("return_model",))
    fill(lake)
    version = int(pipeline.train(DAY, endpoint)["version"])
    promotion.promote(DAY, endpoint)
    return version
