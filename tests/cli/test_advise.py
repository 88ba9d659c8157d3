"""`tts advise`: its words, its table, its refusals. This machine is in advice/test_calibration."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine.test_roofline import LLAMA
from tts.advice import calibration
from tts.backends.vllm import VLLMBackend
from tts.cli import main

CROWD = ("workload.concurrency=64", "workload.prompt_tokens=200", "workload.completion_tokens=100")
H100 = ("--machine", "H100-SXM")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TTS_CACHE", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def unstarted(monkeypatch):
    """No engine may be started, and nothing measured."""

    def refuse(*_, **__):
        raise AssertionError("something was started")

    monkeypatch.setattr(VLLMBackend, "start", refuse)
    monkeypatch.setattr(calibration, "measure", refuse)
    monkeypatch.setattr(calibration, "engine_of", refuse)


@pytest.fixture
def llama(tmp_path):
    """The configuration of Llama-3-8B, without weights."""
    folder = tmp_path / "llama"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(LLAMA))
    return folder


def advised(*words):
    assert main(["advise", *words, "--json", "advice.json"]) == 0
    return json.loads(Path("advice.json").read_text())


def by_name(found):
    return {(row["scheme"], row["cache"]): row for row in found["plans"]}


def test_a_model_whose_weights_are_elsewhere_on_a_machine_that_is_elsewhere(llama, capsys):
    words = (f"model={llama}", *CROWD, *H100, "--usd-per-hour=3", "--plot", "roofline.png")
    found = advised(*words)
    rows = by_name(found)
    assert rows["bf16", "auto"]["weights_gib"] == pytest.approx(16_060_522_496 / 2**30)
    assert found["recommended"] == {
        "model.engine.scheme": "fp8",
        "model.engine.kv_cache_dtype": "auto",
    }
    best = rows["fp8", "auto"]
    assert best["best"] and best["bound"] == "bandwidth"
    assert best["usd_per_problem"] == pytest.approx(best["machine_seconds_per_problem"] / 1200)
    assert rows["w8a16_int8", "auto"]["accuracy_kept"] is None
    assert found["refused"]["w4a8_kv4"].startswith("kernels")
    said = capsys.readouterr().out
    assert "Take fp8: of what keeps 98% of the accuracy" in said
    assert "Settings: model.engine.scheme=fp8 model.engine.kv_cache_dtype=auto" in said
    assert "peaks by its data sheet, of which 65%" in said
    assert "Not ranked, as nothing is known of their accuracy" in said
    assert Path("roofline.png").read_bytes().startswith(b"\x89PNG")


def test_the_whole_table_is_shown_if_that_is_wanted(llama, capsys):
    advised(f"model={llama}", *CROWD, *H100, "--all", "--cache=int8_per_token_head")
    said = capsys.readouterr().out
    assert "w8a16_int8" in said and "cache int8_per_token_head" in said and "Not ranked" not in said


def test_a_card_has_the_last_word(llama, tmp_path):
    folder = tmp_path / "quantised" / "four"
    folder.mkdir(parents=True)
    card = {"scheme": "w4a16_gptq", "accuracy_before": 0.5, "accuracy_after": 0.499}
    (folder / "card.json").write_text(json.dumps(card))
    words = (f"model={llama}", "--machine=L40S", "--cards", str(tmp_path / "quantised"))
    found = advised(*words)
    assert found["recommended"]["model.engine.scheme"] == "w4a16_gptq"
    kept = by_name(found)["w4a16_gptq", "auto"]["accuracy_kept"]
    assert kept["share"] == pytest.approx(0.998) and kept["measured"]


def test_cards_of_another_model_do_not_count(llama, tmp_path, capsys):
    folder = tmp_path / "quantised" / "four"
    folder.mkdir(parents=True)
    card = {"scheme": "w4a16_gptq", "model": "another", "accuracy_before": 1, "accuracy_after": 1}
    (folder / "card.json").write_text(json.dumps(card))
    words = ["advise", f"model={llama}", "--machine=L40S", "--cards"]
    assert main([*words, str(folder.parent)]) == 2
    assert "holds an accuracy of" in capsys.readouterr().err.splitlines()[0]
    assert main([*words, str(folder)]) == 0  # it alone is named


def test_more_answers_than_the_engine_takes_unasked_are_asked_for(llama):
    found = advised(f"model={llama}", *CROWD[1:], "workload.concurrency=300", *H100)
    assert found["recommended"]["model.engine.max_num_seqs"] == "300"
    capped = advised(f"model={llama}", *CROWD[1:], "workload.concurrency=300", *H100,
                     "model.engine.max_num_seqs=50")  # fmt: skip
    assert capped["recommended"].keys() == {"model.engine.scheme", "model.engine.kv_cache_dtype"}
    assert all(row["in_flight"] <= 50 for row in capped["plans"])


def test_two_devices_hold_more_and_are_faster(llama):
    words = (f"model={llama}", *CROWD, *H100)
    one = by_name(advised(*words))["bf16", "auto"]
    two = by_name(advised(*words, "model.engine.tensor_parallel_size=2"))["bf16", "auto"]
    assert two["tokens_per_second"] == pytest.approx(2 * one["tokens_per_second"])
    assert two["largest"] > 2 * one["largest"]


def test_the_workload_of_a_strategy_is_rehearsed(capsys):
    words = ("strategy=self_consistency", "strategy.n=16", "task.n_problems=4", *H100)
    found = advised(*words)
    load = found["workload"]
    assert load["concurrency"] == 4 * 16 and load["samples"] == 16
    assert load["completion_tokens"] == load["sequential_tokens"] == 112  # half of the cap
    assert 10 < load["prompt_tokens"] < 60
    assert "Lengths of answers: assumed to be 112 tokens" in capsys.readouterr().out
    other = advised(*words, "workload.completion_tokens=50")["workload"]
    assert other["completion_tokens"] == 50 and other["samples"] == 16


def test_a_search_in_steps_asks_more_often(capsys):
    words = ("strategy=particle_filter", "strategy.n=8", "verifier=likelihood")
    found = advised(*words, "task.n_problems=3", *H100)
    load = found["workload"]
    assert load["samples"] > 8 and load["completion_tokens"] < 112
    assert load["sequential_tokens"] > load["completion_tokens"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["workload.concurency=4"], "There is no field workload.concurency."),
        (["workload.concurrency=many"], "workload.concurrency is 'many'; it must be a number."),
        (["workload.concurrency=0"], "workload.concurrency is 0; it must be 1 or more."),
        (["workload.prompt_tokens=2000"], "A prompt and its answer take 2,512 tokens"),
        (["strategy.m=4"], "There is no field strategy.m."),
        (["--machine", "H100-SMX"], "--machine: there is no machine 'H100-SMX' in the table."),
        (["--machine", "T4", "--calibrate"], "--calibrate measures this machine"),
        (["--keep=2"], "--keep is 2.0; it must lie in [0, 1]."),
        (["--usd-per-hour=-1"], "--usd-per-hour is -1; it must be 0 or more."),
        (["--json=nowhere/advice.json"], "--json: there is no folder"),
        (["--cache=fp9"], "--cache: there is no format 'fp9'."),
        (["--cards=nowhere"], "--cards: there is no card.json in nowhere"),
        (["model=mini-prm"], "mini-prm is no language model: it writes nothing."),
        (["model=mini-reasoners"], "There is no model 'mini-reasoners'."),
        (["backend=simulated"], "tts advise is about the bundled engine"),
        (
            ['+arms.a=["strategy=greedy"]', '+arms.b=["strategy=self_consistency"]'],
            "tts advise looks at one configuration, and there are several.",
        ),
        (["--nonsense"], "There is no option --nonsense."),
    ],
)
def test_bad_input_is_one_sentence(words, sentence, capsys):
    assert main(["advise", *words]) == 2
    complaint = capsys.readouterr()
    assert sentence in complaint.err.splitlines()[0]
    assert complaint.out == "" and list(Path().iterdir()) == []


def test_nothing_to_recommend_is_exit_code_1(llama, capsys):
    said = json.loads((llama / "config.json").read_text())
    (llama / "config.json").write_text(json.dumps({**said, "num_hidden_layers": 200}))
    assert main(["advise", f"model={llama}", "--machine=T4"]) == 1
    assert "Nothing fits: T4 has 12.0 GiB" in capsys.readouterr().out


def test_help_is_light():
    code = (
        "import sys; from tts.cli import main; assert main(['advise', '--help']) == 0;"
        " heavy = {'hydra', 'vllm', 'torch', 'transformers', 'matplotlib', 'scipy', 'numpy'};"
        " assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=-3)
