"""TeX finds no command in what it is given, and prints it as it stands."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.reporting.made import folder, record
from tests.reporting.test_boards import boarded
from tts.reporting.latex import escaped, latex
from tts.reporting.table import table

COMMANDS = {
    r"\textbackslash{}": "\\", r"\textasciitilde{}": "~", r"\textasciicircum{}": "^",
    r"\textless{}": "<", r"\textgreater{}": ">", r"\textbar{}": "|", r"\textquotedbl{}": '"',
    r"\textquotesingle{}": "'", r"\textasciigrave{}": "`",
    **{f"{{{sign}}}": sign for sign in "-[]*"}, **{f"\\{sign}": sign for sign in "&%$#_{}"},
}  # fmt: skip
PRINTED = re.compile("|".join(map(re.escape, sorted(COMMANDS, key=len, reverse=True))))
PLAIN = re.compile(r"[A-Za-z0-9 .,:;!?()/=+@À-ÿ]*")


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_any_line_is_printed_as_it_stands(text):
    source = escaped(text)
    assert PLAIN.fullmatch(PRINTED.sub("", source)), "nothing but known commands and plain signs"
    assert PRINTED.sub(lambda m: COMMANDS[m[0]], source) == " ".join(text.split())


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("a_b n=2", r"a\_b n=2"),
        ("100% & more", r"100\% \& more"),
        ("\\input{/etc/passwd}", r"\textbackslash{}input\{/etc/passwd\}"),
        ("中 \x1b", "U+4E2D U+001B"),
        ("a\nb", "a b"),
    ],
)
def test_examples(text, source):
    assert escaped(text) == source


def test_a_table_has_a_line_an_arm_and_all_its_columns(tmp_path):
    rows = [record(f"p{i}", arm, correct=i < 3) for arm in ("a_1", "[b] & c") for i in range(5)]
    (board,) = boarded(folder(tmp_path, *rows))
    found = table(board.rows)
    text = latex(found, "50% of $x$")
    lines = text.splitlines()
    assert [lines.index(rf"\{rule}rule") for rule in ("top", "mid", "bottom")] == [4, 6, 9]
    assert all(line.endswith(r"\\") for line in (lines[5], *lines[7:9]))
    columns = len(found.heads) + 1
    assert all(
        len(re.findall(r"(?<!\\)&", line)) == columns - 1 for line in (lines[5], *lines[7:9])
    )
    assert "l" + "r" * (columns - 1) in lines[3]
    assert lines[8].startswith(r"{[}b{]} \& c & 60.0 {[}")
    assert r"\caption{50\% of \$x\$}" in text
    assert "$+$0.0" in lines[8] and text.count("{table}") == text.count("{tabular}") == 2
