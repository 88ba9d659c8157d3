r"""The format of `mini-prm`: the policy's own prompt and answer, a value at every token.

The model is a token classification with two labels; the second is a good end. It was trained at
every token of a solution, so any prefix can be judged at its last token, also in the middle of a
step. Steps end with the token ``\n\n``. Ids are taken over from segments that carry them.
"""

from __future__ import annotations

from tts.engine.text import Text
from tts.types import Problem, Trajectory
from tts.verifiers._prm.format import STEP_END, Encoded, Format, id_of


def _encode(problem: Problem, trajectory: Trajectory, text: Text, whole: bool) -> Encoded:
    before = len(text.encode(problem, Trajectory.root()))
    ids = text.encode(problem, trajectory)
    last, mark = len(ids) - 1, id_of(text, STEP_END)
    ends = [place for place in range(before, last) if ids[place] == mark]
    return Encoded.of(ids, [last] if whole else [*ends, last])


FORMAT = Format(
    name="mini",
    head="token",
    labels=(2,),
    aggregation="last",
    encode=_encode,
    exact=True,
)
