"""The format of Skywork-o1-Open-PRM-Qwen-2.5-1.5B and -7B, as a token classification of one label.

Source: github.com/SkyworkAI/skywork-o1-prm-inference (as carried by huggingface/search-and-learn,
src/sal/models/skywork_o1_prm/io_utils.py): the beginning-of-text token, the question and a line
end; then every line of the answer, encoded by itself, and a line end, at which the sigmoid of the
value is the line's score. Empty lines count. The authors name no way to join the scores; `last` is
that of search-and-learn.

The published checkpoints hold the head as `v_head.summary`; vLLM reads it as `score` of a
`Qwen2ForTokenClassification` with one label.
"""

from __future__ import annotations

from tts.engine.text import Text
from tts.types import Problem, Trajectory
from tts.verifiers._prm.format import Encoded, Format, id_of, question_of

_END = "\n"


def _encode(problem: Problem, trajectory: Trajectory, text: Text, whole: bool) -> Encoded:
    mark = id_of(text, _END)
    ids = text.ids_of(f"{text.bos}{question_of(problem)}{_END}")
    places = []
    for line in trajectory.text.strip().split(_END):
        ids += [*text.ids_of(line), mark]
        places.append(len(ids) - 1)
    return Encoded.of(ids, places[-1:] if whole else places)


FORMAT = Format(
    name="skywork",
    head="token",
    labels=(1,),
    aggregation="last",
    encode=_encode,
)
