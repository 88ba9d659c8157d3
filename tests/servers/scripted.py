"""An OpenAI-compatible server whose answers are known beforehand, and which fails on demand.

Its model is a function (`tests.servers._model`): an answer depends on the conversation and the draw
alone: the seed; 0 at temperature 0; else the number of the request. Everything that is asked and
sent is logged, so that accounts can be compared with the truth. Text goes in and out, no token ids.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tests.servers._http import Incoming, Outgoing, ThreadedServer
from tests.servers._model import Answer, continued, stopped, tokens, without, written
from tests.servers._script import Act, Call, Traits

_NO_CAP = 1 << 30
_PER_MESSAGE = 4  # tokens of a chat template around each message


__all__ = ["Act", "Call", "ScriptedServer", "Traits", "tokens", "written"]


class ScriptedServer(ThreadedServer):
    """Serves while its block lasts; see the module.

    Attributes:
        traits: What it is like.
        acts: What happens to the next requests for answers, one each; then `usual` does.
        usual: What happens to all others.
        listing: Status of `/models`.
        calls: All requests for answers, in the order of arrival.
        others: Method and path of all other requests.
        running: Answers under way.
        peak: Most of them at once.
        held_back: Requests that had to wait for a slot.
    """

    def __init__(self, traits: Traits) -> None:
        super().__init__(self._answer)
        self.traits = traits
        self.acts: deque[Act] = deque()
        self.usual = Act()
        self.listing = 200
        self.calls: list[Call] = []
        self.others: list[tuple[str, str]] = []
        self.running = self.peak = self.held_back = 0
        self._released = asyncio.Event()
        self._slots = asyncio.Semaphore(traits.slots or _NO_CAP)

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def sent(self) -> int:
        """Completion tokens of all answers."""
        return sum(call.completion_tokens for call in self.calls)

    def release(self) -> None:
        """Let all go on that are held, now and later."""
        self.soon(self._released.set)

    async def _answer(self, request: Incoming, out: Outgoing) -> None:
        versioned = request.path.startswith("/v1/")
        path = request.path.removeprefix("/v1") if versioned else f"root of {request.path}"
        if path not in ("/chat/completions", "/completions"):
            self.others.append((request.method, request.path))
            await self._about(path, request, out)
            return
        sent = request.headers.get("authorization", "")
        call = Call(len(self.calls), path, json.loads(request.body), sent)
        self.calls.append(call)
        self.held_back += self._slots.locked()
        async with self._slots:
            self.running += 1
            self.peak = max(self.peak, self.running)
            try:
                await self._act(call, self.acts.popleft() if self.acts else self.usual, out)
            except BaseException:
                call.cut = True
                raise
            finally:
                self.running -= 1

    async def _about(self, path: str, request: Incoming, out: Outgoing) -> None:
        authorization = request.headers.get("authorization", "")
        if path == "/models" and self.traits.listed:
            status = 401 if self._refuses(authorization) else self.listing
            card: dict[str, Any] = {
                "id": self.traits.model,
                "object": "model",
                "owned_by": "somebody",
            }
            if self.traits.vllm:
                length = self.traits.context
                card |= {"owned_by": "vllm", "root": "/nowhere", "max_model_len": length}
            cards = [card]
            if self.traits.base:
                card["parent"] = "beneath"
                cards.append({**card, "id": "beneath", "root": self.traits.base})
            found = {"object": "list", "data": cards}
            said = found if status == 200 else _error(status, f"refused {authorization}")
            await out.reply(status, json.dumps(said).encode())
        elif path == "root of /version" and self.traits.vllm:
            await out.reply(200, b'{"version": "0.0"}')
        else:
            await out.reply(404, json.dumps(_error(404, f"no {path}; {authorization}")).encode())

    def _refuses(self, authorization: str) -> bool:
        return bool(self.traits.key) and authorization != f"Bearer {self.traits.key}"

    async def _act(self, call: Call, act: Act, out: Outgoing) -> None:
        if act.hold:
            await out.wait(self._released)
        if act.then and not act.at:
            await self._break(act, out)
        if act.status != 200:
            # The worst that a server can do to a key: repeat it.
            said = act.body or json.dumps(_error(act.status, f"refused {call.authorization}"))
            await out.reply(act.status, said.encode(), dict(act.headers))
        elif act.body is not None:
            await out.reply(200, act.body.encode())
        elif refusal := self._refusal(call):
            status, why = refusal
            await out.reply(status, json.dumps(_error(status, why)).encode())
        elif call.body.get("stream"):
            await self._stream(call, act, out)
        else:
            await self._whole(call, act, out)

    async def _break(self, act: Act, out: Outgoing) -> None:
        if act.then == "hang up":
            out.hang_up()
        if act.then == "stall":
            await out.until_left()

    def _refusal(self, call: Call) -> tuple[int, str] | None:
        """Status and words for a request that no model sees."""
        if self._refuses(call.authorization):
            return 401, f"Incorrect API key provided: {call.authorization}."
        if call.body["model"] != self.traits.model:
            return 404, f"The model `{call.body['model']}` does not exist."
        if self.traits.n == "refused" and "n" in call.body:
            return 400, "Unsupported parameter: 'n'."
        if "seed" in call.body and not self.traits.vllm:
            return 400, "Unsupported parameter: 'seed'."
        if self._read(call)[0] + _cap(call.body) % _NO_CAP > self.traits.context:
            return 400, f"This model's maximum context length is {self.traits.context} tokens."
        return None

    def _read(self, call: Call) -> tuple[int, str, str]:
        """Prompt tokens, the question, and the partial answer to it."""
        if call.path == "/completions":
            question, mark, partial = str(call.body["prompt"]).partition("?")
            question += mark
            return len(tokens(question)) + len(tokens(partial)) + 1, question, partial
        messages = [str(m["content"]) for m in call.body["messages"]]
        count = sum(len(tokens(text)) + _PER_MESSAGE for text in messages) + 1
        continued = self.traits.vllm and call.body.get("continue_final_message")
        partial = messages.pop() if continued else ""
        return count, "\n".join(messages), partial

    def _think(self, call: Call, choice: int) -> Answer:
        """The answer to a call."""
        _, question, partial = self._read(call)
        body, traits = call.body, self.traits
        draw = body.get("seed", f"{call.number}/{choice}") if body.get("temperature") else 0
        cap = _cap(body) if traits.obeys else _NO_CAP
        answer = continued(question, partial, draw, cap, words=traits.words)
        if body.get("stop"):
            answer = stopped(answer, body["stop"])
        if answer.stop and not (traits.vllm and body.get("include_stop_str_in_output")):
            answer = without(answer)
        return answer if partial or not traits.thinking else replace(answer, thoughts=4)

    async def _whole(self, call: Call, act: Act, out: Outgoing) -> None:
        asked = int(call.body.get("n", 1)) if self.traits.n == "obeyed" else 1
        answers = [self._think(call, choice) for choice in range(asked)]
        call.prompt_tokens = self._read(call)[0]
        call.completion_tokens = sum(answer.tokens for answer in answers)
        choices = []
        for index, answer in enumerate(answers):
            said = self._said(call, answer, range(answer.tokens), "message")
            choices.append({"index": index, **said, **_end(answer, act)})
        reply: dict[str, Any] = {"id": "x", "model": self.traits.model}
        reply["choices"] = [] if act.empty else choices
        if self.traits.usage:
            reply["usage"] = _usage(call.prompt_tokens, call.completion_tokens)
        data = json.dumps(reply).encode()
        await (out.broken(data) if act.then else out.reply(200, data))

    async def _stream(self, call: Call, act: Act, out: Outgoing) -> None:
        answer = self._think(call, 0)
        call.prompt_tokens = self._read(call)[0]
        options = call.body.get("stream_options", {})
        always = self.traits.vllm and options.get("continuous_usage_stats")
        await out.begin()
        for number in range(len(answer.pieces)):
            if number == self.traits.stuck:
                await out.until_left()
            if self.traits.pace:
                await asyncio.sleep(self.traits.pace)
            if act.then and number == act.at:
                if act.then == "error":
                    await out.event(_error(500, f"broken for {call.authorization}"))
                if act.then in ("error", "end"):
                    call.cut = True
                    await out.chunk(b"")
                    return
                await self._break(act, out)
            call.completion_tokens += 1
            choice = {"index": 0, **self._said(call, answer, range(number, number + 1), "delta")}
            event: dict[str, Any] = {"id": "x", "choices": [] if act.empty else [choice]}
            if always:
                event["usage"] = _usage(call.prompt_tokens, call.completion_tokens)
            await out.event(event)
        call.completion_tokens = answer.tokens
        rest = range(len(answer.pieces), answer.tokens)
        last = {"index": 0, **self._said(call, answer, rest, "delta"), **_end(answer, act)}
        await out.event({"id": "x", "choices": [] if act.empty else [last]})
        if self.traits.usage and options.get("include_usage"):
            usage = _usage(call.prompt_tokens, call.completion_tokens)
            await out.event({"id": "x", "choices": [], "usage": usage})
        await out.event("[DONE]")
        await out.chunk(b"")

    def _said(self, call: Call, answer: Answer, which: range, field: str) -> dict[str, Any]:
        """Some tokens in the words of the interface: text, thinking and log-probabilities."""
        pieces = [answer.pieces[i] for i in which if i < len(answer.pieces)]
        before = max(0, answer.thoughts - which.start)
        thought, text = "".join(pieces[:before]), "".join(pieces[before:])
        # vLLM counts the end-of-sequence token among them.
        scored = [*pieces, "</s>"] if len(pieces) < len(which) and self.traits.vllm else pieces
        values = [-len(piece) / 10 for piece in scored]
        asked = self.traits.vllm or self.traits.logprobs
        if call.path == "/completions":
            given = {"tokens": scored, "token_logprobs": values, "top_logprobs": None}
            there = asked and call.body.get("logprobs") is not None
            return {"text": thought + text, "logprobs": given if there else None}
        message = {"role": "assistant", "content": text}
        if thought:
            message[self.traits.thinking] = thought
        pairs = zip(scored, values, strict=True)
        content = [{"token": t, "logprob": v, "top_logprobs": []} for t, v in pairs]
        there = asked and bool(call.body.get("logprobs"))
        return {field: message, "logprobs": {"content": content} if there else None}


def _cap(body: Mapping[str, Any]) -> int:
    return int(body.get("max_completion_tokens") or body.get("max_tokens") or _NO_CAP)


def _end(answer: Answer, act: Act) -> dict[str, Any]:
    return {"finish_reason": act.finish or answer.finish, "stop_reason": answer.stop}


def _usage(prompt: int, completion: int) -> dict[str, int]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def _error(status: int, message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "scripted", "code": status}}
