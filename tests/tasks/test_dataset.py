"""Any data set is a task; what cannot be used is named in one sentence."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from tts.errors import ConfigError
from tts.tasks import DatasetTask, Fields, Item, ItemTask, MathAnswers, Prompt
from tts.types import Message, Problem

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("TTS_DATA", ROOT.parent / "shared" / "data"))
ROWS: list[dict[str, Any]] = [
    {"question": "1+1?", "answer": "so 2\n#### 2", "key": "a", "level": 1},
    {"question": "2+2?", "answer": "so 4\n#### 4", "key": "b", "level": 2},
    {"question": "3+3?", "answer": "so 6\n#### 6", "key": "c", "level": 1},
]


def write(tmp_path: Path, *rows: Any) -> Path:
    path = tmp_path / "sums.jsonl"
    path.write_text(
        "".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows)
    )
    return path


async def test_a_file_becomes_problems_and_grades(tmp_path: Path) -> None:
    fields = Fields(metadata=("level",), answer_pattern="#### (.*)")
    prompt = Prompt("{{ question }} (level {{ level }})", system="Calculate.")
    task = DatasetTask(write(tmp_path, *ROWS), fields=fields, prompt=prompt, max_tokens=9)
    turns = (Message("system", "Calculate."), Message("user", "2+2? (level 2)"))
    assert list(task)[1] == Item(Problem("sums-1", messages=turns, metadata={"level": 2}), "4")
    assert (task.name, len(task), task.max_tokens) == ("sums", 3, 9)
    assert task.answers == MathAnswers()
    assert await task.grade("sums-1", "4.0")
    assert not await task.grade("sums-1", "5")
    assert not await task.grade("sums-1", None)
    with pytest.raises(ConfigError, match="no problem 'sums-7'"):
        await task.grade("sums-7", "4")


def test_names_ids_and_text_prompts(tmp_path: Path) -> None:
    prompt = Prompt("Q: {{ question }}\nA:\n", chat=False)
    task = DatasetTask(write(tmp_path, *ROWS), name="s", fields=Fields(id="key"), prompt=prompt)
    assert task.name == "s"
    assert [problem.id for problem in task.problems] == ["a", "b", "c"]
    assert task.problems[0].prompt == "Q: 1+1?\nA:\n"


def test_blank_lines_keep_the_numbers_of_lines(tmp_path: Path) -> None:
    path = write(tmp_path, ROWS[0], "\n", ROWS[1])
    assert [problem.id for problem in DatasetTask(path).problems] == ["sums-0", "sums-2"]


@pytest.mark.parametrize(
    ("value", "gold"), [(27.0, "27"), (0.5, "0.5"), (-3, "-3"), (" x ", "x"), (0, "0")]
)
def test_gold_answers_of_any_type(tmp_path: Path, value: Any, gold: str) -> None:
    (item,) = DatasetTask(write(tmp_path, {"question": "?", "answer": value}))
    assert item.gold == gold


def test_parts_and_shuffles_keep_ids(tmp_path: Path) -> None:
    path = write(tmp_path, *({"question": f"{i}?", "answer": i} for i in range(50)))
    whole = DatasetTask(path, shuffle_seed=1).items
    assert DatasetTask(path, shuffle_seed=1, offset=7, n_problems=9).items == whole[7:16]
    assert sorted(whole, key=lambda item: int(item.gold or 0)) == list(DatasetTask(path))
    assert whole != DatasetTask(path, shuffle_seed=2).items != DatasetTask(path).items


def test_the_digest_is_that_of_the_content(tmp_path: Path) -> None:
    path = write(tmp_path, *ROWS)
    task = DatasetTask(path)
    assert task.digest == DatasetTask(path, max_tokens=1).digest
    others = [
        DatasetTask(path, n_problems=2),
        DatasetTask(path, prompt=Prompt("{{ question }} ")),
        DatasetTask(path, prompt=Prompt(system="s")),
        DatasetTask(path, fields=Fields(answer_pattern="#### (.*)")),
    ]
    assert len({task.digest, *(other.digest for other in others)}) == 5


def test_no_problem_contains_its_answer(tmp_path: Path) -> None:
    row = {"question": "?", "answer": "SECRET", "level": 1}
    (item,) = DatasetTask(write(tmp_path, row), fields=Fields(metadata=["level"]))
    assert "SECRET" not in repr(item.problem)
    for leak in ("{{ answer }}", "{{ self }}{{ answer }}"):
        with pytest.raises(ConfigError, match="'answer' is undefined"):
            DatasetTask(write(tmp_path, row), prompt=Prompt(leak))
    for fields in ({"metadata": ("answer",)}, {"question": "answer"}, {"id": "answer"}):
        with pytest.raises(ConfigError, match="holds the right answer"):
            Fields(**fields)


GOOD = ROWS[0]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "sums.jsonl holds no problems"),
        (["\n\n"], "sums.jsonl holds no problems"),
        ([GOOD, '{"question": \n'], "sums.jsonl, line 2 is no JSON"),
        ([GOOD, "[1]\n"], "line 2 holds a list, not an object"),
        ([GOOD, {"questoin": "?", "answer": "1"}],
         "line 2 has no field 'question'; there are: questoin, answer. Did you mean 'questoin'?"),
        ([{}], "line 1 has no field 'question'; there are: none"),
        ([{"question": "?", "solution": "1"}], "line 1 has no field 'answer'"),
        ([{"question": "?", "answer": None}], "line 1: the field 'answer' must hold"),
        ([{"question": "?", "answer": " "}], "line 1: the field 'answer' must hold"),
        ([{"question": "?", "answer": True}], "line 1: the field 'answer' must hold"),
        ([{"question": ["?"], "answer": "1"}], "line 1: the field 'question' must hold"),
    ],
)  # fmt: skip
def test_bad_files(tmp_path: Path, rows: list[Any], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        DatasetTask(write(tmp_path, *rows))
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_problems": 0}, "n_problems is 0; it must be at least 1"),
        ({"n_problems": 4}, "n_problems is 4, but"),
        ({"n_problems": 3, "offset": 1}, "has 2 problems from number 1 on. Take fewer"),
        ({"offset": 3}, "has 0 problems from number 3 on. Choose a smaller offset"),
        ({"offset": -1}, "offset is -1; it must be at least 0"),
        ({"max_tokens": 0}, "max_tokens of task sums is 0"),
        ({"fields": Fields(id="level")}, "line 3: the id '1' is that of line 1 too"),
        ({"fields": Fields(id="kye")}, "line 1 has no field 'kye'; there are: question, answer"),
        ({"fields": Fields(metadata=["topic"])}, "line 1 has no field 'topic'"),
        ({"fields": Fields(answer_pattern="= (.*)")}, "'= (.*)' finds no answer in the field"),
        (
            {"prompt": Prompt("{{ quest }}")},
            "'quest' is undefined. It may use: key, level, question",
        ),
        ({"prompt": Prompt("{% if %}")}, "prompt.template cannot be used"),
        ({"prompt": Prompt(" ")}, "The prompt of problem sums-0 is empty"),
    ],
)
def test_bad_arguments(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        DatasetTask(write(tmp_path, *ROWS), **arguments)
    assert message in str(raised.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"There is no file .*none.jsonl.*TTS_DATA"):
        DatasetTask(tmp_path / "none.jsonl")
    with pytest.raises(ConfigError, match="cannot be read"):
        DatasetTask(tmp_path)
    binary = tmp_path / "binary.jsonl"
    binary.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ConfigError, match="cannot be read"):
        DatasetTask(binary)


def test_bad_fields_prompts_and_items() -> None:
    with pytest.raises(ConfigError, match="no regular expression"):
        Fields(answer_pattern="(")
    with pytest.raises(ConfigError, match="system message but is no conversation"):
        Prompt(system="s", chat=False)
    with pytest.raises(ConfigError, match="Task t has no problems"):
        ItemTask("t", [])
    with pytest.raises(ConfigError, match="same id"):
        ItemTask("t", [Item(Problem.chat("a", "?"), "1")] * 2)


def configured(*overrides: str) -> Any:
    with initialize_config_dir(str(ROOT / "configs"), version_base=None):
        return instantiate(compose(overrides=list(overrides)).task)


def test_your_own_file_by_configuration(tmp_path: Path) -> None:
    path = write(tmp_path, *ROWS)
    task = configured(
        "+task=jsonl", f"task.path={path}", "task.fields.metadata=[level]", "task.n_problems=2"
    )
    assert [item.problem.metadata for item in task] == [{"level": 1}, {"level": 2}]
    assert task.name == "sums"


def test_data_is_looked_for_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTS_DATA", "/nowhere")
    with pytest.raises(Exception, match=r"There is no file /nowhere/gsm8k") as raised:
        configured("+task=gsm8k")
    assert isinstance(raised.value.__cause__, ConfigError)


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the data sets")
@pytest.mark.parametrize(("name", "size"), [("gsm8k", 900), ("multiarith", 600), ("amc23", 40)])
async def test_real_data_sets(name: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTS_DATA", str(DATA))
    task = configured(f"+task={name}")
    assert len(task) == size
    for item in task:
        for text in (f"\\boxed{{{item.gold}}}", f"So it is {item.gold}.", f"#### {item.gold}"):
            assert await task.grade(item.problem.id, task.answers.extract(text)), item
        assert not await task.grade(item.problem.id, f"{item.gold}1")


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the data sets")
async def test_worked_solutions_of_gsm8k_are_all_right() -> None:
    path = DATA / "gsm8k_test_900.jsonl"
    task = DatasetTask(path, name="gsm8k", fields=Fields(answer_pattern="#### (.*)"))
    solutions = [json.loads(line)["answer"] for line in path.read_text().splitlines()]
    for item, solution in zip(task, solutions, strict=True):
        assert await task.grade(item.problem.id, task.answers.extract(solution)), solution
