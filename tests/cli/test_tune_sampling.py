"""`tts tune-sampling`: words, folders, what is saved and what that is good for."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.engine_fixtures import other_peoples_warnings
from tests.folders import lines, summary
from tests.tuning.warm import Warm
from tts.cli import main

WARM = ("backend=simulated", "backend._target_=tests.tuning.warm.Warm", "strategy.n=3")
AXES = ("sampling.temperature=0.2,0.6,1.0,1.4",)
SMALL = ("--pilot", "60", "--held-out", "100", "--out", "out")
NAME = "warm-mini-self_consistency3-warm0000"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def made(monkeypatch):
    """The models that are made."""
    found = []
    real = Warm.__init__

    def init(self, **options):
        real(self, **options)
        found.append(self)

    monkeypatch.setattr(Warm, "__init__", init)
    return found


def tune(*words):
    return main(["tune-sampling", *words])


def found():
    (one,) = json.loads(Path("out/tuning.json").read_text())["tunings"]
    return one


# --- a tuning -----------------------------------------------------------------------------------


def test_the_best_temperature_is_found_shown_saved_and_used(made, capsys):
    words = (*WARM, "+backend.best=0.4", "+backend.slope=0.9", "model.sampling.temperature=1.0")
    assert tune(*words, "sampling.temperature=0.2,0.4,0.7,1.0", *SMALL, "--json", "all.json") == 0
    said = capsys.readouterr().out
    one = found()
    assert one["verdict"] == "better" and one["winner"]["temperature"] == 0.4
    assert one["taken"] == one["winner"] and one["default"]["temperature"] == 1.0
    assert one["held_out"]["winner"]["difference_low"] > 0
    assert one["sentence"] in said.replace("\n", " ") and "Figures of the pilot choose" in said
    assert json.loads(Path("all.json").read_text())["tunings"] == [one]
    assert Path("out/tuning.png").read_bytes().startswith(b"\x89PNG")
    assert len(made) == 1 and made[0].closed == 1

    saved = yaml.safe_load(Path(f"out/tuned/{NAME}.yaml").read_text())
    assert saved["model"]["sampling"]["temperature"] == 0.4
    assert saved["sampling_tuned_for"]["strategy"] == "SelfConsistency n=3"
    run = ("run", *words, "+backend.most=0.9", "task.n_problems=12", "--config-dir", "out")
    run = [word for word in run if not word.startswith("model.sampling")]
    assert main([*run, f"+tuned={NAME}", "hydra.run.dir=used"]) == 0
    used = yaml.safe_load(Path("used/config.yaml").read_text())
    assert used["model"]["sampling"]["temperature"] == 0.4
    # A tuned run is the run with the same sampling: its records are told apart by nothing else.
    plain = ("model.sampling.temperature=0.4", "hydra.run.dir=plain")
    assert main([*run, *plain]) == 0
    assert lines("used")[0]["configuration"] == lines("plain")[0]["configuration"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished tuning."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert tune(*WARM, *AXES, *SMALL) == 0
    return folder / "out"


@pytest.fixture
def finished(whole):
    """A copy of it, here."""
    return Path(shutil.copytree(whole, "out"))


def test_pilot_and_held_out_problems_are_paired_and_never_overlap(finished):
    pilot, held = lines(finished / NAME / "pilot"), lines(finished / NAME / "held-out")
    by_arm: dict[str, list[str]] = {}
    for line in pilot:
        by_arm.setdefault(line["arm"], []).append(line["id"])
    sizes = sorted(len(ids) for ids in by_arm.values())
    assert len(by_arm) == 5 and sizes == [20, 20, 20, 60, 60]
    first = set(min(by_arm.values(), key=len))
    assert all(first <= set(ids) for ids in by_arm.values())
    assert not {line["id"] for line in pilot} & {line["id"] for line in held}
    one = found()
    assert {line["arm"] for line in held} == {one["default"]["label"], one["winner"]["label"]}
    assert summary(finished / NAME / "held-out")[0]["strategy"] == "temperature=0.8"
    assert not (finished / NAME / "pilot" / "summary.json").exists()  # its figures are no result


def test_a_default_that_is_best_is_kept(capsys):
    assert tune(*WARM, "+backend.best=0.8", *AXES, *SMALL) == 0
    one = found()
    assert (one["verdict"], one["taken"]["temperature"]) == ("same", 0.8)
    assert one["held_out"]["winner"] is None and "it is kept" in capsys.readouterr().out


def recorded(folder):
    return lines(folder / NAME / "pilot"), lines(folder / NAME / "held-out")


def test_a_finished_tuning_is_shown_again_and_nothing_is_solved(finished, made, capsys):
    before = found(), recorded(finished)
    assert tune(*WARM, *AXES, *SMALL) == 0
    assert (found(), recorded(finished)) == before and made[-1].started == 0
    assert before[0]["sentence"] in capsys.readouterr().out.replace("\n", " ")


def test_further_values_take_up_what_was_solved_for_the_others(finished):
    before = recorded(finished)[0]
    assert tune(*WARM, "sampling.temperature=0.2,0.5,0.6,1.0,1.4", *SMALL) == 0
    after = recorded(finished)[0]
    assert after[: len(before)] == before
    assert {line["arm"] for line in after[len(before) :]} == {"temperature=0.5"}


def test_another_pilot_does_not_go_into_the_same_folder(finished, capsys):
    assert tune(*WARM, *AXES, *SMALL, "--pilot", "50") == 2
    assert "holds results of another configuration" in capsys.readouterr().err


def test_more_samples_make_the_pilot_less_noisy_and_change_no_result():
    words = ("strategy.n=1", "sampling.temperature=0,0.6,1.0")
    assert tune(*WARM[:2], *words, *SMALL, "--samples", "8") == 0
    name = "warm-mini-self_consistency1-warm0000"
    drawn = {(line["arm"], len(line["candidates"])) for line in lines(f"out/{name}/pilot")}
    assert drawn == {
        ("temperature=0.8", 8), ("temperature=0", 1), ("temperature=0.6", 8), ("temperature=1", 8),
    }  # fmt: skip
    assert all(len(line["candidates"]) == 1 for line in lines(f"out/{name}/held-out"))
    assert {round(arm["tokens_per_problem"]) for arm in found()["pilot"]} == {80}


def test_a_budget_of_tokens_is_kept():
    limit = ("--tokens", "30000", "task.max_tokens=40")
    assert tune(*WARM, *AXES, *SMALL, *limit) == 0
    spent = sum(line["usage"]["completion_tokens"] for line in lines(f"out/{NAME}/pilot"))
    assert found()["rungs"][-1]["tokens"] == spent <= 30000


def test_what_would_be_tried_is_said_and_nothing_is_started(made, capsys):
    assert tune(*WARM, "sampling.temperature=0,0.4,1", *SMALL, "--dry-run") == 0
    said = capsys.readouterr().out
    assert "temperature=0.8  (default)" in said and "3 on 60" in said and "100 held-out" in said
    assert "Not tried: temperature=0: all 3 samples of SelfConsistency would be the same." in said
    assert not made[0].started and not Path("out").exists()


# --- several tunings ----------------------------------------------------------------------------


def test_other_words_with_several_values_are_tuned_each_by_itself(made):
    words = (*WARM[:2], "+backend.best=0.4,1.0", "strategy.n=1,3", "sampling.temperature=0.4,1.0")
    assert tune(*words, *SMALL, "--held-out", "20") == 0
    tunings = json.loads(Path("out/tuning.json").read_text())["tunings"]
    names = [one["name"] for one in tunings]
    assert len(set(names)) == 4 == len(list(Path("out/tuned").iterdir()))
    assert names[0] == "warm-mini-self_consistency1-warm0000-1"
    assert tunings[2]["title"].endswith("on mini +backend.best=1.0 strategy.n=1")
    assert [one["winner"]["temperature"] for one in tunings] == [0.4, 0.4, 1.0, 1.0]
    assert len(made) == 2 and [model.closed for model in made] == [1, 1]


# --- prompts ------------------------------------------------------------------------------------


@pytest.fixture
def sums():
    """Problems of a file, and prompts for them."""
    rows = [{"question": f"{i}+{i + 7}=", "answer": str(2 * i + 7)} for i in range(60)]
    Path("sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("prompts.yaml").write_text(
        "short: {template: '{{ question }}'}\n"
        "lost: {template: 'Never mind. 1+1='}\n"
        "broken: {template: '{{ quesion }}'}\n"
        "odd: {colour: blue}\n"
    )
    task = ("task=jsonl", "task.path=sums.jsonl", "task.max_tokens=60")
    return (*WARM, *task, "--pilot", "20", "--held-out", "40", "--out", "out")


def test_prompts_are_compared_by_name_and_saved_with_their_fields(sums):
    assert tune(*sums, "prompt=own,short", "--prompts", "prompts.yaml") == 0
    one = found()
    assert [arm["label"] for arm in one["pilot"]] == ["prompt=own", "prompt=short"]
    # The simulated model reads no wording: whoever wins, it is undecided or the default.
    assert one["verdict"] in ("same", "undecided") and one["taken"]["prompt"] == "own"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("prompt=lost",), "prompt=lost: its template asks the same of every problem."),
        (("prompt=broken",), "prompt=broken: sums.jsonl, line"),
        (("prompt=odd",), "prompt=odd: There is no field task.prompt.colour."),
        (
            ("prompt=none",),
            "There is no prompt 'none'. hint: There are: own, short, lost, broken, odd.",
        ),
        (("prompt=own,short", "--held-out", "41"), "n_problems is 61, but sums.jsonl has 60"),
    ],
)
def test_a_prompt_that_cannot_be_used_is_named(sums, words, sentence, capsys):
    assert tune(*sums, "--prompts", "prompts.yaml", *words) == 2
    assert sentence in capsys.readouterr().err.replace("\n", " ")
    assert not Path("out").exists()


# --- what a tuned sampling holds for ------------------------------------------------------------


def saved(**changes):
    folder = Path("cfg/tuned")
    folder.mkdir(parents=True, exist_ok=True)
    about = {
        "model": "warm", "weights": Warm().identity()["weights"], "scheme": None,
        "task": "mini", "strategy": "SelfConsistency n=3",
    }  # fmt: skip
    text = yaml.safe_dump({"sampling_tuned_for": about | changes})
    (folder / "mine.yaml").write_text(f"# @package _global_\n{text}")
    return ("run", *WARM, "task.n_problems=2", "--config-dir", "cfg", "+tuned=mine")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"weights": "0123456789"}, "tuned for warm with weights 01234567, and warm has weights"),
        ({"weights": None, "model": "cold"}, "was tuned for cold, and this is warm."),
        ({"scheme": "w8a8_int8"}, "in the scheme w8a8_int8, and here it runs in an unknown one."),
        ({"colour": "blue"}, "sampling_tuned_for cannot be used"),
    ],
)
def test_a_sampling_of_other_weights_or_another_scheme_is_refused(changes, sentence, capsys):
    words = saved(**changes)
    assert main([*words]) == 2
    assert sentence in capsys.readouterr().err.replace("\n", " ")
    assert main([*words, "sampling_tuned_for=null"]) == 0


def test_of_another_task_or_strategy_it_is_warned(capsys):
    assert main([*saved(), "hydra.run.dir=a"]) == 0
    assert "was tuned for" not in capsys.readouterr().err
    assert main([*saved(task="gsm8k"), "strategy.n=2", "hydra.run.dir=b"]) == 0
    said = capsys.readouterr().err
    assert "The sampling was tuned for the task gsm8k, and this is mini." in said
    assert "for the strategy SelfConsistency n=3, and this is SelfConsistency n=2." in said


# --- bad input ----------------------------------------------------------------------------------

BAD = [
    (("sampling.temprature=1,2",), "There is no field sampling.temprature.", "temperature?"),
    (("sampling.temperature=1,hot",), "sampling.temperature is hot; it must be a number.", "List"),
    (("sampling.temperature=",), "sampling.temperature= names no values.", "=A,B"),
    (("sampling.top_p=0.9", "sampling.top_p=1"), "sampling.top_p is given twice.", "once"),
    ((), "sampling: there is nothing to choose from", "sampling.temperature="),
    (("model.sampling.temperature=0.2,0.4",), "several values of the sampling", "sampling.temp"),
    ((*AXES, "task.n_problems=9"), "--pilot and --held-out say how many", "Leave it out"),
    ((*AXES, "--pilot", "0"), "--pilot is 0; it must be at least 1.", ""),
    ((*AXES, "--eta", "1"), "--eta is 1; it must be at least 2.", ""),
    ((*AXES, "--samples", "2"), "--samples is 2, and the strategy decides by 3.", "Raise it"),
    ((*AXES, "--tokens", "100"), "tokens is 100, and a first look at 5 arms may take", "Raise it"),
    ((*AXES, "--prompts", "none.yaml"), "--prompts: there is no file none.yaml.", ""),
    ((*AXES, "--json", "no/where.json"), "--json: there is no folder", ""),
    ((*AXES, "prompt=own,b"), "There is no prompt 'b'.", "--prompts FILE adds some"),
    ((*AXES, "total_budget.completion_tokens=9k"), "total_budget means nothing", "--tokens N"),
    ((*AXES, "+arms.a=[]", '+arms.b=["strategy.n=2"]'), "There are several arms", "arms=null"),
    (("strategy=greedy", "~strategy.n", *AXES), "Greedy decodes at temperature 0", "n=1"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "sentence", "hint"), BAD, ids=lambda v: str(v)[:40])
def test_bad_input_is_named_before_anything_is_spent(made, words, sentence, hint, capsys):
    base = WARM[:2] if "strategy=greedy" in words else WARM
    words = [word for word in words if word != "~strategy.n"]
    assert tune(*base, *words, "--out", "out") == 2
    said = " ".join(capsys.readouterr().err.split())
    assert sentence in said and hint in said
    assert not Path("out").exists() and not any(model.started for model in made)


def test_a_prompt_needs_a_task_that_has_one(capsys):
    Path("prompts.yaml").write_text("short: {template: '{{ question }}'}\n")
    assert tune(*WARM, "prompt=short", "--prompts", "prompts.yaml") == 2
    assert "the task mini has no prompt that could be another" in capsys.readouterr().err


def test_help_is_light():
    code = (
        "import sys; from tts.cli import main\n"
        "try: main(['tune-sampling', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'hydra', 'vllm', 'torch', 'matplotlib', 'scipy', 'numpy'} & set(sys.modules);"
        " assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=-3)


# --- the real engine ----------------------------------------------------------------------------


@pytest.mark.engine
def test_the_bundled_model_is_tuned_for_real(capsys):
    words = (
        "strategy=self_consistency", "strategy.n=1", "task.levels=[2,3]", "sampling.temperature=0",
        "model.sampling.temperature=2", "--pilot", "24", "--held-out", "36", "--out", "out",
    )  # fmt: skip
    with other_peoples_warnings():
        assert tune(*words) == 0
    one = found()
    assert one["about"]["scheme"] == "fp32" and one["about"]["weights"].startswith("7a4def89")
    # The checkpoint recommends 0.8. At 2 the model writes nonsense more often than not.
    assert [arm["source"] for arm in one["pilot"]] == ["default", "generation_config", "grid"]
    hot, warm, cold = (arm["accuracy"] for arm in one["pilot"])
    assert hot < min(warm, cold) - 0.1 and one["verdict"] == "better"
    name = one["name"]
    assert name == "mini-reasoner-fp32-mini-self_consistency1-7a4def89"
    other = ("--config-dir", "out", f"+tuned={name}", "model.engine.scheme=bf16")
    capsys.readouterr()
    assert main(["run", "strategy=self_consistency", "strategy.n=1", *other]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "in the scheme fp32, and here it runs in bf16." in said
