"""One word of a few as a reply, and what it is worth: read from a single token.

Source of the expectation: the scores of G-Eval (Liu et al. 2023), weighted by the probabilities of
their tokens. A reply that is none of the words is an error and no bad grade: a judge that has not
understood must not rank anything.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from tts.errors import ConfigError, VerifierError
from tts.protocols import KnowsWords, VerifierContext
from tts.types import Capability, Problem, Request, Sampling, Segment, Trajectory
from tts.verifiers._asking import needed, reply

Reading = Literal["expectation", "greedy"]

FLOOR = 0.05
"""Least probability of all words together with which their expectation means something."""

_TOP = 20  # of the likeliest tokens; what the engine gives by default, and servers give at most


@dataclass(frozen=True)
class Labels:
    """Words from the worst to the best, evenly spaced from 0 to 1.

    Attributes:
        words: At least two, each a single token of the judge's model; case does not matter.
        reading: `expectation` for the mean among the likeliest tokens, by their probabilities;
            `greedy` for the likeliest token alone.
        floor: For `expectation`: least probability of all words together, 0 to 1.
        where: Path of the fields, for complaints.
    """

    words: Sequence[str]
    reading: Reading
    floor: float
    where: str

    def __post_init__(self) -> None:
        if self.reading not in get_args(Reading):
            raise ConfigError(
                f"{self.where}.reading is {self.reading!r}.",
                hint=f"Take one of {get_args(Reading)}.",
            )
        if not 0 <= self.floor <= 1:
            raise ConfigError(f"{self.where}.floor is {self.floor:g}; it must lie in [0, 1].")
        bare = [_bare(word) for word in self.words]
        if len(bare) < 2 or len(set(bare)) < len(bare) or "" in bare:
            raise ConfigError(
                f"{self.where}.labels is {list(self.words)}; it must be two different words or"
                " more, from the worst to the best."
            )

    def requires(self, lead: str) -> frozenset[Capability]:
        """What a backend must offer that is to reply with one of them behind `lead`."""
        expects = self.reading == "expectation"
        return needed(lead) | ({Capability.LOGPROBS} if expects else frozenset())

    async def ask(self, asked: Problem, start: Trajectory, ctx: VerifierContext) -> float:
        """The worth of the next token: 0 for the worst word, 1 for the best.

        Raises:
            BudgetExhausted: The budget cannot pay for it.
            BackendError: The model did not reply.
            VerifierError: It replied with something else, or nobody knows what its tokens are.
        """
        top = _TOP if self.reading == "expectation" else None
        sampling = Sampling(temperature=0.0)
        request = Request(asked, start, 0, sampling, max_tokens=1, logprobs=top, seed=0)
        said = await reply(request, ctx)
        rank = self._rank(said.text) if top is None else self._expected(said, ctx)
        if rank is None:
            raise self._no_label(f"{said.text!r}", ctx)
        return rank / (len(self.words) - 1)

    def _rank(self, text: str) -> int | None:
        """Place of a token among the words; None for all others."""
        ranks = (i for i, word in enumerate(self.words) if _bare(word) == _bare(text))
        return next(ranks, None)

    def _expected(self, said: Segment, ctx: VerifierContext) -> float:
        tops = said.top_logprobs[0] if said.top_logprobs else {}
        texts = self._texts(tops, ctx)
        chances = [(self._rank(texts[i]), math.exp(value)) for i, value in tops.items()]
        ranked = [(rank, chance) for rank, chance in chances if rank is not None]
        total = math.fsum(chance for _, chance in ranked)
        if not total or total < self.floor:
            so = f"{said.text!r}, with {total:.1%} of the probability on the wanted words"
            raise self._no_label(so, ctx)
        return math.fsum(rank * chance for rank, chance in ranked) / total

    def _texts(self, tokens: Iterable[int], ctx: VerifierContext) -> dict[int, str]:
        backend = ctx.backend
        texts = {i: backend.word(i) if isinstance(backend, KnowsWords) else "" for i in tokens}
        if texts and not any(texts.values()):
            raise VerifierError(
                f"The backend of {backend.model.name} does not know what its tokens are.",
                hint=f"Set {self.where}.reading=greedy.",
            )
        return texts

    def _no_label(self, said: str, ctx: VerifierContext) -> VerifierError:
        wanted = ", ".join(self.words)
        return VerifierError(
            f"The judge ({ctx.backend.model.name}) was asked for one of {wanted} and said {said}.",
            hint=f"Take a model that follows instructions, or change {self.where}.question and"
            f" {self.where}.lead.",
        )


def _bare(text: str) -> str:
    return text.strip().casefold()
