"""What a judge is asked about a chain, and what counts as a yes.

The prompts are our own. What comes first in them is the same for all questions of a kind, so that
the judge's engine keeps it in its prefix cache.
"""

from __future__ import annotations

import math

from tts.types import Message
from tts.watching import Reply

_EXISTENCE = (
    "You read excerpts from somebody's work on a problem. Say whether the excerpt states a final"
    " answer to the problem. A plan, an intermediate result or a doubt is no final answer. Reply"
    " with one word: Yes or No."
)
_EXAMPLES = (
    ("So 3 boxes cost 3 * 4 = 12, and with the bag that is 14. The answer is 14.", "Yes"),
    ("Let me set up the equation first. If x is the width, the length is 2x + 3.", "No"),
    ("Adding these gives x = 7/2. So the final result is 7/2.", "Yes"),
    ("The first term is 5. Now the second one has to be found.", "No"),
)
_SAMENESS = (
    "You compare two excerpts from somebody's work on the same problem. Say whether both arrive at"
    " the same final answer; how it is written does not matter. Reply with one word: Yes or No."
)


def existence(snippet: str) -> tuple[Message, ...]:
    """Does a piece of a chain conclude with an answer?"""
    turns = [
        turn
        for excerpt, verdict in _EXAMPLES
        for turn in (Message("user", _excerpt(excerpt)), Message("assistant", verdict))
    ]
    return (Message("system", _EXISTENCE), *turns, Message("user", _excerpt(snippet)))


def sameness(question: str, first: str, second: str) -> tuple[Message, ...]:
    """Do two pieces of a chain, each with an answer, arrive at the same one?"""
    asked = (
        f"Problem:\n{question}\n\nFirst excerpt:\n{first}\n\nSecond excerpt:\n{second}\n\n"
        "Is their final answer the same? Yes or No?"
    )
    return (Message("system", _SAMENESS), Message("user", asked))


def probability(reply: Reply) -> float:
    """Of the first token of a reply, 0 to 1; 1 where the backend does not say."""
    logprobs = reply.segment.logprobs
    return math.exp(min(0.0, logprobs[0])) if logprobs else 1.0


def word(reply: Reply) -> str:
    """A reply as a bare word in small letters."""
    return reply.segment.text.strip().strip(".,!*\"'`").casefold()


def says_yes(reply: Reply, sure: float) -> bool:
    """Whether a reply is a yes, with at least the probability `sure`; anything else is none."""
    return word(reply) == "yes" and probability(reply) >= sure


def _excerpt(text: str) -> str:
    return f"Excerpt:\n{text}\n\nDoes it state a final answer? Yes or No?"
