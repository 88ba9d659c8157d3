"""What a replay cache does with a request: serve it, serve and continue it, or ask for it.

Pure: an entry and a request in, a plan out. It knows neither where entries are kept nor who is
asked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from tts.backends._replay.entry import NO_LOGPROBS, Entry, Mark
from tts.seeds import derive
from tts.types import Chunk, Request, Segment

_COARSE = 8  # tokens; a longer piece was not watched when it was written, and is split if it is now

Ends = Callable[[Entry], Sequence[int] | None]
"""Where the text of an entry ends after each token, in characters; None where nobody can say."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a request is answered.

    Attributes:
        past: What comes from the cache; None for nothing.
        rest: What is then asked of the backend; None for nothing.
    """

    past: Entry | None
    rest: Request | None


class CannotCut(Exception):
    """Nobody can say where the text of an entry ends after so many tokens.

    Attributes:
        shorter: The longest part below that can be cut, if any.
    """

    def __init__(self, shorter: Entry | None) -> None:
        super().__init__()
        self.shorter = shorter


def key_of(identity: str, request: Request) -> bytes | None:
    """Identity of a draw: model, prompt, prefix, sampling, stops, steering, structure and seed.

    None if it is drawn without a seed. At temperature 0 nothing is drawn, so neither the seed nor
    the rest of the sampling matters.
    """
    sampling = request.sampling
    greedy = sampling.temperature == 0
    if request.seed is None and not greedy:
        return None
    problem = request.problem
    drawn = (sampling.temperature, sampling.top_p, sampling.top_k, sampling.min_p, request.seed)
    steering = request.steering
    steered = () if steering is None else (dict(steering.bias), dict(steering.temperatures),
                                           sorted(set(steering.banned)))  # fmt: skip
    # Of an object, so that it is no draw's without one.
    structured = () if request.structure is None else ({"structure": request.structure.as_dict()},)
    parts = (
        identity,
        problem.prompt or [(message.role, message.content) for message in problem.messages],
        [(s.text, s.tokens, s.tokenizer) for s in request.trajectory.segments()],
        request.stop,
        None if greedy else drawn,
        *steered,
        *structured,
    )
    data = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(data.encode(), digest_size=20).digest()


def capped(key: bytes, tokens: int) -> bytes:
    """The key of a draw's first tokens, for a longer entry that cannot be cut there."""
    return hashlib.blake2b(key + str(tokens).encode(), digest_size=20).digest()


def plan(entry: Entry | None, request: Request, ends: Ends, *, continues: bool) -> Plan:
    """How a request is answered.

    Args:
        entry: What is known of the draw.
        request: What is asked.
        ends: Says where the entry can be cut.
        continues: Whether the backend can continue a prefix.

    Raises:
        CannotCut: The entry is longer than was asked for, and nobody can cut it there.
    """
    asked = NO_LOGPROBS if request.logprobs is None else request.logprobs
    if entry is None or entry.detail < asked:
        return Plan(None, request)
    cap = request.max_tokens
    if entry.completion > cap:
        return Plan(_head(entry, cap, ends), None)
    if entry.ended:
        return Plan(entry, None)
    if entry.completion == cap:
        return Plan(replace(entry, finish="length"), None)
    # What is recorded must not say less than what it replaces.
    request = replace(request, logprobs=None if entry.detail < 0 else entry.detail)
    if continues and not _begins_stop(entry.segment.text, request.stop):
        return Plan(entry, _rest(entry, request))
    return Plan(None, request)


def _head(entry: Entry, tokens: int, ends: Ends) -> Entry:
    for mark in entry.marks:
        if mark[1] == tokens:
            return entry.until(mark, "length")
    if entry.end[1] == tokens:  # all but the token that ends the answer
        return entry.until(entry.end, "length")
    known = ends(entry)
    if known is None:
        below = [mark for mark in entry.marks if 0 < mark[1] < tokens]
        raise CannotCut(entry.until(below[-1], "length") if below else None)
    return entry.until((known[tokens - 1], tokens), "length")


def _rest(entry: Entry, request: Request) -> Request:
    """The request for what comes after an entry. Its draw depends on the first one's."""
    start = request.trajectory
    clock = start.clock + entry.completion
    node = start.extend(entry.segment, child=request.child, clock=clock, finish=entry.finish)
    greedy = request.sampling.temperature == 0
    seed = request.seed
    if seed is not None and not greedy:
        seed = derive(seed, "rest", entry.completion)
    left = request.max_tokens - entry.completion
    return replace(request, trajectory=node, child=0, max_tokens=left, seed=seed)


def _begins_stop(text: str, stop: Iterable[str]) -> bool:
    """Whether a text ends in the middle of a stop string, which its rest alone would not show."""
    return any(text.endswith(each[:size]) for each in stop for size in range(1, len(each)))


def pieces(entry: Entry, ends: Ends, *, watch: bool) -> list[tuple[Chunk, Mark]]:
    """An entry as it is delivered: chunks without a finish reason, and where each of them ends.

    Args:
        entry: What is delivered.
        ends: Says where it can be cut.
        watch: Whether it comes piece by piece.
    """
    places = _places(entry, ends) if watch else [entry.end]
    steps = pairwise([(0, 0), *places])
    return [(_piece(entry.segment, begin, end), end) for begin, end in steps]


def _piece(segment: Segment, begin: Mark, end: Mark) -> Chunk:
    ids, logprobs, tops = segment.tokens, segment.logprobs, segment.top_logprobs
    part = slice(begin[1], end[1])
    return Chunk(
        segment.text[begin[0] : end[0]],
        ids[part] if ids else (),
        logprobs=logprobs and logprobs[part],
        top_logprobs=tops and tops[part],
    )


def _places(entry: Entry, ends: Ends) -> list[Mark]:
    marks = [*entry.marks]
    if not marks or marks[-1] != entry.end:
        marks.append(entry.end)
    steps = list(pairwise([(0, 0), *marks]))
    if all(after[1] - before[1] <= _COARSE for before, after in steps):
        return marks
    known = ends(entry)
    if known is None:
        return marks
    fine: list[Mark] = []
    for (_, begin), (characters, end) in steps:
        if end - begin > _COARSE:
            fine.extend((known[tokens - 1], tokens) for tokens in range(begin + 1, end))
        fine.append((characters, end))
    return fine
