import math

import numpy as np
import pytest

from perennial.foundation.bootstrap import interval
from tests.acceptance.month_intervals import over_months


def test_equal_months_of_one_customer_count_once():
    random = np.random.default_rng(0)
    first, names = random.normal(size=200), [f"{n:03}" for n in range(200)]
    alike, others = [f"{n:03}" for n in reversed(range(200))], [f"{n}" for n in range(500, 700)]
    alone, same = interval(first), over_months([first, first[::-1]], [names, alike])
    apart = over_months([first, random.permutation(first)], [names, others])
    assert alone.mean == pytest.approx(same.mean)
    assert same.high - same.low == pytest.approx(alone.high - alone.low, rel=0.1)
    assert apart.high - apart.low == pytest.approx((alone.high - alone.low) / math.sqrt(2), rel=0.1)


def test_months_have_equal_weight_however_many_customers_they_have():
    found = over_months(
        [np.ones(90), np.zeros(10)], [[f"{n}" for n in range(90)], [f"{n}" for n in range(10)]]
    )
    assert found.mean == found.low == found.high == 0.5
