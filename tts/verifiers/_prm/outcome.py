"""The format of outcome reward models: the whole conversation, and one value for all of it.

For `*ForSequenceClassification` and `*ForRewardModel` checkpoints such as Skywork-Reward-V2 or
Qwen2.5-Math-RM (give its system prompt with the problem). One label is an unbounded reward; of two,
the second is a good answer. Source: the usual call of such a model in transformers, the chat
template over question and answer, and the value at the last token (Cobbe et al. 2021, "Training
Verifiers to Solve Math Word Problems").
"""

from __future__ import annotations

from tts.engine.text import Text
from tts.types import Message, Problem, Trajectory
from tts.verifiers._prm.format import Encoded, Format, conversation_of


def _encode(problem: Problem, trajectory: Trajectory, text: Text, whole: bool) -> Encoded:
    turns = [*conversation_of(problem), Message("assistant", trajectory.text)]
    ids = text.render(turns, generation_prompt=False)
    return Encoded.of(ids, [len(ids) - 1])


FORMAT = Format(
    name="outcome",
    head="sequence",
    labels=(1, 2),
    aggregation="model",
    encode=_encode,
)
