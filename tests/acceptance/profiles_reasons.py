"""Reasons that hold: without the evidence that a reason names, the score moves the way the reason says."""

from collections.abc import Iterator
from datetime import date

import numpy as np

from perennial.models import feature_groups, pipeline, reasons
from perennial.models.settings import return_model_settings
from tests.acceptance import year
from tests.acceptance.lines import Line, at_least

DAY = date(2017, 11, 30)
CUSTOMERS = 500


def reasoned() -> Iterator[Line]:
    """The three reasons of 500 customers, each put to the test on the served model."""
    chosen = return_model_settings()
    with year.shop() as lake:
        year.draw(DAY)
        history = pipeline.history_of(lake, DAY, chosen.cutoffs)
    fit = pipeline.fit_both(history, chosen).served
    picked = np.sort(np.random.default_rng(0).choice(history.today.num_rows, CUSTOMERS, replace=False))
    rows = history.today.take(picked)
    read = fit.read(rows)
    scores = fit.returns(read)[:, -1]
    bare = {
        kind: fit.returns(feature_groups.without(read, kind, fit.typical))[:, -1]
        for kind in feature_groups.FEATURE_GROUPS
    }
    held: dict[int, list[bool]] = {0: [], 1: [], 2: []}
    whole = []
    for row, found in enumerate(reasons.strongest(fit.pushes(read))):
        true = [bool((scores[row] - bare[kind][row]) * push > 0) for kind, push in found]
        whole.append(all(true))
        for place, one in enumerate(true):
            held[place].append(one)
    for said in fit.reasons(rows.slice(0, 3)):
        print(f"  {'; '.join(said)}")
    for place, found in held.items():
        print(f"  reason {place + 1} holds for {np.mean(found):.3f} of {CUSTOMERS} customers")
    yield at_least("profiles.reasons_that_hold", float(np.mean([*held[0], *held[1], *held[2]])), 0.9, "")
    yield at_least("profiles.customers_whose_reasons_all_hold", float(np.mean(whole)), 0.9, "")
