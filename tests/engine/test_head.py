"""What a checkpoint answers with, read from its configuration and the headers of its weights."""

from __future__ import annotations

import json

import pytest
from safetensors import safe_open

from tests.engine.checkpoints import checkpoint
from tts.engine import read_shape
from tts.engine.head import check_head, head_of, labels_of
from tts.engine.models import BUNDLED
from tts.errors import ConfigError, ModelNotFound, Unsupported


@pytest.mark.parametrize(
    ("architecture", "head", "labels"),
    [
        ("Qwen2ForTokenClassification", "token", 2),
        ("Qwen2ForProcessRewardModel", "token", 2),
        ("Qwen2ForRewardModel", "sequence", 1),
        ("InternLM2ForRewardModel", "sequence", 1),
        ("LlamaForSequenceClassification", "sequence", 2),
        ("MistralForCausalLM", "language", 0),
        ("CLIPModel", None, 0),
    ],
)
def test_the_architecture_names_the_head(architecture, head, labels):
    config = {"architectures": [architecture]}
    assert head_of(config) == head
    assert labels_of(config) == labels


def test_labels_are_counted_as_transformers_writes_them():
    config = {"architectures": ["LlamaForTokenClassification"]}
    assert labels_of({**config, "id2label": {"0": "a", "1": "b", "2": "c"}}) == 3
    assert labels_of({**config, "num_labels": 1}) == 1


@pytest.fixture
def path(tmp_path):
    return checkpoint(tmp_path, "LlamaForTokenClassification", labels=3)


def changed(path, **config):
    file = path / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **config}))
    return path


def test_the_accounts_count_the_head_and_no_output_layer(path):
    assert check_head(path, "mine") == "token"
    with safe_open(path / "model.safetensors", "np") as file:
        sizes = {key: file.get_slice(key).get_shape() for key in file.keys()}
    matrices = {key: size for key, size in sizes.items() if len(size) == 2}
    del matrices["model.embed_tokens.weight"]
    assert sizes["score.weight"] == [3, 128]
    assert read_shape(path).active_params == sum(
        rows * columns for rows, columns in matrices.values()
    )


def test_other_models_give_no_values(path):
    changed(path, architectures=["CLIPModel"])
    with pytest.raises(Unsupported) as error:
        check_head(path, "mine")
    assert error.value.message == "mine is a CLIPModel, which gives no values."
    assert "ForTokenClassification" in error.value.hint


def test_a_head_must_be_in_the_weights(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(
        (BUNDLED / "mini-reasoner" / "model.safetensors").read_bytes()
    )
    config = json.loads((BUNDLED / "mini-reasoner" / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config))
    changed(tmp_path, architectures=["LlamaForTokenClassification"])
    with pytest.raises(ModelNotFound) as error:
        check_head(tmp_path, "mine")
    assert error.value.message == (
        "The weights of mine hold no head, and its config.json calls it a"
        " LlamaForTokenClassification."
    )


def test_a_head_must_have_the_size_that_is_said(path):
    changed(path, id2label={"0": "a", "1": "b"})
    with pytest.raises(
        ConfigError, match=r"The head of mine gives 3 value\(s\), and its config.js"
    ):
        check_head(path, "mine")


def test_files_that_are_cut_off_are_named(path):
    weights = path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ModelNotFound, match="is no file of weights"):
        check_head(path, "mine")
