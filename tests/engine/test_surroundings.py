"""Variables that several hold at once, and that come back as they were."""

from __future__ import annotations

import threading

from tts.engine.surroundings import Surroundings

WANTED = {"A": "1", "B": None, "C": "new"}


def test_variables_are_set_while_they_are_held_and_put_back():
    variables = {"B": "2", "C": "old"}
    surroundings = Surroundings(variables)
    with surroundings.held(WANTED):
        assert variables == {"A": "1", "C": "new"}
        assert surroundings.own() == {"B": "2", "C": "old"}
    assert variables == surroundings.own() == {"B": "2", "C": "old"}


def test_who_wants_the_same_need_not_wait():
    variables = {}
    surroundings = Surroundings(variables)
    first, second = surroundings.held({"A": "1"}), surroundings.held({"A": "1"})
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert variables == {"A": "1"}
    second.__exit__(None, None, None)
    assert variables == {}


def test_who_wants_something_else_waits_for_his_turn():
    variables = {}
    surroundings = Surroundings(variables)
    seen, inside = [], threading.Event()

    def other():
        inside.set()
        with surroundings.held({"A": "2"}):
            seen.append(dict(variables))

    with surroundings.held({"A": "1"}):
        thread = threading.Thread(target=other)
        thread.start()
        inside.wait()
        thread.join(0.1)
        assert seen == []
        assert variables == {"A": "1"}
    thread.join()
    assert seen == [{"A": "2"}]
    assert variables == {}
