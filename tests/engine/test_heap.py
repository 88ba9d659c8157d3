"""What lives as long as an engine is set aside from the garbage collector, and given back."""

from __future__ import annotations

import gc
import weakref

import pytest

from tts.engine.heap import Heap


class Node:
    """Something that refers to itself, so that only the collector can throw it away."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture
def heap():
    """A heap, in a process that has set nothing aside."""
    gc.unfreeze()
    yield Heap()
    gc.unfreeze()


def test_what_is_there_is_set_aside_until_the_last_engine_has_ended(heap):
    node = Node()
    seen = weakref.ref(node)
    heap.hold()
    heap.hold()
    del node
    gc.collect()
    assert seen() is not None and gc.get_freeze_count()
    heap.release()
    assert gc.get_freeze_count()
    heap.release()
    assert not gc.get_freeze_count()
    gc.collect()
    assert seen() is None


def test_garbage_is_not_kept(heap):
    seen = weakref.ref(Node())
    heap.hold()
    assert seen() is None


def test_what_comes_later_is_collected_as_ever(heap):
    heap.hold()
    seen = weakref.ref(Node())
    gc.collect()
    assert seen() is None
