"""What llm-compressor is told, and what is refused before anybody is told anything."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts.engine.schemes import SCHEMES
from tts.errors import ConfigError, Unsupported
from tts.quantize.recipes import MAKEABLE, recipe_for

MINI = (128, 352)


def test_the_schemes_are_those_of_the_engine():
    assert set(MAKEABLE) <= set(SCHEMES)
    for name, made in MAKEABLE.items():
        assert SCHEMES[name].written, name
        recipe = recipe_for(name, MINI)
        assert recipe.weights_only == (SCHEMES[name].activation_bits == 16), name
        assert not (recipe.weights_only and made.by_token), name


@pytest.mark.parametrize("scheme", MAKEABLE)
def test_every_recipe_can_be_sent(scheme):
    found = recipe_for(scheme, MINI)
    (*before, last) = json.loads(json.dumps(found.modifiers()))
    assert last["arguments"]["ignore"] == ["lm_head", r"re:.*\.gate$"]
    assert [each["name"] for each in before] == (["AWQModifier"] if scheme == "w4a16_awq" else [])


def test_eight_bit_integers_have_a_scale_for_each_channel_and_token():
    (only,) = recipe_for("w8a8_int8", MINI).modifiers()
    assert only["name"] == "GPTQModifier"
    group = only["arguments"]["config_groups"]["group_0"]
    weights, inputs = group["weights"], group["input_activations"]
    assert (weights["num_bits"], weights["strategy"], weights["symmetric"]) == (8, "channel", True)
    assert (inputs["num_bits"], inputs["strategy"], inputs["dynamic"]) == (8, "token", True)
    (plain,) = recipe_for("w8a8_int8", MINI, method="rtn").modifiers()
    assert plain["name"] == "QuantizationModifier"
    assert "observer" not in plain["arguments"]["config_groups"]["group_0"]["weights"]


def test_awq_has_a_zero_point_and_gptq_has_none():
    def weights(scheme):
        return recipe_for(scheme, MINI).modifiers()[-1]["arguments"]["config_groups"]["group_0"]

    assert weights("w4a16_awq")["weights"]["symmetric"] is False
    assert weights("w4a16_gptq")["weights"]["symmetric"] is True
    assert "input_activations" not in weights("w4a16_gptq")


def test_smoothing_comes_first():
    found = recipe_for("w8a8_int8", MINI, smooth=0.8)
    first, second = found.modifiers()
    assert first == {"name": "SmoothQuantModifier", "arguments": {"smoothing_strength": 0.8}}
    assert second["name"] == "GPTQModifier"
    assert recipe_for("w8a8_int8", MINI, method="rtn", smooth=0.5).needs_data


def test_who_needs_data():
    needing = {name for name in MAKEABLE if recipe_for(name, MINI).needs_data}
    assert needing == {"w8a8_int8", "w4a8_int8", "w4a16_gptq", "w4a16_awq", "nvfp4"}
    assert not recipe_for("w8a8_int8", MINI, method="rtn").needs_data


@given(st.lists(st.integers(1, 64).map(lambda n: 32 * n), min_size=1))
def test_the_group_is_the_widest_that_divides_every_width(widths):
    group = recipe_for("w4a16_gptq", widths).group
    assert all(width % group == 0 for width in widths)
    wider = [size for size in (64, 128) if size > group]
    assert all(any(width % size for width in widths) for size in wider)


@pytest.mark.parametrize(
    ("widths", "group"), [((4096, 14336), 128), ((576, 1536), 64), (MINI, 32), ((224, 608), 32)]
)
def test_groups_of_known_models(widths, group):
    """Llama-3-8B, SmolLM2-135M and the bundled ones."""
    assert recipe_for("w4a16_awq", widths).group == group


def test_a_width_that_nothing_divides_is_named():
    with pytest.raises(Unsupported, match="whose input is 100 wide") as error:
        recipe_for("w4a16_gptq", (128, 100))
    assert "group=0" in error.value.hint
    assert recipe_for("w4a16_gptq", (128, 100), group=0).group == 0
    with pytest.raises(Unsupported, match=r"No group of 16 weights .* 100 wide") as error:
        recipe_for("nvfp4", (128, 100))
    assert "8-bit" in error.value.hint


@pytest.mark.parametrize(
    ("scheme", "options", "sentence"),
    [
        ("w8a8", {}, "There is no scheme 'w8a8'. Did you mean w8a8_int8"),
        ("gptq", {}, "There is no scheme 'gptq'. Did you mean w4a16_gptq"),
        ("", {}, "There is no scheme ''. There are: w8a8_int8, "),
        ("w8a8_int8", {"method": "awq"}, "method is 'awq'; w8a8_int8 is made by gptq or rtn."),
        ("fp8", {"method": "gptq"}, "method is 'gptq'; fp8 is made by rtn."),
        ("fp8", {"group": 32}, "group is 32; fp8 has one scale for each channel."),
        ("w4a16_gptq", {"group": 48}, "group is 48; w4a16_gptq takes 128 or 64 or 32."),
        ("mxfp4", {"group": 0}, "group is 0; mxfp4 takes 32."),
        ("w8a8_int8", {"smooth": 1.5}, "smooth is 1.5; it must lie in [0, 1]."),
        ("w4a16_gptq", {"smooth": 0.5}, "smooth is 0.5, and activations of w4a16_gptq are"),
        ("fp8", {"smooth": 0.5}, "SmoothQuant is made for scheme=w8a8_int8."),
    ],
)
def test_what_does_not_belong_is_named(scheme, options, sentence):
    with pytest.raises(ConfigError) as error:
        recipe_for(scheme, MINI, **options)
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("scheme", "hint"), [("bf16", "dtype=bfloat16"), ("nf4", "quantization=bitsandbytes")]
)
def test_what_others_make_is_sent_to_them(scheme, hint):
    with pytest.raises(Unsupported, match=f"does not make {scheme}") as error:
        recipe_for(scheme, MINI)
    assert hint in error.value.hint


def test_only_integers_under_integers_are_kept_to_seven_bits():
    for name in MAKEABLE:
        recipe = recipe_for(name, MINI, narrow=True)
        assert recipe.narrow == (name == "w8a8_int8")
    (only,) = recipe_for("w8a8_int8", MINI, narrow=True).modifiers()
    layers = only["arguments"]["config_groups"]["group_0"]
    assert (layers["weights"]["num_bits"], layers["input_activations"]["num_bits"]) == (7, 8)
    # Two products of the largest weight and the largest activation (unsigned inside) fit 16 bits.
    assert 2 * 63 * 255 < 2**15 <= 2 * 127 * 255
