"""The format of math-shepherd-mistral-7b-prm.

Source: the model card (huggingface.co/peiyi9979/math-shepherd-mistral-7b-prm): question and answer
in one text, each step followed by a space and the mark "ки", one step a line; at the mark, the
probability of "+" against that of "-" as the next word. Wang et al. 2024 ("Math-Shepherd") take the
least score of all steps.
"""

from __future__ import annotations

from tts.engine.text import Text
from tts.types import Problem, Trajectory
from tts.verifiers._prm.format import Encoded, Format, id_of, places_of, question_of, steps_of

_MARK = "ки"


def _encode(problem: Problem, trajectory: Trajectory, text: Text, whole: bool) -> Encoded:
    mark, steps = id_of(text, _MARK), steps_of(trajectory.text, whole)
    shown = f"{question_of(problem)} " + "\n".join(f"{step} {_MARK}" for step in steps)
    ids = text.encode(Problem("", shown), Trajectory.root())
    return Encoded.of(ids, places_of(ids, mark, len(steps), _MARK))


FORMAT = Format(
    name="math_shepherd",
    head="language",
    labels=(0,),
    aggregation="min",
    encode=_encode,
    signs=("+", "-"),
)
