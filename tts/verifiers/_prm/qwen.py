"""The format of Qwen2.5-Math-PRM-7B and -72B, and of Qwen2.5-Math-7B-PRM800K.

Source: the model cards (huggingface.co/Qwen/Qwen2.5-Math-PRM-7B): a fixed system prompt, the
question, and the steps, each followed by `<extra_0>`; at that token the softmax over two labels, of
which the second is a good step. Zhang et al. 2025 ("The Lessons of Developing Process Reward Models
in Mathematical Reasoning") multiply the scores of the steps. Of a text that is too long the
beginning is cut off, as in github.com/Red-Hat-AI-Innovation-Team/reward_hub.
"""

from __future__ import annotations

from tts.engine.text import Text
from tts.types import Message, Problem, Trajectory
from tts.verifiers._prm.format import Encoded, Format, conversation_of, id_of, places_of, steps_of

MARK = "<extra_0>"
"""Where the score of a step is read; one token of these models' tokenizers."""

_SYSTEM = Message(
    "system", "Please reason step by step, and put your final answer within \\boxed{}."
)


def _encode(problem: Problem, trajectory: Trajectory, text: Text, whole: bool) -> Encoded:
    mark, steps = id_of(text, MARK), steps_of(trajectory.text, whole)
    turns = [
        _SYSTEM,
        *(turn for turn in conversation_of(problem) if turn.role != "system"),
        Message("assistant", "".join(step + MARK for step in steps)),
    ]
    ids = text.render(turns, generation_prompt=False)
    return Encoded.of(ids, places_of(ids, mark, len(steps), MARK))


FORMAT = Format(
    name="qwen",
    head="token",
    labels=(2,),
    aggregation="prod",
    encode=_encode,
    cuts=True,
)
