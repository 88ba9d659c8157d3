"""What a step does for the answer: how much less likely the answer is without it.

Source: Xiao et al. 2025, "LIMOPro: Reasoning Refinement for Efficient and Effective Test-time
Scaling" (perplexity-based importance, PIR): PPL(answer | question, chain without the step) over
PPL(answer | question, chain). At 1 the step does nothing, above it helps, below it hinders. Only
re-checks and changes of mind are candidates for pruning; the steps that make progress stay.

The perplexity of a given answer is injected; `tts.analysis.read_perplexity` has a model read it.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable

from tts.analysis.reading import Chain, Reader
from tts.errors import VerifierError
from tts.types import Problem, Segment, Trajectory

Perplexity = Callable[[Problem, Trajectory, str], Awaitable[float]]
"""Perplexity (above 0, at least 1 for a model) of an answer that follows a closed chain."""


def functional(chain: Chain) -> list[int]:
    """The numbers of the steps that may be pruned: re-checks and changes of mind."""
    return [number for number, step in enumerate(chain.steps) if step.kind != "plain"]


async def importance(
    problem: Problem,
    chain: Chain,
    answer: str,
    perplexity: Perplexity,
    *,
    reader: Reader,
    steps: Iterable[int] | None = None,
) -> dict[int, float]:
    """The importance of steps, by number: a ratio of perplexities, above 0.

    Short answers have noisy perplexities: an average over several phrasings says more than one.

    Args:
        problem: What was asked.
        chain: What was thought.
        answer: Whose perplexity is taken, as it is to be written.
        perplexity: Of an answer behind a chain; asked once for the whole, and once a step.
        reader: With the tags and the delimiter by which the chain was read.
        steps: Their numbers; the functional ones by default.

    Raises:
        VerifierError: A perplexity is not a finite number above 0.
    """
    everything = range(len(chain.steps))

    async def without(dropped: int | None) -> float:
        kept = [chain.steps[n] for n in everything if n != dropped]
        thinking = reader.thinking
        said = thinking.step.join(chain.text[step.start : step.end] for step in kept)
        text = f"{thinking.start}{said}{thinking.step}{thinking.end}"
        node = Trajectory.root().extend(Segment(text), child=0, clock=0)
        found = await perplexity(problem, node, answer)
        if not 0 < found < math.inf:
            raise VerifierError(f"A perplexity is {found}; it must be finite and above 0.")
        return found

    chosen = functional(chain) if steps is None else list(steps)
    whole = await without(None)
    return {number: await without(number) / whole for number in chosen}
