"""Tasks: problems, prompts, how answers are read, and how they are graded."""

from tts.tasks.answers import MathAnswers
from tts.tasks.choices import ChoiceAnswers, Choices
from tts.tasks.dataset import CodeTask, DatasetTask
from tts.tasks.exact import ExactAnswers
from tts.tasks.examples import Examples
from tts.tasks.fields import Fields
from tts.tasks.grading import grade
from tts.tasks.gym import GymScore, ReasoningGym
from tts.tasks.hub import Hub
from tts.tasks.json_answers import JsonAnswers
from tts.tasks.mini import MiniTask
from tts.tasks.numeric import NumericAnswers
from tts.tasks.programs import ProgramAnswers, ProgramTests
from tts.tasks.prompt import Prompt
from tts.tasks.requests import RequestsTask
from tts.tasks.sources import JsonLines, Row, Source
from tts.tasks.structures import read_structure
from tts.tasks.task import Answers, Grader, Item, ItemTask, SameAsGold, Task
from tts.tasks.whole import WholeText

__all__ = [
    "Answers",
    "ChoiceAnswers",
    "Choices",
    "CodeTask",
    "DatasetTask",
    "ExactAnswers",
    "Examples",
    "Fields",
    "Grader",
    "GymScore",
    "Hub",
    "Item",
    "ItemTask",
    "JsonAnswers",
    "JsonLines",
    "MathAnswers",
    "MiniTask",
    "NumericAnswers",
    "ProgramAnswers",
    "ProgramTests",
    "Prompt",
    "ReasoningGym",
    "RequestsTask",
    "Row",
    "SameAsGold",
    "Source",
    "Task",
    "WholeText",
    "grade",
    "read_structure",
]
