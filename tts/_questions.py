"""Questions beside a chain: a trial answer of the policy, or a word of the judge."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from tts.errors import BackendError
from tts.protocols import Backend
from tts.seeds import derive
from tts.types import Problem, Request, Segment, Trajectory
from tts.watching import Question, Reply


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A question under way.

    Attributes:
        watcher: Number of who asked.
        question: What was asked.
        task: Brings the reply, and the logical time (tokens) at which it was known.
    """

    watcher: int
    question: Question
    task: asyncio.Task[tuple[Reply, int]]


async def ask(
    backend: Backend, request: Request, node: Trajectory, question: Question, number: int
) -> tuple[Reply, int]:
    """Ask, and wait for the reply.

    Args:
        backend: The policy or the judge.
        request: Of the chain: its problem, sampling and seed.
        node: The chain up to the position that the question is about.
        question: What is asked.
        number: Of the question in its chain, from 1.

    Raises:
        BackendError: Nobody replied.
        BudgetExhausted: The budget cannot pay for it.
    """
    problem, start = request.problem, Trajectory.root(clock=node.clock)
    if question.text is None:
        problem = Problem(f"{problem.name}/{question.name}", messages=question.messages)
    else:
        lead = Segment(question.text, origin="injected")
        start = node.extend(lead, child=number, clock=node.clock)
    seed = None if request.seed is None else derive(request.seed, node.key, question.name, number)
    asking = Request(
        problem,
        start,
        sampling=request.sampling.greedy(),
        max_tokens=question.max_tokens,
        stop=question.stop,
        logprobs=question.logprobs,
        seed=seed,
    )
    async with backend.open(asking) as stream:
        async for _ in stream:
            pass
    answer = stream.trajectory
    if answer.segment is None:
        raise BackendError(f"No reply to the question {question.name!r}.")
    return Reply(question, answer.segment, answer.finish), answer.clock
