"""Two models on one chain: what strategies share that have a small one write for a large one.

The *large* model is the run's policy, the *draft* model writes on trial. Steps of the draft model
are the children number 0 of where they begin, those of the large one number 1; so what a model
draws at a place does not depend on why it was asked. Knows no rule by which one is chosen.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from tts.errors import ConfigError
from tts.protocols import Backend, Env
from tts.strategies._steps import Stepper, check_width, room_for_rest
from tts.types import Candidate, Capability, Problem, Request, Result, Segment, Trajectory

Author = Literal["draft", "large"]

PAIRED = frozenset({Capability.CONTINUATION, Capability.DRAFT})
"""What two models on one chain need."""

STEPS = Stepper(max_tokens=512, max_steps=400)
"""The published step: to a blank line, and no longer than 512 tokens."""


@dataclass(eq=False)
class Chain:
    """One answer on which two models write, one after the other.

    Attributes:
        env: Where they write.
        problem: What is answered.
        stepper: What ends a step.
        thinking_end: Text that ends the thinking part, at which a step ends as well; empty if the
            whole answer is written in steps.
        kept: Tokens that steps must leave for an answer behind the thinking part.
        node: The chain so far.
        authors: Who wrote each step of it.
        measured: What the draft model's tries were found to be, in order; in the strategy's terms.
    """

    env: Env
    problem: Problem
    stepper: Stepper
    thinking_end: str = ""
    kept: int = 0
    node: Trajectory = field(default_factory=Trajectory.root)
    authors: list[Author] = field(default_factory=list)
    measured: list[float] = field(default_factory=list)
    _tokens: dict[Author, int] = field(default_factory=lambda: {"draft": 0, "large": 0})
    _texts: list[str] = field(default_factory=list)

    @property
    def goes_on(self) -> bool:
        """Whether another step is to be written: the chain has not ended, and makes headway."""
        if self.ended or self.thought or len(self.authors) >= self.stepper.max_steps:
            return False
        return self.room("large") > 0 and not self.repeats

    @property
    def ended(self) -> bool:
        """Whether the answer has come to its end."""
        if self.thinking_end and not self.thought:
            return self.node.finish == "stop"
        return self.stepper.finished(self.node)

    @property
    def thought(self) -> bool:
        """Whether the thinking part has ended."""
        return bool(self.thinking_end) and self.thinking_end in self.node.text

    @property
    def repeats(self) -> bool:
        """Whether the last step says what the one before it says."""
        last = [text.strip() for text in self._texts[-2:]]
        return len(last) == 2 and last[0] == last[1]

    def room(self, author: Author, node: Trajectory | None = None) -> int:
        """Most tokens that somebody's next step may have; 0 if there is no room for one.

        The cap of an answer counts tokens of the large model, its context those of the author.
        """
        node, backend = node or self.node, self.backend(author)
        context = backend.model.context - backend.prompt_tokens(self.problem, node)
        room = min(room_for_rest(self.env, self.problem, node) - self.kept, context)
        most = self.stepper.max_tokens
        return max(0, room if most is None else min(room, most))

    def backend(self, author: Author) -> Backend:
        """The model of that name."""
        return self.env.draft if author == "draft" else self.env.backend

    def request(self, author: Author, node: Trajectory, room: int) -> Request:
        """The next step from a node, for somebody to write."""
        ends = (self.thinking_end,) if self.thinking_end else ()
        request = self.env.request(node, 0 if author == "draft" else 1)
        return replace(request, stop=(*self.stepper.stop, *ends), max_tokens=room)

    async def write(self, *, after: int = 0) -> None:
        """Have the large model write the next step.

        Args:
            after: Logical time (tokens) at which it was decided that it should.

        Raises:
            BudgetExhausted: The budget cannot pay for it.
        """
        request = self.request("large", self.node.after(after), self.room("large"))
        self.add("large", await decode(self.env.backend, request))

    def add(self, author: Author, step: Trajectory) -> None:
        """Let a step stand, and publish the chain as what a landing reserve may close."""
        self.authors.append(author)
        before, after = (
            self.env.backend.prompt_tokens(self.problem, node) for node in (self.node, step)
        )
        self._tokens[author] += after - before
        self._texts.append(step.text[len(self.node.text) :])
        self.node = step
        self.env.publish(Candidate(step, None))

    async def answer(self) -> None:
        """Have the large model write all that comes after the thinking part.

        Raises:
            BudgetExhausted: The budget cannot pay for it.
        """
        _, closed, answer = self.node.text.rpartition(self.thinking_end)
        if closed and answer.strip() and self.node.finish == "stop":
            return  # a watcher has closed the part, and its author went on to the end
        if not closed:
            closing = Segment(self.thinking_end, origin="forced")
            self.node = self.node.extend(closing, child=2, clock=self.node.clock)
        room = room_for_rest(self.env, self.problem, self.node)
        if room:
            request = replace(self.request("large", self.node, room), stop=())
            self.add("large", await decode(self.env.backend, request))

    async def result(self, measure: str, accepted: int) -> Result:
        """What has come of it; a chain that was cut has no answer.

        Args:
            measure: Name of what was measured.
            accepted: How many of the draft model's tries stand.
        """
        measured, tokens = self.measured, sum(self._tokens.values())
        details: dict[str, Any] = {
            "steps": {name: self.authors.count(name) for name in self._tokens},
            "authors": list(self.authors),
            measure: measured,
            f"mean_{measure}": sum(measured) / len(measured) if measured else None,
            "accepted": accepted,
            # In tokens of the large model, so that vocabularies may differ.
            "large_share": self._tokens["large"] / tokens if tokens else None,
        }
        if self.node.segment is None:
            return Result(self.problem.id, None, details=details)
        found = Candidate(self.node, None)
        if self.node.finish == "stop" or self.ended:
            found = await self.env.candidate(self.node)
        self.env.publish(found)
        return Result(self.problem.id, found, (found,), details=details)


async def decode(backend: Backend, request: Request) -> Trajectory:
    """Decode a request to its end.

    Raises:
        BudgetExhausted: The budget cannot pay for it.
    """
    async with backend.open(request) as stream:
        async for _ in stream:
            pass
    return stream.trajectory


def check_settings(first_n: int, threshold: float) -> None:
    """Refuse what makes no sense for two models.

    Raises:
        ConfigError: `first_n` is negative, or the threshold is no number.
    """
    check_width("first_n", first_n, 0)
    if threshold != threshold:
        raise ConfigError("strategy.threshold is not a number.", hint="Set strategy.threshold=7.")
