"""Routing by a glimpse: if a small model is unsure how a step begins, the large one writes it.

Source: Zeng et al. 2026, "GlimpRouter: Efficient Collaborative Inference by Glimpsing One Token of
Thoughts". The draft model writes the first token of the next step. If the entropy of the likeliest
tokens at its place reaches the threshold, the large model writes the step; if not, the draft model
goes on. When the thinking part has ended, the large model writes the answer.

What we settle otherwise than the published program, which draws the glimpse at temperature 0 and
throws it away: it is drawn as all tokens are, and is the first token of the draft model's step. So
where nothing is routed the answer is the draft model's own, and a step costs no token twice. The
entropy is that of the model's own distribution whatever the temperature, of its `top` likeliest
tokens, renormalised; it depends on model and vocabulary, so calibrate the threshold. A first token
that ends the answer, or fills a step by itself, is treated as all others; one that comes without a
distribution (the end of an answer, on some backends) counts as certain.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from tts.errors import BudgetExhausted, ConfigError
from tts.protocols import Env, Strategy
from tts.strategies._pair import PAIRED, STEPS, Chain, check_settings, decode
from tts.strategies._steps import Stepper, check_width
from tts.types import Capability, Problem, Result, Trajectory, Usage


@dataclass(frozen=True)
class GlimpRouter:
    """Steps of the draft model where it is sure of their first token, of the large one otherwise.

    `Result.details` tells how many `steps` of the answer each model wrote and in which order
    (`authors`), the `entropies` of the glimpses (nats) and their mean (`mean_entropies`), after how
    many of them the draft model went on (`accepted`), and the share of the answer's tokens that the
    large model wrote (`large_share`).

    Args:
        threshold: Entropy (nats) from which on the large model writes the step, at least 0. 0 has
            it write all of them, infinity none.
        top: Likeliest tokens of which the entropy is made, at least 2; their number caps it.
        first_n: Steps at the beginning that the large model writes without a glimpse, at least 0.
        thinking_end: Text that ends the thinking part, such as "</think>": what follows is then
            written by the large model, also where thinking was cut off by a repetition or a cap.
            Empty to have both models write to the end.
        answer_tokens: Tokens of the cap of an answer that thinking must leave for what follows.
        stepper: What ends a step; with `thinking_end` its `last` is not looked for.
    """

    threshold: float = 1.0
    top: int = 20
    first_n: int = 0
    thinking_end: str = ""
    answer_tokens: int = 0
    stepper: Stepper = STEPS
    requires: frozenset[Capability] = PAIRED | {Capability.DRAFT_LOGPROBS}

    def __post_init__(self) -> None:
        check_settings(self.first_n, self.threshold)
        check_width("top", self.top, 2)
        check_width("answer_tokens", self.answer_tokens, 0)
        if self.threshold < 0:
            raise ConfigError(
                f"strategy.threshold is {self.threshold:g}; an entropy is at least 0 nats.",
                hint="Set strategy.threshold=1.",
            )
        if self.answer_tokens and not self.thinking_end:
            raise ConfigError(
                f"strategy.answer_tokens is {self.answer_tokens}, and without a thinking part"
                " nothing follows it.",
                hint="Set strategy.thinking_end=</think>, or leave it out.",
            )

    @property
    def first_step(self) -> Usage:
        """A token."""
        return Usage(completion_tokens=1, calls=1)

    @property
    def measure(self) -> str:
        """Where `Result.details` has a value for each glimpse."""
        return "entropies"

    @property
    def rising(self) -> bool:
        """The large model writes where the entropy reaches the threshold."""
        return True

    def at(self, threshold: float) -> Strategy:
        """The same with another threshold."""
        return replace(self, threshold=threshold)

    async def __call__(self, problem: Problem, env: Env) -> Result:
        """Glimpse, and go on or route, until the thinking ends; then answer."""
        chain = Chain(env, problem, self.stepper, self.thinking_end, self.answer_tokens)
        accepted = 0
        try:
            while chain.goes_on:
                if len(chain.authors) < self.first_n or not chain.room("draft"):
                    await chain.write()
                    continue
                glimpse = await self._glimpse(chain)
                chain.measured.append(entropy(_first(glimpse)))
                if chain.measured[-1] >= self.threshold:
                    await chain.write(after=glimpse.clock)
                else:
                    chain.add("draft", await self._rest(chain, glimpse))
                    accepted += 1
            if self.thinking_end:
                chain.kept = 0
                await chain.answer()
        except BudgetExhausted:
            pass  # what stands is what was paid
        return await chain.result(self.measure, accepted)

    async def _glimpse(self, chain: Chain) -> Trajectory:
        """The first token of the draft model's next step."""
        request = chain.request("draft", chain.node, 1)
        return await decode(chain.env.draft, replace(request, logprobs=self.top))

    async def _rest(self, chain: Chain, glimpse: Trajectory) -> Trajectory:
        """The draft model's step to its end, the glimpse being its first token."""
        room = min(chain.room("draft") - 1, chain.room("draft", glimpse))
        if glimpse.finish != "length" or room < 1:
            return glimpse
        return await decode(chain.env.draft, chain.request("draft", glimpse, room))


def _first(glimpse: Trajectory) -> Mapping[int, float]:
    """The likeliest tokens at a glimpse, with their log-probabilities; none if they are unknown."""
    tops = glimpse.segment.top_logprobs if glimpse.segment else None
    return tops[0] if tops else {}


def entropy(logprobs: Mapping[int, float]) -> float:
    """Entropy (nats) of a distribution that is known in part, renormalised; 0 for an empty one.

    Args:
        logprobs: Natural logarithms of probabilities, by token.
    """
    chances = [math.exp(value) for value in logprobs.values()]
    total = math.fsum(chances)
    shares = [chance / total for chance in chances if chance > 0]
    return max(0.0, -math.fsum(share * math.log(share) for share in shares))
