"""A server with vLLM's pooling interface whose values are known, and which fails on demand.

The two values of a token are functions of its id alone, so that a test knows them. All that is
asked is logged.
"""

from __future__ import annotations

import json
import math
from collections import deque

from tests.servers._http import ThreadedServer

MODEL = "toy-prm"


def value(token):
    """Logit of a good end at a token."""
    return math.sin(token)


class PoolingServer(ThreadedServer):
    """Serves while its block lasts.

    Attributes:
        acts: Status or body of the next answers of `/pooling`, one each; all others are answered.
        asked: Token ids of all requests to it.
        keys: Their authorization.
        shape: `token`, `sequence`, `steps` (nothing but at the ends of steps), or `none`.
        context: Most tokens of a text.
        peak: Most requests at once.
    """

    def __init__(self, shape="token", context=100):
        super().__init__(self._answer)
        self.acts = deque()
        self.asked, self.keys = [], []
        self.shape, self.context = shape, context
        self.running = self.peak = 0

    @property
    def url(self):
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}/v1"

    async def _answer(self, request, out):
        if request.path == "/v1/models":
            card = {"id": MODEL, "root": "/nowhere", "max_model_len": self.context}
            await out.reply(200, json.dumps({"object": "list", "data": [card]}).encode())
        elif request.path != "/pooling" or self.shape == "none":
            await out.reply(404, b'{"error": {"message": "no such thing"}}')
        else:
            self.running += 1
            self.peak = max(self.peak, self.running)
            try:
                await self._pool(request, out)
            finally:
                self.running -= 1

    async def _pool(self, request, out):
        body = json.loads(request.body)
        self.asked.append(body["input"])
        self.keys.append(request.headers.get("authorization"))
        assert body["model"] == MODEL and body["use_activation"] is False
        act = self.acts.popleft() if self.acts else 200
        if act == "hang up":
            out.hang_up()
        if isinstance(act, str):
            await out.reply(200, act.encode())
        elif act != 200:
            said = {"error": {"message": f"refused {self.keys[-1]}", "code": act}}
            await out.reply(act, json.dumps(said).encode(), {"retry-after-ms": "1"})
        else:
            data = [{"index": 0, "data": self._values(body["input"])}]
            await out.reply(200, json.dumps({"data": data}).encode())

    def _values(self, ids):
        if self.shape == "sequence":
            return [value(ids[-1])]
        return [] if self.shape == "steps" else [[0.0, value(token)] for token in ids]
