"""A file of requests as a task: streamed, whatever its length.

A line is an object with an `id`, a `prompt` or `messages`, and an `answer` where one is known; or a
line of an OpenAI Batch file. The file is read once when the task is made, to count it and to find
what is wrong with it before anything is spent, and again, line by line, while it is solved. In
memory are the ids, where their lines begin and fingerprints, and the requests read last.
"""

from __future__ import annotations

import hashlib
import json
import reprlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

from tts._garbage import uncollected
from tts.errors import ConfigError, GradingError
from tts.tasks.answers import MathAnswers
from tts.tasks.prompt import Prompt
from tts.tasks.structures import read_response_format
from tts.tasks.task import Answers, Grader, Item, SameAsGold, fingerprint
from tts.types import Message, ProblemId, Structure

Shape = Literal["plain", "openai"]
_REMEMBERED = 4096  # requests, which are graded without being read again
_SAID = 10  # of the lines that cannot be used, how many are named in one go


@dataclass(frozen=True, slots=True)
class Broken:
    """A line that cannot be used: its number from 1, and why."""

    number: int
    why: str

    def __str__(self) -> str:
        return f"line {self.number}: {self.why}"


class _Place(NamedTuple):
    """Where a request begins in the file (bytes), what it asks, and what its line hashes to.

    The last serves this process alone: it says without any work whether a line has changed.
    """

    offset: int
    asked: str
    seal: int


class _Unusable(Exception):
    """Why a line cannot be used."""


@dataclass(eq=False)
class RequestsTask:
    """The requests of a file. Implements `tts.tasks.Task`.

    Attributes:
        path: JSONL, one request a line; '~' is understood, blank lines are skipped.
        name: What results are filed under; empty for the name of the file without its ending.
        prompt: How a `prompt` becomes a problem; the template sees it as `question`, and all other
            fields of the line but the answer. Messages are asked as they are.
        answers: How answers are written.
        grader: Says what is right; None for what `answers` calls equal to the known answer.
        max_tokens: Tokens that a whole answer may take, at least 1.
        broken: The lines that cannot be used, in order; they are left out.
        settings: Names of fields of OpenAI requests that are not read, such as 'temperature': what
            the run itself is told counts.
        structured: Whether some requests say what their answers must look like.

    Raises:
        ConfigError: The file cannot be read, holds no request, has two of the same id, or mixes
            lines of the two kinds.
    """

    path: str | Path
    _: KW_ONLY
    name: str = ""
    prompt: Prompt = field(default_factory=Prompt)
    answers: Answers = field(default_factory=MathAnswers)
    grader: Grader | None = None
    max_tokens: int = 1024
    broken: tuple[Broken, ...] = field(init=False)
    settings: tuple[str, ...] = field(init=False)
    structured: bool = field(init=False)

    def __post_init__(self) -> None:
        self._file = Path(self.path).expanduser()
        self.name = self.name or self._file.stem
        if self.max_tokens < 1:
            raise ConfigError(f"task.max_tokens is {self.max_tokens}; it must be at least 1.")
        self._grader = self.grader or SameAsGold(self.answers)
        self._places: dict[ProblemId, _Place] = {}
        self._recent: dict[ProblemId, Item] = {}
        with uncollected():
            self._scan()

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Item]:
        return self.items(self._places)

    @property
    def ids(self) -> Collection[ProblemId]:
        """Of all requests, in their order."""
        return self._places.keys()

    def asked(self, problem_id: ProblemId) -> str:
        """The fingerprint of a request, as it was when the task was made."""
        return self._places[problem_id].asked

    def items(self, ids: Iterable[ProblemId]) -> Iterator[Item]:
        """Some of the requests, read as they are asked for.

        Raises:
            GradingError: The file has changed since the task was made.
        """
        with self._open() as file:
            for name in ids:
                self._recent[name] = item = self._found(file, name)
                if len(self._recent) > _REMEMBERED:
                    del self._recent[next(iter(self._recent))]
                yield item

    @property
    def digest(self) -> str:
        """32 hexadecimal digits: the content of the file as it was when the task was made."""
        return self._digest

    async def grade(self, problem_id: ProblemId, answer: str | None) -> bool:
        """Whether an answer is right.

        Raises:
            ConfigError: There is no such problem, or no right answer to it is known.
            GradingError: The grader crashed, or the file has changed since the task was made.
        """
        if problem_id not in self._places:
            raise ConfigError(f"{self._file} has no request {problem_id!r}.")
        try:
            item = self._recent.get(problem_id) or next(self.items([problem_id]))
        except ConfigError as gone:
            raise GradingError(gone.message, hint=gone.hint) from gone
        if item.gold is None:
            raise ConfigError(f"{self._file}: no right answer of {problem_id!r} is known.")
        return answer is not None and await self._grader.right(answer, item)

    # --- reading ---

    def _found(self, file: IO[bytes], problem_id: ProblemId) -> Item:
        """A request, read from its place."""
        place = self._places[problem_id]
        file.seek(place.offset)
        line = file.readline()
        if hash(line) != place.seal:
            raise GradingError(
                f"{self._file} has changed: {problem_id!r} is not where it was.",
                hint="Add lines at its end while it is answered, and change none.",
            )
        return self._item(_object(line))

    def _open(self) -> IO[bytes]:
        try:
            return self._file.open("rb")
        except FileNotFoundError as error:
            raise ConfigError(
                f"There is no file {self._file.absolute()}.", hint="Name a JSONL file."
            ) from error
        except OSError as error:
            raise ConfigError(f"{self._file} cannot be read: {error.strerror}.") from error

    def _scan(self) -> None:
        """Read the whole file once."""
        digest = hashlib.blake2b(digest_size=16)
        broken: list[Broken] = []
        firsts: dict[Shape, int] = {}
        numbers: dict[ProblemId, int] = {}
        settings: dict[str, None] = {}
        structured = False
        for number, offset, line in self._lines():
            digest.update(line)
            try:
                row = _object(line)
                firsts.setdefault(_shape(row), number)
                item = self._item(row)
            except _Unusable as error:
                broken.append(Broken(number, str(error)))
                continue
            if (first := numbers.setdefault(item.problem.id, number)) != number:
                raise ConfigError(
                    f"{self._file}: lines {first} and {number} have the same id,"
                    f" {reprlib.repr(item.problem.id)}.",
                    hint="Give each request an id of its own: its answer is filed under it.",
                )
            self._places[item.problem.id] = _Place(offset, fingerprint(item.problem), hash(line))
            settings |= dict.fromkeys(_settings(row))
            structured |= item.problem.structure is not None
        if len(firsts) > 1:
            raise ConfigError(
                f"{self._file} mixes OpenAI Batch lines (first: {firsts['openai']}) with plain"
                f" ones (first: {firsts['plain']}).",
                hint="Put them into two files.",
            )
        if not self._places:
            why = f" The first cannot be used: {broken[0]}." if broken else ""
            raise ConfigError(
                f"{self._file} holds no request.{why}",
                hint='Each line is an object such as {"id": "1", "prompt": "What is 2 + 3?"}.',
            )
        self._digest, self.broken = digest.hexdigest(), tuple(broken)
        self.structured = structured
        self.settings = tuple(sorted(settings))

    def _lines(self) -> Iterator[tuple[int, int, bytes]]:
        """Number from 1, offset and content of each line that is not blank."""
        offset = 0
        with self._open() as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, offset, line
                offset += len(line)

    def _item(self, row: Mapping[str, Any]) -> Item:
        structure = None
        if _shape(row) == "openai":
            body = _body(row)
            structure = _structure(body.get("response_format"))
            row = {"id": row.get("custom_id"), "messages": body.get("messages")}
        name, metadata = _name(row), row.get("metadata", {})
        if not isinstance(metadata, dict):
            raise _Unusable("'metadata' must be an object")
        messages = _turns(row["messages"]) if row.get("messages") is not None else ()
        if messages and "prompt" in row:
            raise _Unusable("it has both 'prompt' and 'messages'")
        if not messages and not (isinstance(row.get("prompt"), str) and row["prompt"].strip()):
            raise _Unusable("it has neither a 'prompt' (a text) nor 'messages'")
        seen = {key: value for key, value in row.items() if key not in _OWN}
        seen["question"] = row.get("prompt", "")
        try:
            problem = self.prompt.problem(name, seen, metadata, messages=messages)
        except ConfigError as error:
            raise _Unusable(error.message.rstrip(".")) from error
        if structure is not None:
            problem = replace(problem, structure=structure)
        golds = _golds(row.get("answer"))
        return Item(problem, golds[0] if golds else None, tuple(golds[1:]))


_OWN = ("id", "prompt", "messages", "answer", "metadata")
_READ = ("messages", "stream", "response_format")  # of the body of an OpenAI request


def explained(broken: tuple[Broken, ...]) -> str:
    """The lines that cannot be used in a few words, the first ones by number."""
    said = "; ".join(map(str, broken[:_SAID]))
    more = len(broken) - _SAID
    return said + (f"; and {more:,} more" if more > 0 else "")


def _object(line: bytes) -> dict[str, Any]:
    try:
        # Else it looks for the encoding first, which takes as long as all the rest.
        row = json.loads(line.decode("utf-8", "surrogatepass") if line[:1] == b"{" else line)
        if b"\xed" in line or b"\\ud" in line.lower():  # there may be half a character
            json.dumps(row, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise _Unusable(f"it is no JSON ({error.msg}, column {error.colno})") from error
    except UnicodeDecodeError as error:
        raise _Unusable("it is no UTF-8") from error
    except UnicodeEncodeError as error:
        raise _Unusable("it holds half a character, which no text can hold") from error
    except (ValueError, RecursionError) as error:
        raise _Unusable(f"it cannot be read ({error})") from error
    if not isinstance(row, dict):
        raise _Unusable(f"it holds a {type(row).__name__}, not an object")
    return row


def _shape(row: Mapping[str, Any]) -> Shape:
    return "openai" if "custom_id" in row else "plain"


def _body(row: Mapping[str, Any]) -> Mapping[str, Any]:
    body = row.get("body")
    if row.get("url") != "/v1/chat/completions":
        raise _Unusable(f"its url is {reprlib.repr(row.get('url'))}, not '/v1/chat/completions'")
    if not isinstance(body, dict) or body.get("messages") is None:
        raise _Unusable("its 'body' holds no 'messages'")
    return body


def _structure(said: object) -> Structure | None:
    """What a reply must look like; None if it may look like anything."""
    if said is None:
        return None
    try:
        return read_response_format(said)
    except ValueError as error:
        raise _Unusable(str(error)) from error


def _settings(row: Mapping[str, Any]) -> list[str]:
    return (
        [key for key in row.get("body", ()) if key not in _READ] if _shape(row) != "plain" else []
    )


def _name(row: Mapping[str, Any]) -> str:
    name = row.get("id")
    if isinstance(name, int) and not isinstance(name, bool):
        name = str(name)
    if not isinstance(name, str) or not name:
        raise _Unusable("it has no id")
    return name


def _turns(turns: Any) -> tuple[Message, ...]:
    if not isinstance(turns, list) or not turns:
        raise _Unusable("'messages' must be a list of turns")
    for turn in turns:
        fits = isinstance(turn, dict) and isinstance(turn.get("content"), str)
        if not fits or turn.get("role") not in ("system", "user", "assistant"):
            raise _Unusable(
                "each turn of 'messages' must have a role (system, user or assistant) and a text as"
                " content"
            )
    if turns[-1]["role"] != "user":
        raise _Unusable(f"its conversation ends with the {turns[-1]['role']}, not with the user")
    return tuple(Message(turn["role"], turn["content"]) for turn in turns)


_WRITTEN = (str, int, float)


def _golds(value: Any) -> list[str]:
    """The answers that are right; none if nobody knows."""
    if value is None:
        return []
    texts = value if isinstance(value, list) else [value]
    if any(isinstance(text, bool) or not isinstance(text, _WRITTEN) for text in texts):
        raise _Unusable("'answer' must be a text or a number, or a list of them")
    whole = (int(t) if isinstance(t, float) and t.is_integer() else t for t in texts)
    return [str(text).strip() for text in whole if str(text).strip()]
