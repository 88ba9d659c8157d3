"""`tts quantize`: what is refused before anything is spent, and what is light."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tts.backends.vllm import VLLMBackend
from tts.cli import _quantising, main
from tts.quantize import environment


@pytest.fixture(autouse=True)
def _nothing_is_spent(tmp_path, monkeypatch):
    """Outputs and caches go to folders of their own; neither engine nor environment is made."""

    def refused(*_, **__):
        raise AssertionError("something was started")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TTS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(VLLMBackend, "start", refused)
    monkeypatch.setattr(_quantising, "ensure", refused)


def tts(*words):
    return main(["quantize", *words])


def test_help_is_light(capsys):
    code = (
        "import sys; from tts.cli import main; main(['quantize', '--help']);"
        " heavy = {'hydra', 'vllm', 'torch', 'transformers', 'scipy', 'numpy'};"
        " assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    root = str(Path(__file__).parents[2])
    environ = {**os.environ, "PYTHONPATH": root}
    said = subprocess.run([sys.executable, "-c", code], check=True, env=environ, stdout=-1)
    for word in (b"scheme=NAME", b"--setup", b"calibration=WHAT"):
        assert word in said.stdout


MINI, W8 = "model=mini-reasoner", "scheme=w8a8_int8"
BAD = [
    ([W8], "model: it is not given.", "model=mini-reasoner"),
    ([MINI], "scheme: it is not given.", "scheme=w8a8_int8"),
    ([MINI, "scheme="], "scheme: it is not given.", ""),
    ([MINI, "scheme=w8a8"], "There is no scheme 'w8a8'.", "Did you mean w8a8_int8"),
    ([MINI, "scheme=nf4"], "llm-compressor does not make nf4", "quantization=bitsandbytes"),
    ([MINI, "scheme=gguf"], "llm-compressor does not make gguf", ""),
    (["model=mini-reasonr", W8], "There is no model 'mini-reasonr'.", "mini-reasoner"),
    (["model=/no/such/place", W8, "task=mini"], "'/no/such/place' does not exist", ""),
    (["model=mini-prm", W8, "task=mini"], "mini-prm writes no text", ""),
    ([MINI, W8, "method=awq"], "method is 'awq'; w8a8_int8 is made by gptq or rtn.", ""),
    ([MINI, W8, "group=x"], "group is 'x'; it must be a whole number.", ""),
    ([MINI, W8, "samples=2.5"], "samples is '2.5'; it must be a whole number.", ""),
    ([MINI, W8, "samples=3"], "has 3 samples; at least 8 are needed.", ""),
    ([MINI, W8, "smooth=much"], "smooth is 'much'; it must be a number.", ""),
    ([MINI, W8, "calibration=none.jsonl"], "none.jsonl cannot be read", "JSONL"),
    ([MINI, W8, "calibration=minni"], "calibration: There is no task 'minni'.", ""),
    ([MINI, "scheme=fp8", "calibration=mini"], "calibration is mini, and fp8 by rtn", "Leave"),
    ([MINI, W8, "backend=simulated"], "backend: what is quantised is a checkpoint", ""),
    ([MINI, W8, "experiment=demo"], "There are several arms", "arms=null"),
    ([MINI, W8, "task.n_problem=3"], "There is no field task.n_problem.", "task.n_problems"),
    ([MINI, W8, "output=mine"], "mine is there, and was not made by tts quantize.", "output=DIR"),
    ([MINI, W8, "--quick"], "There is no option --quick.", ""),
]


@pytest.mark.parametrize(("words", "sentence", "hint"), BAD, ids=lambda v: " ".join(v)[:60])
def test_bad_input_is_named(words, sentence, hint, capsys):
    Path("mine").mkdir()
    Path("mine", "thesis.tex").touch()
    assert tts(*words) == 2
    said = capsys.readouterr().err
    assert sentence in said and hint in said
    assert "Traceback" not in said
    assert not Path("outputs").exists()


def test_a_model_of_somebodys_own_needs_a_task_and_data(capsys, tmp_path):
    from tts.engine.models import BUNDLED

    shutil.copytree(BUNDLED / "mini-reasoner", tmp_path / "own")
    assert tts("model=own", "scheme=w8a8_int8") == 2
    assert "task: it is not given, and nobody knows what fits own." in capsys.readouterr().err
    assert tts("model=own", "scheme=w8a8_int8", "task=mini") == 2
    assert "w8a8_int8 by gptq is made with data, and none is given." in capsys.readouterr().err
    # The problems that would be asked cannot calibrate as well.
    Path("asked.jsonl").write_text(
        "".join(json.dumps({"question": f"{n}+1=", "answer": str(n + 1)}) + "\n" for n in range(9))
    )
    words = ("task=jsonl", "task.path=asked.jsonl", "calibration=prompts.jsonl")
    Path("prompts.jsonl").write_text(
        "".join(json.dumps({"prompt": f"{n}+1="}) + "\n" for n in range(9))
    )
    assert tts("model=own", "scheme=w8a8_int8", *words) == 2
    assert "has 0 samples, and 9 more that the evaluation asks" in capsys.readouterr().err


def test_a_full_disk_is_noticed_first(capsys, monkeypatch):
    usage = shutil.disk_usage(".")._replace(free=1 << 20)
    monkeypatch.setattr(environment.shutil, "disk_usage", lambda _: usage)
    assert tts("model=mini-reasoner", "scheme=fp8") == 1
    assert "The new checkpoint needs 69 MiB in" in capsys.readouterr().err
