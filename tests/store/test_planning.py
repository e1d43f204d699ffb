"""Which rows a store made of others has, in which order, and whose features they get."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from featx.store.planning import plan_rows
from tests.store_samples import Sources, content_hash, failure, make_copies, values_of


@pytest.fixture
def sources(tmp_path: Path) -> Iterator[Sources]:
    made = Sources(tmp_path)
    yield made
    for store in made.stores:
        store.close()


def test_later_rows_replace_earlier_ones_at_their_position(sources: Sources) -> None:
    sources.add("a.png", "b.png", "c.png", value=1)
    sources.add("d.png", "b.png", value=2)
    with sources.assemble() as store:
        assert list(values_of(store).items()) == [
            ("a.png", 1),
            ("b.png", 2),
            ("c.png", 1),
            ("d.png", 2),
        ]
        assert [row.tobytes() for row in store.content_hash] == [
            content_hash(f"{key} {value:.0f}") for key, value in values_of(store).items()
        ]
        assert store.file_size.tolist() == [100, 101, 102, 100]


def test_the_newest_of_many_rows_counts(sources: Sources) -> None:
    sources.add("a.png", "b.png", value=1)
    sources.add("b.png", value=2)
    sources.add("a.png", value=3)
    sources.add("b.png", value=4)
    with sources.assemble() as store:
        assert list(values_of(store).items()) == [("a.png", 3), ("b.png", 4)]


def test_keys_come_in_the_order_given_and_else_as_they_came(sources: Sources) -> None:
    sources.add("m.png")
    sources.add("z.png", "a.png", "y.png", "k.png")
    with sources.assemble(order=["a.png", "k.png", "m.png", "unknown.png"]) as store:
        assert store.keys == ("a.png", "k.png", "m.png", "z.png", "y.png")


def test_failure_replaces_a_row_and_success_clears_a_failure(sources: Sources) -> None:
    sources.add("a.png", "b.png", failures=[failure("c.png"), failure("d.png", "old")])
    sources.add("c.png", failures=[failure("a.png"), failure("d.png", "new")])
    with sources.assemble() as store:
        assert store.keys == ("b.png", "c.png")
        assert store.failures == (failure("d.png", "new"), failure("a.png"))


def test_image_that_failed_in_between_keeps_its_position(sources: Sources) -> None:
    sources.add("a.png", "b.png", value=1)
    sources.add(failures=[failure("a.png")])
    sources.add("a.png", value=2)
    with sources.assemble(order=["a.png", "b.png"]) as store:
        assert list(values_of(store).items()) == [("a.png", 2), ("b.png", 1)]
        assert store.failures == ()


def test_dropped_keys_and_failures(sources: Sources) -> None:
    sources.add("a.png", "b.png", "c.png", failures=[failure("x.png"), failure("y.png")])
    with sources.assemble(dropped=["b.png", "n.png"], dropped_failures=["x.png"]) as store:
        assert store.keys == ("a.png", "c.png")
        assert store.failures == (failure("y.png"),)


def test_no_sources_are_no_rows() -> None:
    plan = plan_rows([])
    assert (len(plan), plan.columns.shape, plan.features.shape) == (0, (0, 2), (0, 2))


# Copies


def test_copies_point_to_the_features_of_their_owner(sources: Sources) -> None:
    sources.add("a.png", "b.png", value=1)
    sources.add("c.png", value=2, copies=make_copies({"x.png": "b.png 1", "y.png": "c.png 2"}))
    plan = plan_rows(sources.stores)
    assert plan.columns.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1], [1, 2]]
    assert plan.features.tolist() == [[0, 0], [0, 1], [1, 0], [0, 1], [1, 0]]


def test_copies_outlive_the_row_that_owned_their_features(sources: Sources) -> None:
    sources.add("renamed.png", "changed.png", "broken.png", value=1)
    sources.add(
        "changed.png",
        value=2,
        failures=[failure("broken.png")],
        copies=make_copies({f"{n}.png": f"{n}ed.png 1" for n in ("renam", "chang")}),
    )
    sources.add(copies=make_copies({"b.png": "broken.png 1"}))
    with sources.assemble(dropped=["renamed.png"]) as store:
        assert values_of(store) == {"changed.png": 2, "renam.png": 1, "chang.png": 1, "b.png": 1}


def test_copy_replaces_a_row_and_clears_a_failure(sources: Sources) -> None:
    sources.add("a.png", "b.png", value=1)
    sources.add("a.png", value=2, failures=[failure("c.png")])
    sources.add(copies=make_copies({"a.png": "b.png 1", "c.png": "b.png 1"}))
    with sources.assemble() as store:
        assert values_of(store) == {"a.png": 1, "b.png": 1, "c.png": 1}
        assert store.content_hash[0].tobytes() == content_hash("b.png 1")
        assert store.failures == ()


def test_row_replaces_a_copy(sources: Sources) -> None:
    sources.add("a.png", value=1, copies=make_copies({"b.png": "a.png 1"}))
    sources.add("b.png", value=2)
    with sources.assemble() as store:
        assert values_of(store) == {"a.png": 1, "b.png": 2}


def test_copies_whose_owner_is_lost_are_left_out(sources: Sources) -> None:
    lost = {"x.png": "lost.png 1", "b.png": "lost.png 1", "y.png": "a.png 1", "f.png": "lost.png 1"}
    sources.add("a.png", "b.png", value=1, failures=[failure("f.png")])
    sources.add(copies=make_copies(lost))
    with sources.assemble() as store:
        assert values_of(store) == {"a.png": 1, "b.png": 1, "y.png": 1}
        assert store.failures == (failure("f.png"),)


def test_rewritten_times_of_the_same_content(sources: Sources) -> None:
    # A touched file comes as a copy of itself: only its size and time are new.
    sources.add("a.png", "b.png", value=1)
    sources.add(copies=make_copies({"b.png": "b.png 1"}))
    with sources.assemble() as store:
        assert values_of(store) == {"a.png": 1, "b.png": 1}
        assert store.file_size.tolist() == [100, 100]
        assert store.file_mtime_ns.tolist() == [10**18, 10**18]
