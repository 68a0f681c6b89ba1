from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from perennial.recommend.data.catalogue import Catalogue
from perennial.recommend.data.history import PurchaseHistory
from perennial.recommend.features.matrix import CustomerBlock
from perennial.recommend.fit import with_sequence_model
from perennial.recommend.sequence import inputs as reading
from perennial.recommend.sequence.model import SequenceModel
from perennial.recommend.sequence.popularity import ItemTrends
from perennial.recommend.sequence.training import TrainingData, initialise, loss
from perennial.recommend.settings import SequenceSettings, recommender_settings
from perennial.recommend.sources.retrieval import CandidateSources
from perennial.recommend.sources.source import Reason

CUSTOMERS, PAIRS, WEEKS = 120, 6, 30
ITEMS = 2 * PAIRS + 2
UNSEEN = ITEMS - 1
CHOSEN = SequenceSettings(
    width=24,
    layers=2,
    weeks=20,
    customers=40,
    moments=6,
    lines_for_own=5,
    dropout=0.0,
    learning_rate=0.02,
    vectors_rate=0.5,
    averaged=0.9,
    steps=120,
)


def catalogue() -> Catalogue:
    """Items 0, 2, 4 … are followed by 1, 3, 5 …; the last but one is popular; nobody bought the last.

    The text of the last item is nearly that of item 1.
    """
    vectors = np.random.default_rng(1).normal(size=(ITEMS, 24))
    vectors[UNSEEN] = vectors[1] + 0.1 * vectors[UNSEEN]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names, none = np.array([f"i{item:02}" for item in range(ITEMS)], object), np.array([], object)
    codes, texts = np.full((ITEMS, 3), -1, np.int32), np.arange(ITEMS)
    return Catalogue(names, names, codes, (none,) * 3, codes[:, 0], none, texts, vectors.astype(np.float16))


def histories(orders: list[list[tuple[int, list[int]]]]) -> PurchaseHistory:
    """Of each customer the orders: age in days, items."""
    flat = [
        (age, item, (who, place))
        for who, mine in enumerate(orders)
        for place, (age, items) in enumerate(mine)
        for item in items
    ]
    lines = [sum(len(items) for _, items in mine) for mine in orders]
    number = {key: place for place, key in enumerate(sorted({key for *_, key in flat}))}
    zeros = np.zeros(len(flat), np.float32)
    return PurchaseHistory(
        customer_ids=np.array([f"c{who:03}" for who in range(len(orders))], object),
        starts=np.r_[0, np.cumsum(lines)].astype(np.int64),
        width=ITEMS,
        items=np.array([item for _, item, _ in flat], np.int32),
        ages=np.array([age for age, *_ in flat], np.int32),
        orders=np.array([number[key] for *_, key in flat], np.int32),
        quantities=zeros + 1,
        paid=zeros,
        listed=zeros,
    )


def planted() -> PurchaseHistory:
    """Every five weeks a customer tries something new, and a week or two later what follows it."""
    random, orders = np.random.default_rng(0), []
    for _ in range(CUSTOMERS):
        mine: list[tuple[int, list[int]]] = []
        for time, pair in enumerate(random.permutation(PAIRS)):
            age = 7 * WEEKS - 35 * time - int(random.integers(1, 6))
            mine += [(age, [2 * int(pair)]), (age - int(random.integers(5, 12)), [2 * int(pair) + 1])]
            if random.random() < 0.5:
                mine[-1][1].append(ITEMS - 2)
        orders.append(mine)
    return histories(orders)


@pytest.fixture(scope="module")
def learnt() -> SequenceModel:
    return SequenceModel.fit(planted(), catalogue(), CHOSEN)


def test_what_follows_is_learned_though_another_item_is_more_popular(learnt: SequenceModel):
    asked = histories([[(3, [2 * pair])] for pair in range(PAIRS)])
    new = learnt.scores(asked)[:, 1 : 2 * PAIRS : 2]
    assert (new.argmax(axis=1) == np.arange(PAIRS)).all()


def test_an_item_that_nobody_bought_is_found_by_its_text(learnt: SequenceModel):
    begun, other = learnt.scores(histories([[(3, [0])], [(3, [4])]]))[:, UNSEEN]
    assert begun > other + 0.5


def test_the_order_counts_and_not_only_what_was_bought(learnt: SequenceModel):
    """Only the newer of two things is still waiting for what follows it."""
    one, other = learnt.scores(histories([[(40, [0]), (3, [2])], [(40, [2]), (3, [0])]]))
    assert one[3] - one[1] > 0.5 > -0.5 > other[3] - other[1]


def test_who_never_bought_anything_is_offered_what_sells(learnt: SequenceModel):
    nobody = learnt.scores(histories([[]]))[0]
    assert nobody.argmax() != UNSEEN
    assert np.isfinite(nobody).all()


def test_the_same_history_gives_the_same_weights_and_they_can_be_kept(learnt: SequenceModel, tmp_path: Path):
    few = CHOSEN.model_copy(update={"steps": 5})
    once, again = (SequenceModel.fit(planted(), catalogue(), few) for _ in range(2))
    assert all(torch.equal(held, again.weights[name]) for name, held in once.weights.items())
    assert again.losses == once.losses
    learnt.save(tmp_path)
    block = planted().of(np.array([5, -1, 7]))
    loaded = SequenceModel.load(tmp_path)
    np.testing.assert_array_equal(loaded.scores(block), learnt.scores(block))
    assert loaded.losses == learnt.losses
    np.testing.assert_allclose(learnt.scores(block)[2], learnt.scores(block.of(np.array([2])))[0], atol=1e-4)


def test_a_warm_start_goes_on_where_the_older_model_stopped(learnt: SequenceModel):
    few = CHOSEN.model_copy(update={"steps": 3})
    cold, warm = (SequenceModel.fit(planted(), catalogue(), few, older) for older in (None, learnt))
    assert warm.losses[0] < cold.losses[0] - 0.3


def test_learning_ends_when_the_time_is_up():
    assert (
        len(SequenceModel.fit(planted(), catalogue(), CHOSEN.model_copy(update={"seconds": 1e-3})).losses)
        == 1
    )


def test_nothing_after_a_moment_is_read():
    """States and features at a moment are those of a history that ends there."""
    whole, weeks = planted(), 10
    ended = reading.with_lines(whole, whole.ages >= 7 * weeks)
    one, other = (reading.SequenceInputs.of(of, np.array([7 * weeks])) for of in (whole, ended))
    (known, features, wanted), (known_then, facts_then, nothing) = (
        reading.pairs(of, read.places, np.array([7 * weeks])) for of, read in ((whole, one), (ended, other))
    )
    np.testing.assert_array_equal(known, known_then)
    np.testing.assert_array_equal(features, facts_then)
    assert wanted.shape[1] > nothing.shape[1] == 0
    lesson = TrainingData.of(whole, catalogue(), CHOSEN)
    network = lesson.network(CHOSEN).eval()
    initialise(network, lesson)
    torch.nn.init.normal_(network.exit[1].weight)
    with torch.inference_mode():
        vectors, _ = network.vectors(lesson.texts, lesson.own)
        said = [
            network.states(torch.from_numpy(block.items).long(), vectors, read)
            for block, read in ((whole, one), (ended, other))
        ]
    torch.testing.assert_close(*said, atol=1e-5, rtol=1e-5)
    np.testing.assert_array_equal(
        ItemTrends.of(whole, catalogue()).features(np.array([weeks])),
        ItemTrends.of(ended, catalogue()).features(np.array([weeks])),
    )


def test_a_sample_of_the_catalogue_stands_for_the_whole():
    """The sum over drawn items, each by one over its share, is on average that over all."""
    whole, lesson = planted(), TrainingData.of(planted(), catalogue(), CHOSEN)
    shares = np.where(lesson.shares > 0, 0.5, 0)
    sampled = replace(lesson, shares=shares)
    network, random = lesson.network(CHOSEN).eval(), np.random.default_rng(0)
    torch.nn.init.normal_(network.own.weight, generator=torch.Generator().manual_seed(0))
    block = whole.of(np.array([0]))
    block = reading.with_lines(block, (block.ages < 140) & (block.ages >= 112))

    def total(one: TrainingData, drawn: np.ndarray) -> float:
        with torch.inference_mode():
            return np.exp(loss(network, one, block, np.array([20]), np.flatnonzero(drawn)).item())

    exact = total(lesson, lesson.shares > 0)
    found = [total(sampled, random.random(ITEMS) < shares) for _ in range(500)]
    assert np.std(found) > 0.05 * exact
    assert abs(np.mean(found) - exact) < 4 * np.std(found) / np.sqrt(500)


def test_as_a_source_it_learns_on_the_oldest_day_and_reads_as_of_each(learnt: SequenceModel, tmp_path: Path):
    chosen = recommender_settings().model_copy(
        update={"sequence": CHOSEN.model_copy(update={"steps": 3}), "candidates": {"sequence": 2}}
    )
    days = [planted(), aged(planted(), 70)]
    fits = [CandidateSources.fit(one, catalogue(), np.ones(ITEMS, bool), chosen) for one in days]
    before_sequence = fits[0]
    now, before = with_sequence_model(fits, days)
    assert now.sequence is not None
    assert before.sequence is not None
    oldest = SequenceModel.fit(days[1], catalogue(), chosen.sequence)
    assert all(torch.equal(held, now.sequence.weights[name]) for name, held in oldest.weights.items())
    assert torch.equal(before.sequence.prior, oldest.prior)
    assert not torch.equal(now.sequence.prior, oldest.prior)

    learned = before_sequence.with_sequence(learnt.on(planted(), catalogue()))
    learned.save(tmp_path)
    block = CustomerBlock(planted(), catalogue(), now.item_features)
    said = CandidateSources.load(tmp_path, catalogue(), chosen).scores(block)["sequence"]
    assert tuple(learned.scores(block)) == learned.score_names
    np.testing.assert_array_equal(said, learned.scores(block)["sequence"])
    never = planted().bought.toarray()[:, now.pool] == 0
    less = (np.log(said) - learnt.scores(planted())[:, now.pool])[never]
    rows = np.nonzero(never)[0]
    np.testing.assert_allclose(less, less[np.searchsorted(rows, rows)], atol=1e-4)

    asked, items = np.arange(CUSTOMERS), np.full(CUSTOMERS, now.pool[0])
    source = learned.source_of("sequence")
    assert source.reason is Reason.SEQUENCE
    proofs = source.evidence(block, asked, items)
    assert (proofs >= 0).mean() > 0.5
    assert planted().bought.toarray()[asked, proofs][proofs >= 0].all()


def aged(history: PurchaseHistory, days: int) -> PurchaseHistory:
    """As it was so many days ago."""
    then = reading.with_lines(history, history.ages >= days)
    return replace(then, ages=(then.ages - days).astype(np.int32))
