"""How much accuracy schemes keep, as measured: the cards of quantised checkpoints."""

from __future__ import annotations

import json

import pytest

from tts.advice.cards import accuracy_measured, read_cards
from tts.errors import ConfigError


def card(folder, **changes):
    folder.mkdir(parents=True, exist_ok=True)
    said = {"scheme": "w8a8_int8", "accuracy_before": 0.6, "accuracy_after": 0.588, **changes}
    said = {key: value for key, value in said.items() if value is not ...}
    (folder / "card.json").write_text(json.dumps(said))
    return folder


def test_a_card_tells_what_was_measured(tmp_path):
    found = read_cards([card(tmp_path / "one", model="another")], "mine")
    assert found["w8a8_int8"].share == pytest.approx(0.98)
    assert found["w8a8_int8"].measured and "one" in found["w8a8_int8"].source


def test_a_folder_of_checkpoints_gives_all_cards_of_the_model(tmp_path):
    card(tmp_path / "all" / "a", model="org/mine")
    card(tmp_path / "all" / "b", scheme="w4a16_gptq", accuracy_after=0.6)  # of whatever it is
    card(tmp_path / "all" / "c", scheme="fp8", model="another")
    card(tmp_path / "all" / "d", scheme="mxfp8", accuracy_before=None, accuracy_after=None)
    card(tmp_path / "others" / "e", model="another")
    for name in ("org/mine", "/models/mine"):
        found = read_cards([tmp_path / "all"], name)
        assert set(found) == {"w8a8_int8", "w4a16_gptq"} and found["w4a16_gptq"].share == 1
    with pytest.raises(ConfigError) as error:
        read_cards([tmp_path / "others"], "org/mine")
    assert "holds an accuracy of mine (there are some of another)." in str(error.value)


def test_a_quantised_model_finds_its_own_card_in_the_folder(tmp_path):
    card(tmp_path / "mine-w8a8", model="mine", accuracy_after=0.6)
    card(tmp_path / "mine-fp8", model="mine", scheme="fp8")
    assert read_cards([tmp_path], str(tmp_path / "mine-w8a8")).keys() == {"w8a8_int8"}


def test_of_two_cards_of_a_scheme_the_one_that_is_named_counts(tmp_path):
    one, other = card(tmp_path / "a", accuracy_after=0.6), card(tmp_path / "b")
    with pytest.raises(ConfigError, match=r"a and .*b are both in w8a8_int8") as error:
        read_cards([tmp_path], "mine")
    assert "Name the one that counts" in str(error.value)
    for named in (one, other):
        for folders in ([named, tmp_path], [tmp_path, named, tmp_path / "b" / ".." / named.name]):
            source = read_cards(folders, "mine")["w8a8_int8"].source
            assert source == f"measured, {named.name}"
    with pytest.raises(ConfigError, match="are both in"):
        read_cards([one, other], "mine")


def test_a_checkpoint_tells_whether_its_accuracy_was_measured(tmp_path):
    assert accuracy_measured(card(tmp_path / "a"))
    assert not accuracy_measured(card(tmp_path / "b", accuracy_before=None, accuracy_after=None))
    assert not accuracy_measured(tmp_path)


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"accuracy_after": None}, "must give scheme, accuracy_before and accuracy_after"),
        ({"scheme": ...}, "KeyError"),
        ({"accuracy_before": 0}, "shares above 0"),
        ({"accuracy_after": 61.2}, "shares above 0 and at most 1"),
        ({"accuracy_after": "much"}, "cannot be used"),
    ],
)
def test_a_card_that_says_too_little_is_refused(tmp_path, changes, said):
    with pytest.raises(ConfigError) as error:
        read_cards([card(tmp_path / "x", **changes)], "mine")
    assert said in str(error.value)


def test_no_card_is_said(tmp_path):
    with pytest.raises(ConfigError, match=r"there is no card\.json in"):
        read_cards([tmp_path], "mine")
