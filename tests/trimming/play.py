"""Plays texts to one watcher alone, cut at will, as the driver of watched chains would."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field

from tts.types import Segment
from tts.watching import Abort, Ask, Close, Insert, Piece, Reply, Setting, Thinking

THINKING = Thinking()
SETTING = Setting(THINKING, "How many?", 100_000)


@dataclass
class Play:
    """A character is a token. Every insertion is followed by the next of the texts.

    Attributes:
        watcher: Is played to.
        texts: What the model writes: from the start, after the first insertion, and so on.
        reply: Gives the text of the reply to a question, or that and its probability.
        cuts: Lengths of the pieces, over and over.
        delays: How many pieces later replies come, over and over.
        text: The thinking part, insertions included.
        actions: Insert and Close, in the order in which they were decided.
        questions: All that was asked.
        pieces: How many there were.
        decodes: How often one was begun.
    """

    watcher: object
    texts: tuple
    reply: object = None
    cuts: tuple = (1_000_000,)
    delays: tuple = (0,)
    setting: Setting = SETTING
    text: str = ""
    actions: list = field(default_factory=list)
    questions: list = field(default_factory=list)
    pieces: int = 0
    decodes: int = 0

    def __post_init__(self):
        self.state = self.watcher.begin(self.setting)
        self.sizes, self.waits = itertools.cycle(self.cuts), itertools.cycle(self.delays)
        self.later = iter(self.texts)
        self.rest, self.asked, self.closed = next(self.later), [], False
        while not self.closed and self.decode():
            pass

    def decode(self):
        """One decode, to its end or to where it is left; whether another follows."""
        pause, decode = self.watcher.pause(self.state), ""
        self.decodes += 1
        actions = len(self.actions)
        while True:
            size = min(next(self.sizes), len(self.rest), (pause.tokens or math.inf) - len(decode))
            stops = (n for n in range(1, size + 1) if (decode + self.rest[:n]).endswith(pause.stop))
            stop = next(stops, None) if pause.stop else None
            size = stop or size
            piece, self.rest = self.rest[:size], self.rest[size:]
            decode += piece
            paused = stop is not None or len(decode) == pause.tokens
            ending = "pause" if paused else None if self.rest else "end"
            self.text += piece
            self.pieces += 1
            self.read(Piece(piece, len(piece), ending))
            waited = self.deliver(everything=ending == "end")
            if self.closed or len(self.actions) > actions:
                return not self.closed
            if ending == "end" or paused or waited:
                return ending != "end"

    def read(self, piece):
        before = self.watcher.read(self.state, piece)
        self.state, decision = self.watcher.read(self.state, piece)
        assert before == (self.state, decision)  # so the first call has left the state alone
        self.follow(decision)

    def deliver(self, *, everything):
        """Have it hear what is due; whether the chain had to wait."""
        waited = False
        while self.asked and not self.closed:
            waits = any(question.waits for _, question in self.asked)
            if not (everything or waits or self.asked[0][0] <= self.pieces):
                break
            waited = waited or waits
            _, question = self.asked.pop(0)
            self.state, decision = self.watcher.hear(self.state, self.answer(question))
            self.follow(decision)
        return waited

    def answer(self, question):
        said = self.reply(question)
        text, probability = said if isinstance(said, tuple) else (said, 0.9)
        return Reply(question, Segment(text, logprobs=(math.log(probability),)), "length")

    def follow(self, decision):
        assert not isinstance(decision, Abort)
        if isinstance(decision, Ask):
            for question in decision.questions:
                assert 0 <= question.at <= len(self.text)
                self.questions.append(question)
                self.asked.append((self.pieces + next(self.waits), question))
        elif isinstance(decision, Insert | Close):
            assert 0 <= decision.at <= len(self.text)
            self.actions.append(decision)
            self.text = self.text[: decision.at]
            self.asked = [each for each in self.asked if each[1].at <= decision.at]
            self.closed = isinstance(decision, Close)
            if not self.closed:
                self.text += decision.text
                self.rest = next(self.later, "")
                self.read(Piece(decision.text, len(decision.text), injected=True))

    @property
    def close(self):
        """The one Close, or None."""
        return self.actions[-1] if self.closed else None

    @property
    def counted(self):
        """What must not depend on cuts and delays: the actions, and the questions before the end.

        A chain that ends has read to its end; one that was closed may have asked too much.
        """
        end = self.close.at if self.closed else math.inf
        return self.actions, sorted(
            (question.at, question.name) for question in self.questions if question.at <= end
        )
