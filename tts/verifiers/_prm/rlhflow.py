"""The format of Llama3.1-8B-PRM-Deepseek-Data and Llama3.1-8B-PRM-Mistral-Data.

Source: github.com/RLHFlow/RLHF-Reward-Modeling, math-rm/prm_evaluate.py: a conversation in which
the user says one step at a time, the question before the first, and the assistant answers each with
"+". Where the assistant is about to speak, the probability of "+" against that of "-"; an answer's
score is the mean over its steps.
"""

from __future__ import annotations

from tts.engine.text import Text
from tts.errors import VerifierError
from tts.types import Message, Problem, Trajectory
from tts.verifiers._prm.format import Encoded, Format, question_of, steps_of

_GOOD, _BAD = "+", "-"


def _encode(problem: Problem, trajectory: Trajectory, text: Text, whole: bool) -> Encoded:
    first, *others = steps_of(trajectory.text, whole)
    turns: list[Message] = []
    parts: list[list[int]] = []  # the conversation up to each turn of the assistant's
    for said in (f"{question_of(problem)} {first}", *others):
        turns.append(Message("user", said))
        parts.append(text.render(turns, generation_prompt=True))
        turns.append(Message("assistant", _GOOD))
    ids = parts[-1]
    if any(ids[: len(part)] != part for part in parts):
        raise VerifierError(
            f"The chat template of {text.name} rewrites earlier turns, so that the steps of an"
            " answer cannot be told apart."
        )
    return Encoded.of(ids, [len(part) - 1 for part in parts])


FORMAT = Format(
    name="rlhflow",
    head="language",
    labels=(0,),
    aggregation="mean",
    encode=_encode,
    signs=(_GOOD, _BAD),
)
