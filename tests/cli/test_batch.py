"""`tts batch`: what goes in, what comes out, what is refused, and how it is stopped."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

import tts.backends.arithmetic as simulation
from tests.cli.batches import SIMULATED, batch, by_id, records, row, timeless, tokens, write
from tts.backends.simulated import SimulatedBackend
from tts.cli import main
from tts.errors import BackendError


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def unstarted(monkeypatch):
    """No backend may be started."""

    async def start(self):
        raise AssertionError("a backend was started")

    monkeypatch.setattr(SimulatedBackend, "start", start)


@pytest.fixture
def at(monkeypatch):
    """Has something happen at the n-th request for an answer, and at each one after it."""

    def plan(number, happens):
        real, seen = simulation.work_out, []

        def work_out(text):
            seen.append(text)
            if len(seen) >= number:
                happens(len(seen) - number)
            return real(text)

        monkeypatch.setattr(simulation, "work_out", work_out)

    return plan


# --- what goes in and comes out ------------------------------------------------------------------


def test_records_say_what_was_answered(capsys):
    write(row(1, answer=3), row(2), row(3, answer="wrong"))
    assert batch(*SIMULATED, "backend.accuracy=1", "backend.spread=0") == 0
    found = by_id()
    assert list(found) == ["q1", "q2", "q3"]
    assert [each["answer"] for each in found.values()] == ["3", "5", "7"]
    assert [each["correct"] for each in found.values()] == [True, None, False]
    assert [each["gold"] for each in found.values()] == ["3", None, "wrong"]
    assert all(each["text"].endswith(f"\\boxed{{{each['answer']}}}") for each in found.values())
    assert (Path("out") / "trees.jsonl").read_bytes().count(b"\n") == 1, "no texts but the answer"
    said = capsys.readouterr().out
    assert "3 of 3 requests: 3 answered." in said and "Results: out/results.jsonl" in said


def test_the_same_command_does_what_is_left_and_no_more(capsys):
    write(*map(row, range(5)))
    assert batch(*SIMULATED) == 0
    before = Path("out/results.jsonl").read_bytes()
    assert batch(*SIMULATED) == 0
    assert Path("out/results.jsonl").read_bytes() == before
    write(*map(row, range(8)))
    assert batch(*SIMULATED) == 0
    assert Path("out/results.jsonl").read_bytes().startswith(before)
    assert len(by_id()) == 8
    assert "Going on in out: 5 of 8 requests are done." in capsys.readouterr().err


def test_other_names_and_places_of_a_file_are_the_same_batch():
    write(*map(row, range(4)))
    assert batch(*SIMULATED, "--limit", 2) == 0
    Path("elsewhere").mkdir()
    Path("in.jsonl").rename("elsewhere/other.jsonl")
    assert main(["batch", "elsewhere/other.jsonl", "out", *SIMULATED, "concurrency=3"]) == 0
    assert len(by_id()) == 4


def test_a_name_full_of_signs_means_nothing_to_the_command_line(capsys):
    name = r"a 'b' \'c,[d]=e{f}$.jsonl"
    write(row(1), path=name)
    assert main(["batch", name, "o,u=t", *SIMULATED]) == 0
    assert list(by_id("o,u=t")) == ["q1"]
    assert main(["batch", name, "${seed}", *SIMULATED]) == 2
    assert "The name ${seed} holds '${'" in capsys.readouterr().err


def test_repeats_draw_anew():
    write(*map(row, range(4)))
    hot = ("backend=simulated", "strategy=self_consistency", "strategy.n=1", "backend.accuracy=0.5")
    assert batch(*hot) == 0
    assert batch(*hot, "--repeats", 5) == 0
    found = records()
    assert sorted((each["id"], each["repeat"]) for each in found) == [
        (f"q{i}", repeat) for i in range(4) for repeat in range(5)
    ]
    assert len({each["answer"] for each in found if each["id"] == "q1"}) > 1


def test_an_openai_file_and_replies_that_are_their_own_answer(capsys):
    body = {"model": "gpt-x", "temperature": 0.2, "messages": [{"role": "user", "content": "1+1="}]}
    line = {"custom_id": "r-1", "method": "POST", "url": "/v1/chat/completions", "body": body}
    write(line)
    assert batch(*SIMULATED, "task.answers._target_=tts.tasks.WholeText") == 0
    found = by_id()["r-1"]
    assert found["answer"] == found["text"].strip() and found["answer"].startswith("Let me")
    assert "model, temperature of its requests are not read" in capsys.readouterr().err


def test_a_dry_run_spends_and_writes_nothing(unstarted, capsys):
    write(*map(row, range(5)), "broken")
    assert batch(*SIMULATED, "--dry-run") == 0
    out, err = capsys.readouterr()
    assert "line 6: it is no JSON" in err
    assert "tokens" in out + err
    assert not Path("out").exists()


def test_sittings_may_be_limited(capsys):
    write(*map(row, range(10)))
    for done in (4, 8, 10, 10):
        assert batch(*SIMULATED, "--limit", 4) == 0
        assert len(by_id()) == done
    assert "4 of 10 requests are in out; the same command goes on" in capsys.readouterr().err


def test_a_cap_on_the_disk_stops_gently(capsys):
    write(*map(row, range(200)))
    words = (*SIMULATED, "concurrency=4")
    assert batch(*words, "--max-disk", "20kB") == 130
    done = len(by_id())
    size = sum(Path(f"out/{name}.jsonl").stat().st_size for name in ("results", "trees"))
    assert 10 < done < 60 and 20_000 <= size < 28_000
    assert "Stopping: records and texts take 2" in capsys.readouterr().err
    assert batch(*words, "--max-disk", "20kB") == 130, "no more fits"
    assert len(by_id()) == done
    assert batch(*words) == 0
    assert len(by_id()) == 200


# --- bad input -----------------------------------------------------------------------------------

GOOD = (row(1), row(2))


@pytest.mark.parametrize(
    ("lines", "words", "sentence"),
    [
        (None, (), "There is no file in.jsonl."),
        ((), (), "in.jsonl holds no request."),
        (("x", "y"), (), "holds no request. The first cannot be used: line 1: it is no JSON"),
        ((row(1), row(1)), (), "lines 1 and 2 have the same id, 'q1'."),
        ((row(1), {"custom_id": "a"}), (), "mixes OpenAI Batch lines (first: 2) with plain ones"),
        (GOOD, ("--limit", "0"), "--limit is 0; it must be at least 1."),
        (GOOD, ("--limit", "x"), "--limit"),
        (GOOD, ("--repeats", "0"), "repeats is 0; it must be at least 1."),
        (GOOD, ("--max-disk", "lots"), "--max-disk is 'lots'; it must be a size."),
        (GOOD, ("--config-dir", "none"), "--config-dir: there is no folder none."),
        (GOOD, ("--fast",), "There is no option --fast."),
        (GOOD, ("greedy",), "'greedy' is no override."),
        (GOOD, ("strategy=gredy",), "There is no strategy 'gredy'."),
        (GOOD, ("task.n_problems=3",), "There is no field task.n_problems."),
        (GOOD, ("task=mini",), "task cannot be set here"),
        (GOOD, ("repeats=3",), "repeats cannot be set here"),
        (GOOD, ("experiment=demo",), "experiment cannot be set here"),
        (GOOD, ("+arms.x=1",), "arms.x cannot be set here"),
        (GOOD, ("strategy=best_of_n",), "BestOfN needs a verifier"),
        (GOOD, ("hydra.run.dir=x",), "hydra.run.dir cannot be set here"),
    ],
    ids=lambda v: str(v)[:40],
)
def test_bad_input_is_refused_before_anything_is_written(lines, words, sentence, unstarted, capsys):
    if lines is not None:
        write(*lines)
    assert batch(*SIMULATED, *words) == 2
    out, err = capsys.readouterr()
    assert sentence in err and "Traceback" not in err and out == ""
    assert not Path("out").exists()


def test_a_folder_that_is_a_file(unstarted, capsys):
    write(row(1))
    Path("out").write_text("mine")
    assert batch(*SIMULATED) == 2
    assert "out is a file." in capsys.readouterr().err
    assert Path("out").read_text() == "mine"


def test_broken_lines_are_named_and_the_others_answered(capsys):
    write(row(1), "{broken", row(2), "", {"id": "no prompt"}, row(3))
    assert batch(*SIMULATED) == 3
    assert list(by_id()) == ["q1", "q2", "q3"]
    out, err = capsys.readouterr()
    for said in (out, err):
        assert "line 2: it is no JSON" in said
        assert "line 5: it has neither a 'prompt' (a text) nor 'messages'" in said
    assert "3 of 3 requests: 3 answered." in out and "2 lines could not be used" in out
    assert batch(*SIMULATED, "--limit", 1) == 3, "there is nothing left, but it is not well either"
    write(row(1), row(4), row(2), row(3))
    assert batch(*SIMULATED) == 0, "mended"


def test_results_of_another_configuration_are_left_alone(capsys):
    write(*GOOD)
    assert batch(*SIMULATED) == 0
    before = {path: path.read_bytes() for path in Path("out").iterdir()}
    for words in (("seed=1",), ("model.sampling.temperature=0.1",), ("task.max_tokens=9",)):
        assert batch(*SIMULATED, *words) == 2
        assert "out holds results of another configuration." in capsys.readouterr().err
    assert {path: path.read_bytes() for path in Path("out").iterdir()} == before
    assert main(["run", "task.n_problems=2", *SIMULATED, "hydra.run.dir=run"]) == 0
    kept = Path("run/results.jsonl").read_bytes()
    assert main(["batch", "in.jsonl", "run", *SIMULATED]) == 2
    assert Path("run/results.jsonl").read_bytes() == kept


def test_another_question_under_an_old_id_is_refused(capsys):
    write(*GOOD)
    assert batch(*SIMULATED) == 0
    before = Path("out/results.jsonl").read_bytes()
    write(row(1), row(2, prompt="3*4="), row(3))
    assert batch(*SIMULATED) == 2
    said = capsys.readouterr().err
    assert "problem 'q2' is not the one that was answered before" in said
    assert Path("out/results.jsonl").read_bytes() == before


def test_a_prompt_that_is_too_long_fails_alone_and_may_be_shortened(serve, capsys):
    server = serve(context=100)
    words = ("backend=openai", "backend.model=toy", f"backend.base_url={server.url}")
    words += ("strategy=greedy", "task.max_tokens=40")
    write(row(1), row(2, prompt="why " * 200 + "?"), row(3))
    assert batch(*words) == 3
    failed = by_id()
    assert [each["status"] for each in failed.values()].count("done") == 2
    assert failed["q2"]["error"].startswith("ContextTooLong")
    said = " ".join(capsys.readouterr().out.split())
    assert "Failed: ContextTooLong 1; the first, 'q2':" in said
    assert batch(*words) == 3, "nobody has asked for those that have failed"
    assert len(records()) == 3
    write(row(1), row(2, prompt="why?"), row(3))
    assert batch(*words, "--retry-failed") == 0
    assert len(records()) == 4 and records()[-1]["status"] == "done"


def test_two_at_once_never_write_into_one_folder(at, capsys):
    write(*map(row, range(10)))
    codes = []

    def second(_):
        if not codes:
            codes.append(os.fork())
            if not codes[0]:
                os._exit(batch(*SIMULATED))
            codes[0] = os.waitstatus_to_exitcode(os.waitpid(codes[0], 0)[1])

    at(5, second)
    assert batch(*SIMULATED) == 0
    assert codes == [2]
    assert len(by_id()) == 10


def test_hostile_texts_are_texts(capsys):
    texts = [
        "[bold]x[/nope] 1+1=",
        "\x00 1+1=",
        "\x1b[2J 1+1=",
        "</think> 1+1=",
        "{{ 7 * 7 }} 1+1=",
    ]
    write(*({"id": f"{text}{i}", "prompt": text} for i, text in enumerate(texts)))
    assert batch(*SIMULATED, "backend.accuracy=1", "backend.spread=0") == 0
    assert {each["answer"] for each in by_id().values()} == {"2"}


# --- failures ------------------------------------------------------------------------------------


def test_what_failed_waits_until_it_is_asked_for(at, capsys):
    write(*map(row, range(20)))

    def down(count):
        if count < 3:
            raise BackendError("The line is down.")

    at(5, down)
    assert batch(*SIMULATED, "concurrency=1") == 3
    out, err = capsys.readouterr()
    assert "20 of 20 requests: 17 answered, 3 failed." in out
    assert "Failed: BackendError 3; the first, 'q4': BackendError: The line is down." in out
    assert "20/20 problems" in err
    assert batch(*SIMULATED) == 3
    assert len(by_id()) == 20
    err = capsys.readouterr().err
    assert "20 of 20 requests are done, 3 of them failed." in err and "20/20 problems" in err
    assert batch(*SIMULATED, "--retry-failed") == 0
    assert len(records()) == 23
    assert {each["id"] for each in records()[20:]} == {"q4", "q5", "q6"}


# --- stopping ------------------------------------------------------------------------------------

SLOW = (*SIMULATED, "backend.seconds_per_token=0.002", "concurrency=5")


def interrupt(number, times):
    for _ in range(times):
        os.kill(os.getpid(), number)


def test_ctrl_c_lets_what_is_in_flight_go_on_to_its_end(at, capsys):
    write(*map(row, range(60)))
    at(20, lambda count: count or interrupt(signal.SIGINT, 1))
    assert batch(*SLOW) == 130
    assert 20 <= len(by_id()) <= 25
    out, err = capsys.readouterr()
    assert "Stopping: what is in flight goes on to its end." in err
    assert f"{len(records())} of 60 requests: {len(records())} answered." in out
    assert f"{len(records())} of 60 requests are in out; the same command goes on" in err
    assert json.loads(Path("out/summary.json").read_text())[0]["n_solved"] == len(records())


def test_a_second_ctrl_c_leaves_at_once(at, capsys):
    write(*map(row, range(60)))
    at(3, lambda count: count or interrupt(signal.SIGINT, 2))
    assert batch(*SLOW, "backend.seconds_per_token=100") == 130
    out, err = capsys.readouterr()
    assert by_id() == {} and out == ""
    assert "0 of 60 requests are in out; the same command goes on from there" in err


@pytest.mark.parametrize("times", [1, 2])
def test_a_request_to_terminate_is_like_ctrl_c_and_the_rest_is_answered_later(times, at, capsys):
    write(*map(row, range(60)))
    at(20, lambda count: count or interrupt(signal.SIGTERM, times))
    assert batch(*SLOW) == 130
    stopped = by_id()
    assert (20 if times == 1 else 10) <= len(stopped) <= 25
    assert batch(*SIMULATED) == 0
    resumed = by_id()
    assert {name: resumed[name] for name in stopped} == stopped
    Path("out").rename("stopped")
    assert batch(*SIMULATED) == 0
    assert timeless(by_id()) == timeless(resumed)
    assert tokens() == tokens("stopped")
