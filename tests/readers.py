"""A verifier with a model of its own, for tests: it is started, closed, leased for and charged."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from tts.testing import LengthVerifier
from tts.types import Usage


class Reader(LengthVerifier):
    """Reads each answer with a model of its own, a token a character.

    Args:
        name: Tells readers apart.
        at_once: Does not change its scores, as the number of requests in flight would not.

    Attributes:
        log: What has become of all of them: name and `start` or `close`, in order.
    """

    log: ClassVar[list[tuple[str, str]]] = []

    def __init__(self, name: str = "reader", at_once: int = 1) -> None:
        self.name = name
        self.started = False
        self.most = self.busy = 0

    def identity(self):
        return {"verifier": "reader", "weights": f"hash of {self.name}"}

    async def start(self):
        await asyncio.sleep(0)
        if not self.started:
            self.log.append((self.name, "start"))
        self.started = True

    async def aclose(self):
        if self.started:
            self.log.append((self.name, "close"))
        self.started = False

    def price(self, tokens):
        return Usage(verifier_tokens=tokens, flops=2.0 * tokens)

    def bound(self, problem, tokens, ctx):
        return self.price(4 * tokens) + Usage(verifier_calls=1)

    async def score(self, problem, nodes, ctx):
        assert self.started, "it was asked before it was started"
        return list(await asyncio.gather(*(self.one(problem, node, ctx) for node in nodes)))

    async def one(self, problem, node, ctx):
        size = len(node.text)
        async with ctx.work(self.price(size)) as charge:
            self.busy += 1
            self.most = max(self.most, self.busy)
            await asyncio.sleep(0)
            self.busy -= 1
            self.settle(charge, size)
        (score,) = await LengthVerifier.score(self, problem, [node], ctx)
        return score

    def settle(self, charge, size):
        charge.settle(self.price(size))
