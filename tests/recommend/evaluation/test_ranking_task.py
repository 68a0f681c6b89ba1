from datetime import UTC, date, datetime

import ibis
import numpy as np
import pyarrow as pa

from perennial.recommend.data.window_purchases import WindowPurchases
from perennial.recommend.evaluation.ranking_task import RankingTask, Slice, ranking_task


def task_of(
    pairs: dict[tuple[str, str], int], item_ids: list[str], wanted: dict[str, list[str]]
) -> RankingTask:
    """A task from (customer, item) → times bought before, and customer → items bought in the month."""
    before = pa.table(
        {
            "customer_id": [customer for customer, _ in pairs],
            "item_id": [item for _, item in pairs],
            "times": list(pairs.values()),
        }
    )
    rows = [(customer, item) for customer in sorted(wanted) for item in sorted(wanted[customer])]
    names = ("customer_id", "item_id")
    columns = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
    return RankingTask.from_purchases(
        before, pa.array(item_ids), WindowPurchases.of(pa.table(columns, names))
    )


PAST = {("a", "soup"): 12, ("a", "hat"): 2, ("b", "bread"): 12, ("c", "soup"): 1}
WANTED = {"a": ["soup", "bread", "tea"], "b": ["unknown"], "d": ["soup"]}
MONTH = task_of(PAST, ["hat", "tea", "soup", "bread"], WANTED)


def test_items_come_most_bought_first_and_those_bought_ten_times_are_warm():
    assert MONTH.item_ids.tolist() == ["soup", "bread", "hat", "tea"]
    assert MONTH.warm == 2


def test_customers_bought_before_the_month_and_in_it():
    assert MONTH.customer_ids.tolist() == ["a", "b"]
    assert MONTH.history_sizes.tolist() == [2, 1]
    assert MONTH.wanted.toarray().tolist() == [[1, 1, 0, 1], [0, 0, 0, 0]]


def test_bought_items_are_candidates_for_repeat_and_the_others_for_explore():
    rows = np.array([1, 0])
    candidates = {part: MONTH.candidates(part, rows).tolist() for part in Slice}
    assert candidates == {
        Slice.ALL: [[1, 1], [1, 1]],
        Slice.REPEAT: [[0, 1], [1, 0]],
        Slice.EXPLORE: [[1, 0], [0, 1]],
        Slice.COLD: [[1, 1], [1, 1]],
    }
    assert MONTH.item_ids[MONTH.columns(Slice.COLD)].tolist() == ["hat", "tea"]


def test_a_month_holds_only_its_own_days():
    def bought(*rows: tuple[str, str, datetime]) -> ibis.Table:
        names = ("customer_id", "item_id", "occurred_at")
        return ibis.memtable(pa.table(dict(zip(names, zip(*rows, strict=True), strict=True))))

    midnight = [datetime(2017, 12, 1, tzinfo=UTC), datetime(2018, 1, 1, tzinfo=UTC)]
    before = bought(("a", "soup", datetime(2017, 11, 30, 23, tzinfo=UTC)))
    after = bought(
        ("a", "soup", datetime(2017, 11, 30, 23, tzinfo=UTC)),
        ("a", "bread", midnight[0]),
        ("a", "bread", midnight[0]),
        ("a", "hat", midnight[1]),
    )
    items = ibis.memtable(pa.table({"item_id": ["hat", "soup", "bread"]}))
    task = ranking_task(before, after, items, date(2017, 12, 1))
    assert task.item_ids.tolist() == ["soup", "bread", "hat"]
    assert task.bought.toarray().tolist() == [[1, 0, 0]]
    assert task.wanted.toarray().tolist() == [[0, 1, 0]]
