"""Looking at a checkpoint, and carrying over what belongs to it."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import save_file

from tts.engine.models import BUNDLED
from tts.errors import ModelNotFound, Unsupported
from tts.quantize.checkpoint import carry_over, read_checkpoint


@pytest.fixture
def copied(tmp_path):
    folder = tmp_path / "mini"
    shutil.copytree(BUNDLED / "mini-reasoner", folder)
    return folder


def _config(folder, **changes):
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_widths_are_those_of_matrices_that_multiply_activations():
    found = read_checkpoint(BUNDLED / "mini-reasoner")
    assert found.widths == (128, 352)
    assert found.bytes == (BUNDLED / "mini-reasoner" / "model.safetensors").stat().st_size
    assert read_checkpoint(BUNDLED / "mini-reasoner-l").widths == (224, 608)


def test_what_is_quantised_already_is_refused(copied):
    _config(copied, quantization_config={"quant_method": "gptq", "bits": 4})
    with pytest.raises(Unsupported, match=r"mini is quantised already \(gptq\)"):
        read_checkpoint(copied)


def test_a_reward_model_is_refused():
    with pytest.raises(Unsupported, match="mini-prm writes no text"):
        read_checkpoint(BUNDLED / "mini-prm")


def test_weights_of_another_kind_are_refused(copied):
    (copied / "model.safetensors").rename(copied / "pytorch_model.bin")
    with pytest.raises(ModelNotFound, match="no weights in safetensors"):
        read_checkpoint(copied)


def test_a_checkpoint_without_layers_is_refused(copied):
    save_file({"model.norm.weight": np.ones((3, 4), np.float32)}, copied / "model.safetensors")
    with pytest.raises(Unsupported, match="no layers that could be quantised"):
        read_checkpoint(copied)


def test_everything_but_weights_and_accounts_is_carried_over(copied, tmp_path):
    for name in ("model.safetensors.index.json", "other.bin", "card.json", "quantised.json"):
        (copied / name).write_text("{}")
    target = tmp_path / "target"
    target.mkdir()
    carry_over(copied, target)
    assert {file.name for file in target.iterdir()} == {
        "chat_template.jinja",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert (target / "tokenizer.json").read_bytes() == (copied / "tokenizer.json").read_bytes()
