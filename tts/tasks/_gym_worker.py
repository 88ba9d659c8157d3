"""The process in which answers to `reasoning-gym` are scored: one JSON line in, one out.

Run as `python -m tts.tasks._gym_worker`; `tts.tasks._pool` starts it, and kills it when it takes
too long. Some scorers pass what the model wrote to `eval`, or to SymPy's parser, which does. So
`eval` reads literals alone there, and the process gives up files, network and further processes.
"""

from __future__ import annotations

import ast
import json
import os
import resource
import sys
import time
from functools import lru_cache
from typing import Any

from tts.sandbox.confine import confine, limit
from tts.tasks.gym import create

_MEMORY = 4 << 30  # bytes of address space
_PROCESSOR_SECONDS = 60  # for one request, should the parent die and nobody be left to kill us
_EVALUATED = ("reasoning_gym.algorithmic.", "reasoning_gym.games.")
"""Packages whose scorers evaluate answers; others evaluate only what they made themselves."""


def main() -> None:
    """Answer requests until the input ends."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints is no reply
    import reasoning_gym  # noqa: F401  # while files can be read freely, and before the limits

    for name, module in list(sys.modules.items()):
        if name.startswith(_EVALUATED):
            module.__dict__["eval"] = ast.literal_eval
    confine(_MEMORY)
    print('"ready"', file=replies, flush=True)
    for line in sys.stdin:
        limit(resource.RLIMIT_CPU, int(time.process_time()) + _PROCESSOR_SECONDS)
        print(json.dumps(score(*json.loads(line))), file=replies, flush=True)


def score(name: str, settings: str, index: str, answer: str) -> float | str:
    """The points of an answer, or why there can be none."""
    try:
        generator, entry = _entry(name, settings, int(index))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    try:
        return float(generator.score_answer(answer, entry))
    except ImportError as error:
        return str(error)
    except Exception:
        return 0.0  # not every scorer minds an answer that it cannot read


@lru_cache(maxsize=4)
def _generator(name: str, settings: str) -> Any:
    return create(name, json.loads(settings))


@lru_cache(maxsize=64)
def _entry(name: str, settings: str, index: int) -> tuple[Any, Any]:
    generator = _generator(name, settings)
    return generator, generator[index]


if __name__ == "__main__":
    main()
