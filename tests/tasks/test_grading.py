"""Grades are right, come in time whatever is graded, and leave no process behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tts.errors import GradingError
from tts.tasks import grade, grading
from tts.tasks._pool import Workers

TOWER = "9^{9^{9^{9}}}"


@pytest.mark.parametrize(
    ("answer", "gold"),
    [("18", "18"), ("1,000", "1000"), ("18 eggs", "18"), ("0.5", r"\frac{1}{2}"), ("50%", "50"),
     ("0.333333", "1/3"), ("50%", "1/2"), ("x=5", "5"), ("5", "x=5"), ("2,1", r"\{1,2\}"),
     ("(x+1)^2", "x^2+2x+1"), (r"x\le 5", r"(-\infty,5]"), ("evelyn", r"\text{Evelyn}"),
     ("(B)", "B"), (r"\sqrt{8}", r"2\sqrt{2}"), ("(1,2)", r"\left( 1, 2 \right)"),
     (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix}1\\2\end{pmatrix}"),
     (r"\$5.00", "5"), ("12:30", "12:30"), ("no solution", "No solution")],
)  # fmt: skip
async def test_right_answers(answer: str, gold: str) -> None:
    assert await grade(answer, gold)
    assert await grade(gold, answer)


@pytest.mark.parametrize(
    ("answer", "gold"),
    [("17", "18"), ("1.8", "18"), ("3.14", "3.14159"), ("1/3", "0.33"), ("(1,2)", "(1,2]"),
     ("x=4", "5"), ("1,2", "1"), ("x+1", "x-1"), (r"\sqrt{3}", "2"), ("A", "B"), ("", "0"),
     ("yes", "no"), ("5 million", "5"), (r"\frac{1}{", "1"), (TOWER[:-1], "9"), ("\\", "1")],
)  # fmt: skip
async def test_wrong_answers(answer: str, gold: str) -> None:
    assert not await grade(answer, gold)
    assert not await grade(gold, answer)


async def test_no_answer_is_never_right() -> None:
    assert not await grade(None, "None")
    assert not await grade("", "")


@settings(max_examples=30, deadline=None)
@given(st.decimals(-100, 100, places=7), st.decimals(-100, 100, places=7))
async def test_grading_decimals_is_symmetric_and_six_places_fine(a: object, b: object) -> None:
    assert await grade(f"{a:f}", f"{a:f}0")
    assert await grade(str(a), str(b)) == await grade(str(b), str(a))


async def test_plain_numbers_never_reach_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grading, "_workers", None)
    assert await grade("1,000.00", "1000")
    assert await grade(r"\frac{1}{2}", "0.5")
    assert not await grade("17", "18")
    assert await grade(TOWER, f"${TOWER}$")


async def test_the_time_limit_holds_and_the_next_grade_works() -> None:
    await grade("x+1", "1+x")  # a worker is up
    started = time.perf_counter()
    assert not await grade(TOWER, "5", seconds=0.5)
    assert time.perf_counter() - started < 2.5
    assert await grade("2x+1", "1+2x")


class LateWorkers:
    """Every request is late."""

    asked = 0

    async def ask(self, request: Sequence[str], seconds: float) -> None:
        self.asked += 1
        await asyncio.sleep(0)
        raise TimeoutError


async def test_the_same_question_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    late = LateWorkers()
    monkeypatch.setattr(grading, "_workers", late)
    assert not any(await asyncio.gather(*(grade("x+8", "x+9") for _ in range(50))))
    assert not await grade("x+8", "x+9")
    assert late.asked == 1
    assert await grading.symbolic_key("x+8") == "x+8"
    assert late.asked == 2


async def test_a_cancelled_caller_takes_nobody_with_it() -> None:
    first = asyncio.create_task(grade("3x+3", "3(x+1)"))
    second = asyncio.create_task(grade("3x+3", "3(x+1)"))
    await asyncio.sleep(0)
    first.cancel()
    assert await second
    assert first.cancelled()


FAKE = """
import json, os, sys, time
print('"ready"', flush=True)
for line in sys.stdin:
    (job, *rest) = json.loads(line)
    if job == "crash" or job == "once" and not os.path.exists(rest[0]):
        if rest:
            open(rest[0], "w").close()
        os._exit(3)
    if job == "sleep":
        time.sleep(60)
    print(json.dumps(os.getpid()), flush=True)
"""


@pytest.fixture
def workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workers:
    (tmp_path / "fake_worker.py").write_text(FAKE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return Workers("fake_worker", size=2)


async def test_workers_are_kept_and_shared(workers: Workers) -> None:
    one = await workers.ask(["work"], 5)
    assert one == await workers.ask(["work"], 5)
    assert len(set(await asyncio.gather(*(workers.ask(["work"], 5) for _ in range(9))))) <= 2
    workers.close()
    assert not _runs(one)
    assert await workers.ask(["work"], 5) != one
    workers.close()


async def test_a_crash_is_tried_again_once(workers: Workers, tmp_path: Path) -> None:
    assert await workers.ask(["once", str(tmp_path / "crashed")], 5)
    with pytest.raises(GradingError, match="crashed twice"):
        await workers.ask(["crash"], 5)
    assert await workers.ask(["work"], 5)
    workers.close()


async def test_a_worker_that_died_while_idle_is_replaced(workers: Workers) -> None:
    first = await workers.ask(["work"], 5)
    os.kill(first, signal.SIGKILL)
    assert await workers.ask(["work"], 5) != first
    workers.close()


async def test_late_and_cancelled_requests_end_their_worker(workers: Workers) -> None:
    first = await workers.ask(["work"], 5)
    with pytest.raises(TimeoutError):
        await workers.ask(["sleep"], 0.2)
    assert not _runs(first)
    second = await workers.ask(["work"], 5)
    task = asyncio.create_task(workers.ask(["sleep"], 60))
    await asyncio.sleep(0.1)
    task.cancel()
    await asyncio.wait([task])
    assert not _runs(second)


async def test_a_worker_that_does_not_start_is_a_clear_error() -> None:
    with pytest.raises(GradingError, match="does not start"):
        await Workers("no_such_module_at_all", size=1).ask(["work"], 5)


def test_workers_serve_one_event_loop_after_the_other(workers: Workers) -> None:
    async def crowd() -> set[int]:
        return set(await asyncio.gather(*(workers.ask(["work"], 5) for _ in range(5))))

    assert asyncio.run(crowd()) & asyncio.run(crowd())
    workers.close()


# No `if __name__ == "__main__"` on purpose.
SCRIPT = """
import asyncio, sys
from tts.tasks import grade
print("main", flush=True)

async def main():
    print(await grade("x+1", "1+x"), flush=True)
    if sys.argv[1] == "busy":
        await grade("9^{9^{9^{9}}}", "5", seconds=60)
    if sys.argv[1] == "idle":
        await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("mode", "kill"),
    [("end", None), ("busy", signal.SIGINT), ("idle", signal.SIGINT), ("idle", signal.SIGKILL)],
)
def test_no_process_outlives_its_parent(
    mode: str, kill: signal.Signals | None, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    root = str(Path(__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, "-W", "error", str(script), mode],
        env={**os.environ, "PYTHONPATH": root},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None and parent.stderr is not None
        assert parent.stdout.readline() == "main\n"
        assert parent.stdout.readline() == "True\n"
        children = _children(parent.pid)
        if kill:
            time.sleep(0.3)
            parent.send_signal(kill)
        parent.wait(timeout=20)
        assert parent.stdout.read() == ""  # the main module ran once
        assert "Warning" not in parent.stderr.read()
    assert len(children) == 1 or mode == "end"
    _wait_until(lambda: not any(map(_runs, children)))


def _children(pid: int) -> list[int]:
    return [
        int(stat.parent.name)
        for stat in Path("/proc").glob("[0-9]*/stat")
        if _stat(stat)[1:2] == [str(pid)]
    ]


def _runs(pid: int) -> bool:
    return _stat(Path(f"/proc/{pid}/stat"))[:1] not in ([], ["Z"])


def _stat(path: Path) -> list[str]:
    """State, parent, and so on; empty if the process is gone."""
    try:
        return path.read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
