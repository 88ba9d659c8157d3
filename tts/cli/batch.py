"""`tts batch`: answer the requests of a file, however many, and survive what comes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from tts.cli.arguments import Arguments
from tts.cli.options import Parser
from tts.errors import ConfigError

_ABOUT = """\
Answer the requests of a JSONL file, and write a record of each to OUTPUT/results.jsonl.

A line of INPUT holds an `id`, a `prompt` or `messages`, and an `answer` where one is known, which
is used for grading alone; lines of an OpenAI Batch file will do as well. The same command again
goes on where the last one ended, also after the input has grown. Lines that cannot be used are
reported, and the others go on.

Ctrl-C stops gently: what is in flight goes on to its end, and nothing new is begun; a second one
leaves that too. A killed process loses only what was in flight. A power cut may take the records of
the last five seconds as well. Servers may be away for an hour (backend.patience_seconds).
`tts run --help` tells what an OVERRIDE is.

Exit codes: 0 all answered; 2 bad input, and nothing was spent; 3 some requests failed, or some
lines could not be used; 130 stopped before the end."""

_EXAMPLES = """\
examples:
  tts batch questions.jsonl answers/ strategy=self_consistency strategy.n=8
  tts batch questions.jsonl answers/ strategy=best_of_n verifier=prm concurrency=256
  tts batch questions.jsonl answers/ backend=openai model=my-model total_budget.usd=20
  tts batch letters.jsonl replies/ strategy=greedy task.answers._target_=tts.tasks.WholeText"""

_OURS = ("task", "task.path", "hydra.run.dir", "repeats", "experiment", "arms")


def main(arguments: Sequence[str]) -> int:
    """Run `tts batch`.

    Args:
        arguments: What stands behind the command.

    Returns:
        The exit code.
    """
    asked = _read(arguments)
    # Late, so that help and slips of the pen are answered at once.
    from tts.cli._requests import Batch, forecast, serve
    from tts.cli.jobs import compose_jobs

    (job,) = compose_jobs(_command(asked))
    if asked.dry_run:
        return forecast(job)
    return serve(job, Batch(asked.limit, asked.retry_failed, asked.max_disk))


def _read(arguments: Sequence[str]) -> argparse.Namespace:
    from pydantic import ByteSize, TypeAdapter, ValidationError

    parser = Parser("batch", _ABOUT, _EXAMPLES)
    parser.usage = "tts batch INPUT OUTPUT [OVERRIDE ...] [options]"
    parser.add_argument("input", metavar="INPUT", type=Path, help="JSONL, one request a line")
    parser.add_argument("output", metavar="OUTPUT", type=Path, help="folder of the records")
    parser.add_argument("--limit", type=int, metavar="N", help="most requests of this sitting")
    parser.add_argument(
        "--repeats", type=int, metavar="N", default=1, help="answer each so often (1)"
    )
    parser.add_argument(
        "--retry-failed", action="store_true", help="take those up again that have failed"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="check everything, say what it would cost, stop"
    )
    parser.add_argument(
        "--max-disk",
        metavar="SIZE",
        help="stop gently when the records and texts take so much: 500MB, 20GiB",
    )
    parser.add_argument(
        "--config-dir", metavar="DIR", type=Path, help="look for configurations in DIR as well"
    )
    asked, words = parser.parse_known_args(list(arguments))
    asked.overrides = words
    for word in words:
        key = word.partition("=")[0].lstrip("+~")
        if word.startswith("-"):
            raise ConfigError(f"There is no option {word}.", hint="See `tts batch --help`.")
        if "=" not in word:
            raise ConfigError(f"{word!r} is no override.", hint="Write group=choice, field=value.")
        if key in _OURS or key.startswith("arms."):
            raise ConfigError(
                f"{key} cannot be set here: a batch answers one file in one way.",
                hint="Use --repeats for repeats, and `tts run` to compare several ways.",
            )
    if asked.limit is not None and asked.limit < 1:
        raise ConfigError(f"--limit is {asked.limit}; it must be at least 1.")
    if asked.max_disk is not None:
        try:
            asked.max_disk = int(TypeAdapter(ByteSize).validate_python(asked.max_disk))
        except ValidationError as error:
            raise ConfigError(
                f"--max-disk is {asked.max_disk!r}; it must be a size.", hint="Write 20GiB, say."
            ) from error
    if asked.config_dir is not None and not asked.config_dir.is_dir():
        raise ConfigError(f"--config-dir: there is no folder {asked.config_dir}.")
    for path in (asked.input, asked.output):
        if "${" in str(path):
            raise ConfigError(
                f"The name {path} holds '${{', which refers to a field in a configuration.",
                hint="Give it another name.",
            )
    if not asked.input.expanduser().is_file():
        raise ConfigError(f"There is no file {asked.input}.", hint="Name a JSONL file.")
    if asked.output.exists() and not asked.output.is_dir():
        raise ConfigError(f"{asked.output} is a file.", hint="Name a folder for the records.")
    return asked


def _command(asked: argparse.Namespace) -> Arguments:
    patient = ["backend.patience_seconds=3600"] if "backend=openai" in asked.overrides else []
    given = [
        "task=requests",
        f"task.path={_quoted(asked.input)}",
        f"hydra.run.dir={_quoted(asked.output)}",
        f"repeats={asked.repeats}",
        "keep=nothing",
        *patient,  # nobody looks on; what is given below has the last word
    ]
    folder = asked.config_dir.absolute() if asked.config_dir else None
    return Arguments((*given, *asked.overrides), config_dir=folder)


def _quoted(path: Path) -> str:
    """So that no character of a path means anything to Hydra."""
    escaped = str(path).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
