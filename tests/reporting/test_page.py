"""The page: what was read is on it, nothing of it acts, no network, and it stays small."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.reporting.made import candidate, failed, folder, record, shown, telling, tree
from tts.cli import main
from tts.errors import ConfigError

EVIL = (
    '</style></title></svg><script>document.title="taken"</script><img src=x onerror="alert(1)">'
    '"><img onerror=alert(1)> \x1b[31m \x00 \u202eevil {{ 7*7 }} {% raw %}'
)
VOID = {"meta", "br", "input", "path", "use", "wbr", "rect"}


class Page(HTMLParser):
    """Tags with their attributes, and the text; every tag must be closed."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self._open = [], "", []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID or tag in ("path", "use", "rect"):
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] not in ("style", "script"):
            self.text += data

    def all(self, tag, **attributes):
        return [a for t, a in self.tags if t == tag and attributes.items() <= a.items()]

    def classed(self, name):
        return [a for _, a in self.tags if name in a.get("class", "").split()]


def hostile(path, evil):
    """Two arms, with a text in every place that a model or a user can reach."""
    rows = [record(f"p{i}{evil}", arm, answer=evil, gold=evil, candidates=(candidate(evil),))
            for arm in ("a", evil) for i in range(5)]  # fmt: skip
    rows += [failed("q", evil, f"Fault: {evil}"), record("q", gold="1")]
    claim = {"what": evil, "on": evil, "n_problems": 1, "margin": 0.1, "kind": "equivalence"}
    claim |= {"interval": {"mean": 0, "low": 0, "high": 0}, "verdict": "met", "command": evil}
    about = {"command": [evil], "versions": {evil: evil}, "code": {"commit": evil}}
    origin = {**about, "machine": {"cpu": evil}, "backends": [{"model": evil}]}
    trees = [tree(each, evil, evil, "x" * 2**20) for each in rows[:5]]
    return folder(path, *rows, trees=trees, claims=[claim], provenance=origin)


def test_nothing_that_was_written_becomes_markup(tmp_path):
    harmless, page = (
        Page(shown(hostile(tmp_path / name, text), ask=telling(text, text), title=text))
        for name, text in (("x", "harmless"), ("y", EVIL))
    )
    names = ("script", "style", "title", "img", "svg", "details", "table", "meta", "iframe")
    for name in names:
        assert len(page.all(name)) == len(harmless.all(name)), name
    handlers = [key for _, at in page.tags for key in at if key.startswith("on")]
    assert not handlers
    assert page.text.count("{{ 7*7 }}") > 20 and page.text.count("<script>") > 20


def test_no_character_acts(tmp_path):
    text = shown(hostile(tmp_path, EVIL), ask=telling(EVIL))
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", text)
    assert "␛[31m" in text and "⟨U+202E⟩" in text


def test_a_page_needs_no_network_and_runs_its_own_script_alone(tmp_path):
    text = shown(folder(tmp_path, record(), record("p1", "b")))
    page = Page(text)
    assert not re.search(
        r"(?:src|href)=\"(?!#)|@import|url\((?!#)|https?://(?!www\.w3\.org/)", text
    )
    (policy,) = page.all("meta", **{"http-equiv": "Content-Security-Policy"})
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy["content"]
    assert "default-src 'none'" in policy["content"]


def test_every_arm_and_its_figures_stand_in_the_table(tmp_path):
    rows = [record(f"p{i}", arm, correct=i < n) for n, arm in enumerate("abc") for i in range(4)]
    page = Page(shown(folder(tmp_path, *rows)))
    orders = [at["data-order"] for at in page.all("td") if "data-order" in at]
    assert {"0.0", "0.25", "0.5"} <= set(orders)
    assert "25.0" in page.text and "+25.0" in page.text
    assert [at.get("value") for at in page.all("option")][:4] == ["", "0", "1", "2"]


def test_attempts_can_be_filtered_by_arm_and_mark(tmp_path):
    rows = [record(), record("p0", "b", correct=False, answer="2"), failed("p0", "c")]
    attempts = Page(shown(folder(tmp_path, *rows))).classed("attempt")
    assert [(a["data-arm"], a["data-mark"]) for a in attempts] == [
        ("0", "right"), ("1", "wrong"), ("2", "failed"),
    ]  # fmt: skip


def test_traces_show_steps_with_their_scores(tmp_path):
    row = record()
    page = Page(shown(folder(tmp_path, row, trees=[tree(row, "first step", "second step")])))
    assert len(page.classed("score")) == 2 and len(page.classed("woods")) == 1
    assert "first step" in page.text and "second step" in page.text


def test_a_page_says_which_part_of_the_problems_it_shows(tmp_path):
    path = folder(tmp_path, *(record(f"p{i}") for i in range(30)))
    page = Page(shown(path, problems=7))
    assert len(page.classed("problem")) == 7 and "7 of 30 problems: first those" in page.text
    assert not Page(shown(path, problems=0)).classed("problem")
    assert "30 of 30 problems." in Page(shown(path)).text


def test_a_page_stays_small(tmp_path):
    rows = [record(f"p{i}", arm, answer="9" * 10_000) for arm in "ab" for i in range(40)]
    trees = [tree(row, *(f"{n}" * 3000 for n in range(30))) for row in rows]
    path = folder(tmp_path, *rows, trees=trees)
    small = shown(path, room=200_000, ask=telling("why? " * 10**5))
    assert len(small) < 700_000 and len(small) < len(shown(path, room=2_000_000))
    assert "Left out to keep this page small: " in small and "tts show" in small


def test_a_large_tree_is_not_drawn_but_told(tmp_path):
    row = record()
    page = shown(folder(tmp_path, row, trees=[tree(row, *map(str, range(100)))]))
    assert "A tree of 100 pieces is too large for here" in page


def test_a_tree_that_cannot_be_used_is_left_out(tmp_path):
    rows = [record(), record("p1")]
    path = folder(tmp_path, *rows, trees=[tree(row, "a", "b") for row in rows])
    head, first, second = (path / "trees.jsonl").read_text().splitlines()
    second = json.dumps(json.loads(second) | {"candidates": [0, 1]})
    first = json.dumps(json.loads(first) | {"nodes": [{"parent": "?"}]})
    (path / "trees.jsonl").write_text(f"{head}\n{first}\n{second}\n")
    page = Page(shown(path))
    assert len(page.classed("attempt")) == 2 and not page.classed("trace")


def test_a_batch_without_right_answers_has_no_accuracy(tmp_path):
    unknown = {"gold": None, "correct": None, "candidates": (), "text": "The whole reply."}
    rows = [record(f"p{i}", **unknown) for i in range(3)]
    page = Page(shown(folder(tmp_path, *rows)))
    assert not page.classed("chart") and "Accuracy" not in page.text and "ungraded" in page.text
    assert "The whole reply." in page.text and "Right answer" not in page.text


def test_an_unfinished_run_is_called_so(tmp_path):
    page = Page(shown(folder(tmp_path, record(), failed("p1"), finished=False)))
    assert "unfinished" in page.text and "so far" in page.text and "EngineDead" in page.text


def test_folders_without_results_are_named(tmp_path):
    one, empty = folder(tmp_path / "one", record()), folder(tmp_path / "none")
    assert f"Left out: {empty}: no problem has ended yet." in Page(shown(one, empty)).text
    with pytest.raises(ConfigError, match="has ended yet"):
        shown(empty)


def test_simulated_figures_are_called_so_everywhere(tmp_path):
    assert (
        main(["run", "backend=simulated", "task.n_problems=12", f"hydra.run.dir={tmp_path}"]) == 0
    )
    text = shown(tmp_path)
    page = Page(text)
    assert "say nothing of a real model" in page.text and len(page.classed("badge")) >= 2
    charts = re.findall(r'<svg class="chart".*?</svg>', text, re.DOTALL)
    assert charts and all("Simulated" in chart for chart in charts)


def test_calibration_is_shown_where_scores_are(tmp_path):
    pairs = [(0.9, True), (0.8, True), (0.3, False), (0.6, False)]
    rows = [
        record(
            f"p{i}", candidates=tuple(candidate(str(n), ok, s) for n, (s, ok) in enumerate(pairs))
        )
        for i in range(6)
    ]
    path = folder(tmp_path, *rows)
    kept = json.loads((path / "summary.json").read_text())
    kept[0]["strategy_name"] = "best_of_n"
    (path / "summary.json").write_text(json.dumps(kept))
    page = Page(shown(path))
    assert "scores mean" in page.text and "100.0 [100.0, 100.0]" in page.text


def test_the_example_of_the_documentation_runs(tmp_path):
    text = (Path(__file__).parents[2] / "docs" / "report.md").read_text()
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    folder(tmp_path / "outputs/demo", record(), record("p1", correct=False))
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "a 0.5 10.0\n"
    assert "What is asked in p1" in (tmp_path / "report.html").read_text()
