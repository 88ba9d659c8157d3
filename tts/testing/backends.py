"""The contract of backends."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

from tts.protocols import (
    Backend,
)
from tts.testing.promises import check_identity, require
from tts.types import (
    Capability,
    Problem,
    Request,
    Trajectory,
)


async def check_backend(backend: Backend, problem: Problem, *, max_tokens: int = 24) -> None:
    """Check a started backend against the promises of `tts.protocols.Backend`.

    Args:
        backend: To be checked; must be started, and able to answer `problem`.
        problem: Any problem of the backend's kind.
        max_tokens: Length of the decodes; more than 4.

    Raises:
        ContractError: A promise is broken; the message says which.
    """
    check_identity(backend)
    request = Request(problem, Trajectory.root(), max_tokens=max_tokens, seed=_seed(backend, 1))
    whole = await _check_decode(backend, request)
    watched = await _check_decode(backend, replace(request, watch=True))
    if Capability.SEEDS in backend.capabilities:
        require(whole.text == watched.text, "The same seed gives the same text, watched or not.")
    await _check_leaving(backend, replace(request, watch=True))
    await _check_cancelling(backend, request)
    if Capability.LOGPROBS in backend.capabilities:
        await _check_logprobs(backend, request)
    if Capability.CONTINUATION in backend.capabilities:
        await _check_continuation(backend, request)


def _seed(backend: Backend, seed: int) -> int | None:
    return seed if Capability.SEEDS in backend.capabilities else None


async def _check_decode(backend: Backend, request: Request) -> Trajectory:
    chunks = []
    async with backend.open(request) as stream:
        async for chunk in stream:
            chunks.append(chunk)
    node, usage = stream.trajectory, stream.usage
    text = "".join(chunk.text for chunk in chunks)
    prefix = request.trajectory.text
    require(bool(chunks), "A decode delivers at least one chunk.")
    require(chunks[-1].finish is not None, "The last chunk carries the finish reason.")
    require(all(c.finish is None for c in chunks[:-1]), "Only the last chunk is finished.")
    require(node.finish == chunks[-1].finish, "Trajectory and last chunk agree on the finish.")
    require(node.text == prefix + text, "The trajectory's text is the prefix and the chunks.")
    require(node.parent is request.trajectory, "The new node's parent is the request's prefix.")
    require(usage.completion_tokens <= request.max_tokens, "`max_tokens` is a hard cap.")
    require(usage.completion_tokens >= 1, "A decode costs at least one token.")
    require(usage.calls == 1, "A request is one call.")
    require(
        usage.prompt_tokens <= backend.prompt_tokens(request.problem, request.trajectory),
        "`prompt_tokens` is an upper bound of the prompt's cost.",
    )
    require(0 <= usage.cached_tokens <= usage.prompt_tokens, "Cached tokens are prompt tokens.")
    require(
        node.clock == request.trajectory.clock + usage.completion_tokens,
        "The clock advances by the generated tokens.",
    )
    if node.finish == "length":
        require(usage.completion_tokens == request.max_tokens, "`length` means the cap was hit.")
    return node


async def _check_leaving(backend: Backend, request: Request) -> None:
    async with backend.open(request) as stream:
        async for _ in stream:
            break
    node, usage = stream.trajectory, stream.usage
    require(node.finish is not None, "A stream that was left has a finish reason.")
    require(usage.completion_tokens <= request.max_tokens, "A left stream stays under its cap.")
    require(
        node.clock == request.trajectory.clock + usage.completion_tokens,
        "A left stream's clock counts all that was generated.",
    )


async def _check_cancelling(backend: Backend, request: Request) -> None:
    async def decode() -> None:
        async with backend.open(request) as stream:
            async for _ in stream:
                pass

    task = asyncio.create_task(decode())
    await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.wait_for(task, timeout=30)
    await _check_decode(backend, request)  # still works afterwards


async def _check_logprobs(backend: Backend, request: Request) -> None:
    node = await _check_decode(backend, replace(request, logprobs=0))
    values = node.logprobs
    require(values is not None, "Log-probabilities come when they are asked for.")
    told: list[float] = []
    async with backend.open(replace(request, logprobs=0, watch=True)) as stream:
        async for chunk in stream:
            told.extend(chunk.logprobs or ())
    whole = stream.trajectory.logprobs
    require(tuple(told) == whole, "Chunks bring the log-probabilities of what they add.")
    require(all(v <= 1e-6 for v in values or ()), "A log-probability is not above 0.")


async def _check_continuation(backend: Backend, request: Request) -> None:
    greedy = replace(request, sampling=request.sampling.greedy(), max_tokens=4)
    first = await _check_decode(backend, greedy)
    if first.finish != "length":
        return  # the whole answer is shorter than the piece
    second = await _check_decode(backend, replace(greedy, trajectory=first))
    whole = await _check_decode(backend, replace(greedy, max_tokens=8))
    require(
        second.text == whole.text, "A greedy answer cut in two equals the same answer in one piece."
    )
    require(second.clock == second.depth * 4 or second.finish != "length", "Clocks add up.")
