"""Starts that are called off: whose processes are whose."""

from __future__ import annotations

import multiprocessing
import threading
import time

from tts.engine.launch import _Build

SPAWN = multiprocessing.get_context("spawn")


class Builder(_Build):
    """Spawns a process as vLLM does, in the thread that builds, and waits for it."""

    def __init__(self):
        super().__init__(None, None)
        self.spawned = threading.Event()
        self.process = SPAWN.Process(target=time.sleep, args=(60,))

    def __call__(self):
        self._thread = threading.get_native_id()
        self.process.start()
        self.spawned.set()
        self.process.join()


def test_a_start_that_is_called_off_kills_its_own_processes_and_no_others():
    first, second = Builder(), Builder()
    threads = [threading.Thread(target=builder) for builder in (first, second)]
    for thread in threads:
        thread.start()
    first.spawned.wait()
    second.spawned.wait()
    first.call_off()
    threads[0].join()
    assert second.process.is_alive()
    second.call_off()
    threads[1].join()
    assert not second.process.is_alive()
