"""Compositions that differ in values alone: made once, and the same as those that Hydra makes."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from tts.cli import compose
from tts.cli.compose import composer
from tts.errors import ConfigError

ARM = ("strategy=best_of_n", "verifier=likelihood")


@pytest.fixture
def composed(monkeypatch):
    """What Hydra is asked to compose."""
    asked = []
    real = compose.hydra_compose

    def count(name, overrides, **options):
        asked.append(overrides)
        return real(name, overrides, **options)

    monkeypatch.setattr(compose, "hydra_compose", count)
    return asked


def told(cfg):
    """All fields but Hydra's own, and what was chosen."""
    fields = {key: cfg._get_node(key) for key in cfg if key != "hydra"}
    return OmegaConf.to_container(OmegaConf.create(fields)), dict(cfg.hydra.runtime.choices)


def test_values_are_set_as_hydra_would():
    with composer(None) as known:
        for values in (
            ("strategy.n=5", "task.n_problems=3", "strategy.n=6"),
            ("budget.completion_tokens=10k", "claims=[{arm: a, reference: b}]"),
            ("++model.engine.max_model_len=256", "model.name='a b'", "repeats=null"),
            ("+arms.more=['strategy=greedy']", "~claims", "hydra.run.dir=elsewhere"),
            (),  # nothing is left of those before
        ):
            assert told(known.vary([*ARM, *values])) == told(known.compose([*ARM, *values]))


def test_what_is_chosen_is_composed_once(composed):
    with composer(None) as known:
        found = [known.vary([*ARM, f"strategy.n={n}"]).strategy.n for n in (2, 3, 4)]
        assert found == [2, 3, 4] and len(composed) == 1
        assert "n" not in known.vary(["strategy=greedy"]).strategy and len(composed) == 2


@pytest.mark.parametrize("value", ["strategy.m=5", "task.n_problems.x=5", "nobody=1"])
def test_what_cannot_be_set_is_refused_in_the_same_words(value):
    said = []
    with composer(None) as known:
        for way in (known.compose, known.vary):
            with pytest.raises(ConfigError) as error:
                way([*ARM, value])
            said.append((error.value.message, error.value.hint))
    assert said[0] == said[1]


def test_a_group_of_ones_own_is_a_group(tmp_path):
    (tmp_path / "keep").mkdir()
    (tmp_path / "keep" / "less.yaml").write_text("# Less.\ntexts: false\n")
    with composer(tmp_path) as known:
        assert known.is_group("keep") and known.is_group("strategy")
        assert not known.is_group("repeats")
