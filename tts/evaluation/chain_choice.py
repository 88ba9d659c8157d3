"""Choosing among samples by their chains of thought: what each weighs, for `rescoring`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tts.analysis import FewestFailedSteps, MostConfident, Reader, Shortest
from tts.evaluation.rescoring import Judge, Offline, Rankings
from tts.evaluation.samples import Samples
from tts.protocols import Selector
from tts.types import Answer, Candidate, ProblemId
from tts.watching import Thinking

CHOICES = {
    "shortest": "shortest",
    "fewest_failed": "fewest failed steps",
    "most_confident": "most confident",
}
"""The methods, and what they are called in a table."""


async def rankings(
    judge: Judge, samples: Sequence[Samples], thinking: Thinking
) -> Mapping[str, Rankings]:
    """What the samples weigh, by method; the most confident needs log-probabilities of all.

    Args:
        judge: Reads their answers.
        samples: One each a problem.
        thinking: How the model marks its thinking.
    """
    selectors: list[Selector] = [Shortest(thinking), FewestFailedSteps(Reader(thinking))]
    if all(t.logprobs is not None for each in samples for t in each.trajectories):
        selectors.append(MostConfident())
    pools = {each.problem.id: (each, _candidates(judge, each)) for each in samples}

    async def weights(selector: Selector, name: ProblemId) -> tuple[float, ...]:
        each, candidates = pools[name]
        context = Offline(name, judge.answers)
        return tuple(await selector.weigh(each.problem, candidates, context))

    return {
        method: {name: await weights(selector, name) for name in pools}
        for method, selector in zip(CHOICES, selectors, strict=False)
    }


def _candidates(judge: Judge, samples: Samples) -> list[Candidate]:
    found = [(t, judge.answers.extract(t.text)) for t in samples.trajectories]
    # These selectors compare no answers, so that the key does not matter.
    return [Candidate(t, None if text is None else Answer(text, text)) for t, text in found]
