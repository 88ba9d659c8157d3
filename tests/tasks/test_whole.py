"""Replies that are their own answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts.tasks import WholeText


@pytest.mark.parametrize(
    ("text", "after", "answer"),
    [
        (" Dear Sir,\nyes.\n", "", "Dear Sir,\nyes."),
        ("", "", None),
        (" \n", "", None),
        ("hm</think> yes ", "</think>", "yes"),
        ("a</think>b</think>c", "</think>", "c"),
        ("still thinking", "</think>", None),
        ("hm</think>", "</think>", None),
    ],
)
def test_what_is_the_reply(text, after, answer):
    assert WholeText(after=after).extract(text) == answer


async def test_replies_agree_word_by_word():
    whole, strict = WholeText(), WholeText(ignore_case=False)
    assert await whole.equal("The  ANSWER\nis", "the answer is")
    assert not await whole.equal("the answer is.", "the answer is")
    assert not await strict.equal("Yes", "yes")
    assert await strict.equal("Yes  no", "Yes no")


@given(st.text(), st.text())
async def test_equal_keys_are_equal_answers(one, other):
    whole = WholeText()
    same = await whole.key(one) == await whole.key(other)
    assert await whole.equal(one, other) == same
    assert await whole.key(await whole.key(one)) == await whole.key(one)
