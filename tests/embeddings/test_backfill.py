from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from perennial.embeddings import pipeline
from perennial.embeddings.switch import NoDayError
from perennial.foundation.embedding_spaces import ENCODER, embedding_settings, in_force, item_vectors
from perennial.foundation.encoder import Choice, EncoderError
from perennial.foundation.lake import Lake
from perennial.foundation.ledger import open_ledger
from perennial.foundation.modelling import model_log
from tests.acceptance import embed_kills
from tests.acceptance.embed_switch import seen_during
from tests.content import rows
from tests.embeddings.catalogue import MONDAY, TUESDAY, land

DAY, NEXT = str(MONDAY), str(TUESDAY)
WEDNESDAY = TUESDAY + timedelta(days=1)


def backfill(encoder: str = "", template: str = "") -> list[int]:
    """All tasks of the DAG; how many texts each shard encoded."""
    space = pipeline.choose(encoder, "", "", template)
    done = [pipeline.encode_backfill(shard, space) for shard in pipeline.plan_backfill(space)]
    pipeline.switch_over(space)
    return done


def close(day: date) -> None:
    open_ledger().close([day], announced_with=day)


def widths(lake: Lake, day: date) -> set[int]:
    """How wide the vectors are that a reader of the day gets."""
    found = item_vectors(lake, lake.known("items", day), day).to_pyarrow()
    return {len(vector) for vector in found["vector"].to_pylist()}


def log(lake: Lake) -> list[tuple[date, int, str]]:
    named = {choice.key: name for name, choice in embedding_settings().encoders.items()}
    found = model_log.records(lake, ENCODER)
    spaces = [in_force(lake, row.day).encoder.key for row in found]
    return [(row.day, row.change, named[key]) for row, key in zip(found, spaces, strict=True)]


def test_a_new_encoder_is_in_force_from_the_first_open_day_and_the_past_keeps_the_old_one(lake: Lake):
    pipeline.embed(DAY)
    before = rows(lake, "item_embeddings")
    assert sum(backfill("small")) == 20
    assert log(lake) == [(MONDAY, 1, "minilm"), (TUESDAY, 1, "small")]
    assert (widths(lake, MONDAY), widths(lake, TUESDAY)) == ({384}, {64})
    assert [row for row in rows(lake, "item_embeddings") if len(row["vector"]) == 384] == before
    land(lake, TUESDAY, [("new", "Bread")])
    close(TUESDAY)
    assert pipeline.embed(NEXT) == 1
    assert pipeline.embed(DAY) == 0
    assert widths(lake, TUESDAY) == {64}


def test_back_again_encodes_only_what_came_meanwhile(lake: Lake):
    pipeline.embed(DAY)
    backfill("small")
    land(lake, TUESDAY, [("new", "Bread")])
    close(TUESDAY)
    pipeline.embed(NEXT)
    assert backfill("minilm") == [1]
    assert log(lake) == [(MONDAY, 1, "minilm"), (TUESDAY, 1, "small"), (WEDNESDAY, 1, "minilm")]
    assert [widths(lake, day) for day in (MONDAY, TUESDAY, WEDNESDAY)] == [{384}, {64}, {384}]


def test_there_and_back_before_a_day_is_closed_leaves_the_last_word(lake: Lake):
    pipeline.embed(DAY)
    backfill("small")
    assert backfill("minilm") == []
    assert [(row.day, row.change) for row in model_log.records(lake, ENCODER)] == [
        (MONDAY, 1),
        (TUESDAY, 1),
        (TUESDAY, 2),
    ]
    assert widths(lake, TUESDAY) == {384}


def test_what_is_in_force_already_is_left_as_it_is(lake: Lake):
    pipeline.embed(DAY)
    backfill("small")
    versions = [lake.version(name) for name in ("item_embeddings", "model_log")]
    assert backfill("small") == backfill() == []
    assert [lake.version(name) for name in ("item_embeddings", "model_log")] == versions


def test_another_template_is_a_backfill_too(lake: Lake):
    pipeline.embed(DAY)
    assert sum(backfill(template="short")) == 20
    assert in_force(lake, TUESDAY).text == embedding_settings().templates["short"]
    assert in_force(lake, TUESDAY).encoder == in_force(lake, MONDAY).encoder


def test_days_go_on_under_the_old_encoder_and_what_came_meanwhile_is_encoded_before_the_switch(lake: Lake):
    pipeline.embed(DAY)
    space = pipeline.choose("small", "", "", "")
    shards = pipeline.plan_backfill(space)
    land(lake, TUESDAY, [("new", "Bread"), ("i1", "Cheese")])
    close(TUESDAY)
    assert pipeline.embed(NEXT) == 2
    for shard in shards:
        pipeline.encode_backfill(shard, space)
    pipeline.switch_over(space)
    assert [widths(lake, day) for day in (MONDAY, TUESDAY, WEDNESDAY)] == [{384}, {384}, {64}]
    assert item_vectors(lake, lake.known("items", WEDNESDAY), WEDNESDAY).count().to_pyarrow().as_py() == 41


def test_a_shop_that_was_embedded_before_there_was_a_log_keeps_its_past(lake: Lake):
    backfill("small")
    assert log(lake) == [(MONDAY, 1, "minilm"), (TUESDAY, 1, "small")]


def test_without_a_closed_day_there_is_nothing_to_switch(shop: Path, small_encoder: Choice):
    space = pipeline.choose(small_encoder.name, "", small_encoder.weights_sha256, "")
    with pytest.raises(NoDayError, match=r"no day is closed yet.*embeddings\.yaml"):
        pipeline.switch_over(space)


def test_a_dry_run_says_what_it_would_cost_and_writes_nothing(lake: Lake):
    pipeline.embed(DAY)
    version = lake.version("item_embeddings")
    found = pipeline.estimate(pipeline.choose("small", "", "", ""), 30)
    assert (found["texts"], found["shards"]) == (20, 4)
    assert found["tokens"] == sum(shard["tokens"] for shard in pipeline.plan_backfill(space_of("small")))
    assert found["minutes"] == pytest.approx(found["tokens"] / found["tokens_per_second"] / 60, abs=0.01)
    assert lake.version("item_embeddings") == version
    assert pipeline.estimate(pipeline.choose("", "", "", ""))["minutes"] == 0


def space_of(encoder: str) -> dict:
    return pipeline.choose(encoder, "", "", "")


def test_the_form_takes_names_or_an_encoder_with_its_weights(lake: Lake, small_encoder: Choice):
    known = embedding_settings()
    assert space_of(" small ")["encoder"] == small_encoder.model_dump(mode="json")
    named = pipeline.choose("some/encoder", "abcdef0", "0" * 64, "short")
    assert (named["encoder"]["name"], named["encoder"]["weights_sha256"]) == ("some/encoder", "0" * 64)
    assert named["text"] == known.templates["short"].model_dump(mode="json")
    with pytest.raises(ValueError, match="encoder: found 'some/encoder'; allowed are minilm, small"):
        space_of("some/encoder")
    with pytest.raises(ValueError, match="template: found 'long'; allowed are short, title_and_category"):
        pipeline.choose("", "", "", "long")
    with pytest.raises(ValueError, match=r"revision belong to .* found encoder 'minilm', which is pinned"):
        pipeline.choose("minilm", "abcdef0", "", "")
    with pytest.raises(ValueError, match=r"form: weights_sha256: .* found 'half of it'"):
        pipeline.choose("some/encoder", "", "half of it", "")


def test_other_weights_than_the_pinned_ones_stop_a_backfill_before_it_begins(
    lake: Lake, small_encoder: Choice
):
    space = pipeline.choose(small_encoder.name, "", "0" * 64, "")
    with pytest.raises(EncoderError, match="they are not used"):
        pipeline.plan_backfill(space)
    assert open_ledger().about(pipeline.BACKFILL) is None


def test_vectors_that_no_day_can_ask_for_are_removed_and_no_others(lake: Lake):
    pipeline.embed(DAY)
    backfill("small")
    land(lake, TUESDAY, [("new", "Bread")])
    pipeline.embed(NEXT)
    stray = {"encoder": "given up", "text_hash": "0", "text": "Soup", "vector": [1.0]}
    lake.add("item_embeddings", pa.Table.from_pylist([stray]))
    held = rows(lake, "item_embeddings")
    # What Tuesday brought is taken back: no version of any item says "Bread" any more.
    land(lake, TUESDAY, [("i1", "Soup number 3")])
    assert pipeline.remove_orphans(dry_run=True) == 2
    assert rows(lake, "item_embeddings") == held
    assert pipeline.remove_orphans() == 2
    assert rows(lake, "item_embeddings") == [row for row in held if row["text"] not in ("Bread", "Soup")]
    version = lake.version("item_embeddings")
    assert pipeline.remove_orphans() == 0
    assert lake.version("item_embeddings") == version


def test_a_backfill_under_way_keeps_its_vectors_and_one_that_was_given_up_does_not(lake: Lake):
    pipeline.embed(DAY)
    space = space_of("small")
    first, *_ = pipeline.plan_backfill(space)
    pipeline.encode_backfill(first, space)
    assert pipeline.remove_orphans() == 0
    backfill(template="short")
    assert pipeline.remove_orphans() == first["texts"]


def test_a_reader_sees_only_whole_old_or_whole_new_vectors(lake: Lake):
    pipeline.embed(DAY)
    seen = seen_during(lambda: backfill("small"), [MONDAY, TUESDAY])
    assert seen.states == [[(40, (384,))], [(40, (384,)), (40, (64,))]]


def test_tasks_killed_at_any_moment_leave_nothing_that_the_next_try_does_not_mend():
    found = list(embed_kills.run("backfill_embeddings", 0, 2))
    assert [kill.differences for kill in found] == [[], []]
    assert max(kill.most for kill in found) <= 2
