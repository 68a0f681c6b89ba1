"""Will they come back? The return model against its rivals on four days, by EVALUATION's return protocol.

Each model knows what was known before the test day; all settings were chosen on windows that had ended by
2017-10-31. Customers are resampled with all their days, since those of one customer are alike.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from scipy.special import ndtri

from perennial.foundation.arrays import FloatArray
from perennial.foundation.lake import Lake
from perennial.foundation.modelling import calibration
from perennial.foundation.modelling.promotion import WINDOW
from perennial.models import metrics, pipeline
from perennial.models.features import NAMES
from perennial.models.pipeline import BLEND, ProfileHistory
from perennial.models.return_model import Fit
from perennial.models.settings import ReturnModelSettings, return_model_settings
from perennial.models.training_cases import TrainingCases
from tests.acceptance import year
from tests.acceptance.lines import Line, at_least, at_most

TEST_DAYS = (date(2017, 11, 1), date(2017, 11, 11), date(2017, 11, 21), date(2017, 12, 1))
SHOWN = ("auc", "log_loss", "brier", "ece", "precision", "recall", "accuracy")
_DRAWS = 10_000
_WORLDS = 1000


@dataclass(frozen=True)
class Day:
    """A test day: what everybody said of its customers, and what they did."""

    first: date
    history: ProfileHistory
    fit: Fit
    said: dict[str, FloatArray]

    @property
    def cases(self) -> TrainingCases:
        """The customers, and what they did in the 28 days from the test day on."""
        return self.history.newest

    def losses(self, name: str) -> FloatArray:
        """Log loss of each customer."""
        return metrics.log_losses(self.cases.labels, self.said[name])


def days(lake: Lake) -> list[Day]:
    """The four days, each judged by models that knew what was known before it."""
    chosen = return_model_settings()
    ends = {first: first - timedelta(1) + WINDOW for first in TEST_DAYS}
    for end in ends.values():
        year.draw(end)
    return [_day(lake, first, end, chosen) for first, end in ends.items()]


def returns() -> Iterator[Line]:
    """Log loss, calibration and spend of the return model, and of its parts and rivals beside it."""
    with year.shop() as lake:
        found = days(lake)
    threshold = return_model_settings().contact_threshold
    for day in found:
        print(f"  {day.first}: {len(day.cases.labels)} customers, {day.cases.labels.mean():.3f} came back")
        for name, said in day.said.items():
            figures = metrics.figures(day.cases.labels, said, threshold)
            shown = [
                f"{one} {figures[one]:.4f} ({figures[f'{one}_low']:.4f} to {figures[f'{one}_high']:.4f})"
                for one in SHOWN
            ]
            print(f"    {name}: {', '.join(shown)}")
    yield from _against_rivals(found)
    yield from _calibrated(found)
    yield from _spending(found)


def _day(lake: Lake, first: date, end: date, chosen: ReturnModelSettings) -> Day:
    history = pipeline.history_of(lake, end, chosen.cutoffs)
    fit = pipeline.fit_judged(history, chosen)
    return Day(first, history, fit, pipeline.candidates(fit, history))


def _against_rivals(found: list[Day]) -> Iterator[Line]:
    for rival in (name for name in found[0].said if name != BLEND):
        low, mean, high = _paired(found, rival)
        print(f"  {BLEND} less {rival}: {mean:+.4f} log loss, 95 % {low:+.4f} to {high:+.4f}, paired")
        if rival == "plain LightGBM":
            yield at_most("profiles.log_loss_less_plain_lightgbm_high", high, 0, "")
    for rival in ("BG NBD", "recency rule"):
        better = [float((day.losses(BLEND) - day.losses(rival)).mean()) for day in found]
        name = rival.replace(" ", "_").lower()
        yield at_least(f"profiles.days_better_than_{name}", sum(one < 0 for one in better), 4, "_days")


def _paired(found: list[Day], rival: str) -> tuple[float, float, float]:
    """Mean difference of the log losses with its interval, by resampling customers."""
    extra = np.concatenate([day.losses(BLEND) - day.losses(rival) for day in found])
    _, places = np.unique(_customers(found), return_inverse=True)
    totals, counts = np.bincount(places, extra), np.bincount(places)
    random = np.random.default_rng(0)
    means = []
    for _ in range(_DRAWS):
        pick = random.integers(0, len(totals), len(totals))
        means.append(totals[pick].sum() / counts[pick].sum())
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(totals.sum() / counts.sum()), float(high)


def _calibrated(found: list[Day]) -> Iterator[Line]:
    for day in found:
        said = day.said[BLEND]
        error, chance = calibration.error(day.cases.labels, said), calibration.error_by_chance(said)
        print(f"  {day.first}: calibration error {error:.4f}, by chance up to {chance:.4f}")
    labels = np.concatenate([day.cases.labels for day in found])
    said = np.concatenate([day.said[BLEND] for day in found])
    apart = calibration.error_by_chance(said)
    print(f"  all days: by chance up to {apart:.4f}, if each had other customers")
    yield at_most("profiles.calibration_error", calibration.error(labels, said), _by_chance(found), "")


def _by_chance(found: list[Day]) -> float:
    """As `calibration.error_by_chance` over all days, but days whose windows overlap share their luck.

    An order on a day that belongs to two windows makes the customer come back in both. So a label is whether
    a sum of daily noise over its window, a normal number, stays below the quantile that the probability asks
    for: each comes true as often as was said, and two are as alike as their windows.
    """
    customers, places = np.unique(_customers(found), return_inverse=True)
    days = np.repeat(np.arange(len(found)), [len(day.cases.labels) for day in found])
    said = np.concatenate([day.said[BLEND] for day in found])
    between = np.array([[abs(one.first - other.first) / WINDOW for one in found] for other in found])
    root = np.linalg.cholesky(np.maximum(1 - between, 0))
    random, below = np.random.default_rng(0), ndtri(said)
    errors = []
    for _ in range(_WORLDS):
        luck = random.standard_normal((len(customers), len(found))) @ root.T
        errors.append(calibration.error((luck[places, days] < below).astype(float), said))
    return float(np.quantile(errors, 0.95))


def _customers(found: list[Day]) -> list[str]:
    return [one for day in found for one in day.cases.rows["customer_id"].to_pylist()]


def _spending(found: list[Day]) -> Iterator[Line]:
    ours, usual = [], []
    for day in found:
        spent = day.cases.matrix[:, NAMES.index("spend_91")] / 91 * WINDOW.days
        ours.append(np.abs(day.fit.answers(day.cases.rows)[:, -1] - day.cases.spend).mean())
        usual.append(np.abs(spent - day.cases.spend).mean())
        print(f"  {day.first}: spend is {ours[-1]:.2f} off, the 13-week average {usual[-1]:.2f}")
    yield at_most("profiles.spend_error_of_13_week_average", float(np.mean(ours) / np.mean(usual)), 0.96, "")
