"""The configurations of known data sets read rows of their shape, from a file in place of a hub."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from tests.sandbox.walls import needs_sandbox
from tts.tasks import DatasetTask

datasets = pytest.importorskip("datasets")
CONFIGS = Path(__file__).parents[2] / "configs" / "task"

# The columns as the data sets have them; the contents are ours.
SHAPES = {
    "math500": {"problem": "1+1?", "solution": r"\boxed{2}", "answer": "2", "subject": "Algebra",
                "level": 1, "unique_id": "test/algebra/1.json"},
    "aime24": {"ID": "2024-I-1", "Problem": "1+1?", "Solution": "It is 2.", "Answer": 2},
    "aime25": {"problem": "1+1?", "answer": "2", "id": "0"},
    "gpqa_diamond": {"Question": "1+1?", "Correct Answer": "two", "Incorrect Answer 1": "one",
                     "Incorrect Answer 2": "three", "Incorrect Answer 3": "four",
                     "Record ID": "rec1", "Explanation": "It is two."},
    "humaneval": {"task_id": "HumanEval/0", "prompt": 'def two():\n    """Two."""\n',
                  "canonical_solution": "    return 2\n", "entry_point": "two",
                  "test": "def check(candidate):\n    assert candidate() == 2\n"},
}  # fmt: skip
RIGHT = {"humaneval": "```python\ndef two():\n    return 2\n```", "gpqa_diamond": None}
WRONG = {"humaneval": "```python\ndef two():\n    return 3\n```", "gpqa_diamond": r"\boxed{E}"}


def configured(*overrides):
    with initialize_config_dir(str(CONFIGS.parent), version_base=None):
        return instantiate(compose(overrides=list(overrides)).task, _convert_="all")


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=needs_sandbox if n == "humaneval" else ()) for n in SHAPES]
)
async def test_known_data_sets(name, tmp_path):
    path = tmp_path / "rows.parquet"
    datasets.Dataset.from_list([SHAPES[name]]).to_parquet(path)
    allowed = ["task.allow_code_execution=true"] if name == "humaneval" else []
    task = configured(f"+task={name}", f"task.path={path}", *allowed)
    (item,) = task
    question = next(value for value in SHAPES[name].values() if value in ("1+1?",)) if (
        name != "humaneval") else "def two"  # fmt: skip
    assert task.name == name
    assert question in item.problem.messages[-1].content
    right = RIGHT.get(name, r"\boxed{2}") or rf"\boxed{{{item.gold}}}"
    wrong = WRONG.get(name, r"\boxed{3}")
    assert await task.grade(item.problem.id, task.answers.extract(right))
    assert not await task.grade(item.problem.id, task.answers.extract(wrong))
    if name == "gpqa_diamond":
        asked = item.problem.messages[-1].content
        assert f"{item.gold}) two\n" in asked and "It is two" not in asked
        assert asked.startswith("1+1?\n\nA) ") and "\n\nReason" in asked


async def test_generated_problems():
    task = configured("+task=reasoning_gym", "+task.source.config.max_animals=3",
                      "task.n_problems=3")  # fmt: skip
    assert isinstance(task, DatasetTask) and len(task) == 3
    for item in task:
        text = f"Legs: {task.answers.landing}{item.gold}</answer>"
        assert await task.grade(item.problem.id, task.answers.extract(text))


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_new_field_is_explained(path):
    lines = path.read_text().splitlines()
    assert lines[0].startswith("#")
    base = yaml.safe_load((CONFIGS / "jsonl.yaml").read_text())
    explained = set() if path.stem in ("jsonl", "mini") else _names(base)
    explained |= {"defaults", "_target_"}
    if path.stem not in ("jsonl", "mini", "hub"):
        explained |= _names(yaml.safe_load((CONFIGS / "hub.yaml").read_text()))
    for before, line in itertools.pairwise(lines):
        name, colon, _ = line.strip().partition(":")
        if colon and name.isidentifier() and name not in explained:
            assert before.strip().startswith("#"), f"{path.name}: {name} has no comment"


def _names(node):
    return {key for key in node} | {
        name for value in node.values() if isinstance(value, dict) for name in _names(value)
    }
