"""How a model is asked to judge: what it is shown, the request, and what it can cost.

A conversation goes on behind an answer, so that the prefix of the question is the answer itself,
which the engine has in its cache; or a fresh one quotes what is to be compared. The reply may have
been begun, so that its next token is the wanted one. Knows nothing of what a reply means.
"""

from __future__ import annotations

from tts.errors import BudgetExhausted, ConfigError
from tts.protocols import Backend, VerifierContext
from tts.types import Capability, Message, Problem, Request, Segment, Trajectory, Usage

HIDDEN = "</think>"
"""Text that is left out of what is shown: many templates drop what stands before it."""

_MARGIN = 2  # tokens that another way of cutting a text may make of one


def shown(trajectory: Trajectory, hidden: str) -> str:
    """An answer as a judge reads it."""
    return trajectory.text.replace(hidden, "") if hidden else trajectory.text


def question_of(problem: Problem) -> str:
    """What is asked, as text: the prompt, or the conversation without its system's turns."""
    turns = [m for m in problem.messages if m.role != "system"]
    if len(turns) == 1:
        return turns[0].content
    said = (f"{m.role.capitalize()}: {m.content}" for m in turns)
    return problem.prompt or "\n\n".join(said)


def behind(
    problem: Problem, trajectory: Trajectory, question: str, lead: str, hidden: str
) -> tuple[Problem, Trajectory]:
    """A question about an answer, behind it: as the user's next turn, or as text.

    Behind a plain prompt, which no template turns into a conversation, the answer goes on with the
    question as text. In a conversation `hidden` is left out of the answer.

    Returns:
        The question as a problem, and the reply as far as it has been begun.
    """
    if problem.prompt:
        asking = Segment(f"\n\n{question}\n\n{lead}", origin="injected")
        return problem, trajectory.extend(asking, child=-1, clock=trajectory.clock)
    turns = (Message("assistant", shown(trajectory, hidden)), Message("user", question))
    asked = Problem(_name(problem), messages=(*problem.messages, *turns))
    return asked, _begun(lead, trajectory.clock)


def afresh(problem: Problem, text: str, lead: str) -> tuple[Problem, Trajectory]:
    """A question that quotes all it needs: a conversation, or a plain prompt if `problem` is one.

    Returns:
        The question as a problem, and the reply as far as it has been begun.
    """
    if problem.prompt:
        return Problem(_name(problem), prompt=f"{text}\n\n{lead}"), Trajectory.root()
    return Problem.chat(_name(problem), text), _begun(lead, 0)


def needed(lead: str) -> frozenset[Capability]:
    """What a backend must offer for a reply that has been begun like this."""
    return frozenset({Capability.CONTINUATION} if lead else ())


def cost(backend: Backend, asked: Problem, start: Trajectory, tokens: int, reply: int) -> Usage:
    """Upper bound of a request, in verifier terms.

    Args:
        backend: Is asked.
        asked: The question.
        start: The reply as far as it has been begun.
        tokens: Of the answer that is shown beside that, by any tokenizer.
        reply: Most tokens of the reply.
    """
    prompt = backend.prompt_tokens(asked, start) + _MARGIN * tokens
    return backend.model.usage(min(prompt, backend.model.context - 1), 0, reply).as_verifier()


def check_draws(where: str, field: str, draws: int, temperature: float) -> None:
    """Refuse a temperature at which replies cannot be drawn, or would all be the same.

    Args:
        where: Path of the fields.
        field: Name of the number of draws, which is at least 1.
        draws: Their number.
        temperature: Of the draws.

    Raises:
        ConfigError: It is not within 0 and 2, or 0 for several draws.
    """
    if 0 <= temperature <= 2 and (temperature or draws == 1):
        return
    raise ConfigError(
        f"{where}.temperature is {temperature:g}; it must lie in [0, 2], and above 0 for several"
        f" {field}, which would all be the same.",
        hint=f"Set {where}.temperature=0.7, or {where}.{field}=1.",
    )


async def reply(request: Request, ctx: VerifierContext) -> Segment:
    """What the model replies.

    Raises:
        BudgetExhausted: The budget cannot pay for it, or has paid for its beginning alone: that is
            no reply, as what counts comes at its end.
        BackendError: The model did not reply.
    """
    async with ctx.backend.open(request) as stream:
        async for _ in stream:
            pass
    node, usage = stream.trajectory, stream.usage
    written, room = usage.completion_tokens, ctx.backend.model.context - usage.prompt_tokens
    if node.finish == "length" and written < min(request.max_tokens, room):
        raise BudgetExhausted(
            f"The budget paid for {written} of up to {request.max_tokens} tokens of a reply."
        )
    assert node.segment is not None, "a decode has made a segment"
    return node.segment


def _begun(lead: str, clock: int) -> Trajectory:
    root = Trajectory.root(clock=clock)
    return root.extend(Segment(lead, origin="injected"), child=0, clock=clock) if lead else root


def _name(problem: Problem) -> str:
    return f"{problem.name}/judge"
