"""How sure a model was of a whole answer, or of the beginning of one.

Pure. Only what the model wrote itself counts: injected and forced text is left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from tts.errors import BackendError, VerifierError
from tts.signals.tokens import token_confidence, token_entropy, token_self_certainty
from tts.signals.windows import Measure, score_of
from tts.types import Trajectory

Signal = Literal["confidence", "self_certainty", "entropy"]


def mean_logprob(trajectory: Trajectory) -> float:
    """Mean log-probability (nats) of the tokens that the model wrote; -inf if there are none.

    Raises:
        VerifierError: The answer came without log-probabilities.
    """
    logprobs = trajectory.logprobs
    if logprobs is None:
        raise VerifierError(
            "The likelihood of an answer needs log-probabilities, and the answer has none.",
            hint="Choose a backend that gives them, or keep them (keep=tokens) for later.",
        )
    return math.fsum(logprobs) / len(logprobs) if logprobs else -math.inf


def likelihood(trajectory: Trajectory) -> float:
    """Geometric mean of the probabilities of the answer's tokens, one over its perplexity.

    Returns:
        0 to 1; 0 for an answer without a token.

    Raises:
        VerifierError: It came without log-probabilities.
    """
    return min(1.0, math.exp(mean_logprob(trajectory)))


def certainty(
    trajectory: Trajectory, signal: Signal, over: Measure = "mean", window: int = 1, top: int = 20
) -> float:
    """How sure the model was of an answer: the larger, the surer.

    Args:
        trajectory: The answer.
        signal: What is read at each token, see `tts.signals.tokens`; of the entropy its negative.
        over: What the tokens make of the answer, see `tts.signals.windows.score_of`.
        window: Tokens of a window, at least 1.
        top: Of how many of the likeliest tokens it is read, at least 1.

    Returns:
        Nats. At least 0 for `confidence` and `self_certainty`, -log(`top`) to 0 for `entropy`. An
        answer without a token is worth as little as can be.

    Raises:
        VerifierError: Nothing is known of the likeliest tokens.
    """
    tops = likeliest(trajectory)
    if tops is None:
        raise VerifierError(
            "The answer came without the log-probabilities of the likeliest tokens.",
            hint="Runs do not keep them: judge answers in the run that writes them.",
        )
    if signal == "entropy":
        values = [-token_entropy(one, top) for one in tops]
        return score_of(values, over, window) if values else -math.log(top)
    read = token_confidence if signal == "confidence" else token_self_certainty
    return score_of([read(one, top) for one in tops], over, window)


def confidences_of(trajectory: Trajectory, k: int) -> list[float]:
    """The confidences of all tokens that the model wrote itself.

    Raises:
        BackendError: The backend has told nothing of the likeliest tokens.
    """
    tops = likeliest(trajectory)
    if tops is None:
        raise BackendError(
            "The backend sent no log-probabilities of the likeliest tokens, though they were asked"
            " for."
        )
    return [token_confidence(top, k) for top in tops]


def likeliest(trajectory: Trajectory) -> list[Mapping[int, float]] | None:
    """The likeliest tokens at each place where the model wrote one itself.

    Pieces of which nothing is known, such as one that was cut in its middle, are left out.

    Returns:
        None if the model wrote something, and nothing is known of any of it.
    """
    written = [piece for piece in trajectory.segments() if piece.origin == "model"]
    known = [piece.top_logprobs for piece in written if piece.top_logprobs is not None]
    return None if written and not known else [top for tops in known for top in tops]
