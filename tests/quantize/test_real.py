"""The real thing: llm-compressor in its own environment, and what it makes on the real engine.

The environment is kept in the user's cache. Where there is none it is made, once, which takes pip
and half a minute; a machine without packages to install from skips these tests.
"""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.engine_fixtures import other_peoples_warnings
from tts.cli import main
from tts.engine import detect
from tts.engine.models import BUNDLED
from tts.engine.shape import read_shape
from tts.engine.smollm2 import cache_dir
from tts.engine.text import Text, tokenizer_identity
from tts.errors import TTSError
from tts.quantize.card import Card
from tts.quantize.checkpoint import read_checkpoint
from tts.quantize.environment import ensure
from tts.quantize.making import Maker
from tts.quantize.recipes import recipe_for
from tts.tasks.mini_problems import generate
from tts.types import Problem, Segment, Trajectory

MINI = BUNDLED / "mini-reasoner"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def environment():
    """The environment of this machine, made if it must be."""
    parent = cache_dir() / "quantize" / "environments"
    parent.parent.mkdir(parents=True, exist_ok=True)
    try:
        return ensure(parent, print)
    except TTSError as error:
        pytest.skip(f"no environment of llm-compressor can be made here: {error}")


@pytest.fixture
def home(environment, tmp_path, monkeypatch):
    """Outputs and a cache of their own, but for the environment."""
    cache = tmp_path / "cache"
    (cache / "quantize").mkdir(parents=True)
    (cache / "quantize" / "environments").symlink_to(environment.folder.parent)
    monkeypatch.setenv("TTS_CACHE", str(cache))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def sequences():
    """Worked solutions as the model's template puts them."""
    text = Text(MINI, "mini-reasoner", tokenizer_identity(MINI))
    problems = [generate(1 + n % 6, n // 6, "train") for n in range(24)]
    return [
        text.encode(
            Problem.chat(p.id, p.prompt),
            Trajectory.root().extend(Segment(p.solution), child=0, clock=0),
        )
        for p in problems
    ]


def test_weights_in_four_bits_are_what_their_plain_copy_says(environment, tmp_path, sequences):
    source = read_checkpoint(MINI)
    recipe = recipe_for("w4a16_gptq", source.widths)
    said: list[str] = []
    maker = Maker(environment, tmp_path / "log", said.append)
    packed, plain = tmp_path / "packed", tmp_path / "plain"
    packed.mkdir()
    plain.mkdir()
    made = maker.quantise(source, packed, recipe, sequences)
    assert made["layers"] == 21  # seven in each of three
    assert any(line.startswith("quantising… (1/4): Calibrating") for line in said)
    assert not (packed / "sequences.json").exists() and not (packed / "job.json").exists()
    (group,) = read_shape(packed).quantization["config_groups"].values()
    assert (group["weights"]["num_bits"], group["input_activations"]) == (4, None)
    assert read_shape(packed).weight_bytes < source.bytes / 4

    maker.dequantise(packed, plain)
    before, after = load_file(MINI / "model.safetensors"), load_file(plain / "model.safetensors")
    scales = load_file(packed / "model.safetensors")
    assert set(after) == set(before)
    assert not read_shape(plain).quantization
    for name, weight in after.items():
        if "proj" not in name:
            np.testing.assert_array_equal(weight, before[name])
            continue
        # Every weight is a whole number from -8 to 7 times the scale of its group of 32.
        scale = scales[name.replace(".weight", ".weight_scale")]
        groups = weight.reshape(weight.shape[0], -1, 32) / scale[:, :, None]
        np.testing.assert_allclose(groups, groups.round(), atol=1e-3)
        assert groups.min() > -8.01 and groups.max() < 7.01
        error = np.abs(weight - before[name]).mean() / np.abs(before[name]).mean()
        assert 0.01 < error < 0.2, name


def test_a_failure_says_why_and_leaves_its_log(environment, tmp_path):
    source = read_checkpoint(MINI)
    shutil.copytree(MINI, tmp_path / "broken")
    (tmp_path / "broken" / "model.safetensors").write_bytes(b"rubbish")
    target = tmp_path / "target"
    target.mkdir()
    maker = Maker(environment, tmp_path / "log", print)
    broken = type(source)(tmp_path / "broken", source.widths, source.bytes)
    with pytest.raises(TTSError, match=r"llm-compressor failed while quantising: .*Error"):
        maker.quantise(broken, target, recipe_for("fp8", source.widths), [])
    assert "Traceback" in (tmp_path / "log").read_text()
    assert list(target.iterdir()) == []


@pytest.mark.engine
def test_eight_bit_integers_run_on_the_engine_and_have_a_card(home, capsys):
    words = ["quantize", "model=mini-reasoner", "scheme=w8a8_int8", "samples=16"]
    words += ["task.n_problems=48", "output=small"]
    with other_peoples_warnings():
        assert main(words) == 0
    said = capsys.readouterr().out
    card = Card.model_validate_json((home / "small" / "card.json").read_text())
    assert (card.n_problems, card.method, card.layers) == (48, "gptq", 21)
    assert card.narrow is not detect().adds_int8_exactly
    assert card.calibration.source == "mini (train)"
    assert (card.calibration.samples, card.calibration.answered) == (16, 16)
    assert card.measured_on.startswith("The checkpoint as it is, by vLLM")
    assert card.bytes_after < card.bytes_before / 3
    # Other weights, hardly another model.
    assert abs(card.divergence) < 0.005  # with weights of 8 bits it is 0.006 without VNNI
    assert card.perplexity_after == pytest.approx(card.perplexity_before, rel=0.005)
    assert card.perplexity_before > 1
    assert card.accuracy_before == pytest.approx(0.6, abs=0.25)
    assert abs(card.difference) < 0.15
    assert "accuracy" in said and (home / "small" / "README.md").read_text().startswith("# mini")
    shape = read_shape(home / "small")
    assert shape.quantization["quant_method"] == "compressed-tensors"
    tokenizer = (home / "small" / "tokenizer.json").read_bytes()
    assert tokenizer == (MINI / "tokenizer.json").read_bytes()

    assert main(words) == 0
    assert "nothing is left to do" in capsys.readouterr().out
    assert main([*words, "seed=1"]) == 2
    assert "it differs in seed" in capsys.readouterr().err

    with other_peoples_warnings():
        run = ["run", "model=small", "task.n_problems=12", "strategy=greedy", "hydra.run.dir=run"]
        assert main(run) == 0
    (row,) = json.loads((home / "run" / "summary.json").read_text())
    assert row["n_failed"] == 0 and row["accuracy"] > 0.2
