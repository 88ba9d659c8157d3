"""Tasks: problems, prompts, how answers are read, and how they are graded."""

from tts.tasks.answers import MathAnswers
from tts.tasks.grading import grade
from tts.tasks.jsonl import Fields, JsonlTask
from tts.tasks.mini import MiniTask
from tts.tasks.prompt import Prompt
from tts.tasks.task import Item, ItemTask, Task

__all__ = [
    "Fields",
    "Item",
    "ItemTask",
    "JsonlTask",
    "MathAnswers",
    "MiniTask",
    "Prompt",
    "Task",
    "grade",
]
