"""What a search has shown: who won, by how much, and whether that is more than luck."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tts.evaluation.statistics import Interval
from tts.tuning.engine.candidates import OURS, VLLM
from tts.tuning.engine.study import Study
from tts.tuning.engine.tried import Tried
from tts.tuning.engine.turns import Standing, standings


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a search.

    Attributes:
        references: What all was compared with, as far as it was measured; the defaults last.
        tried: All candidates, in the order in which they were proposed.
        standings: Of the finalists, the best first; empty without a contest.
        against: The defaults over vLLM's in the contest; None where they are the same.
        rounds: Of the contest.
    """

    references: tuple[Tried, ...]
    tried: tuple[Tried, ...]
    standings: tuple[Standing, ...]
    against: Interval | None
    rounds: int

    @property
    def winner(self) -> Tried | None:
        """The best finalist, if it is better than the defaults beyond its interval."""
        if not self.standings or self.standings[0].over[OURS].low <= 1:
            return None
        return self.named(self.standings[0].name)

    def named(self, name: str) -> Tried:
        """A candidate or a reference."""
        return next(each for each in (*self.tried, *self.references) if each.name == name)

    def sentences(self) -> list[str]:
        """What is to be said of it."""
        found = list(self._on_the_best())
        if self.against is not None:
            found.append(
                f"The defaults are {_words(self.against)} times as good as vLLM's in these rounds."
            )
        return found

    def _on_the_best(self) -> Iterator[str]:
        if not self.standings:
            yield "No candidate was measured to its end: keep the defaults."
            return
        best = self.standings[0]
        over = f"{best.name} is {_words(best.over[OURS])} times as good as the defaults"
        if VLLM in best.over:
            over += f", and {_words(best.over[VLLM])} times as good as vLLM's"
        yield f"{over}, over {self.rounds} rounds in turns."
        if self.winner is None:
            yield "That is not more than luck could do: keep the defaults."
            return
        tried = self.named(best.name)
        if tried.differing:
            yield (
                f"It gives another answer on {tried.differing} of {tried.answers} problems: other"
                " batches and kernels round otherwise, and drafts draw otherwise."
            )


def verdict(study: Study) -> Verdict:
    """What a search has shown so far."""
    found = (study.reference(name) for name in (VLLM, OURS))
    references = tuple(each for each in found if each is not None)
    rounds = study.rounds
    if not rounds:
        return Verdict(references, tuple(study.tried), (), None, 0)
    present = [name for name in (VLLM, OURS) if name in rounds[0]]
    finalists = [name for name in rounds[0] if name not in present]
    standing = standings(rounds, finalists, present) if finalists else []
    against = _against(rounds) if len(present) > 1 else None
    return Verdict(references, tuple(study.tried), tuple(standing), against, len(rounds))


def _against(rounds: Sequence[dict[str, float]]) -> Interval:
    (found,) = standings(rounds, [OURS], [VLLM])
    return found.over[VLLM]


def _words(interval: Interval) -> str:
    return f"{interval.mean:.2f} [{interval.low:.2f}, {interval.high:.2f}]"
