"""`tts quantize`: a checkpoint with fewer bits, and a card that says what it is worth.

Knows the words and options; the work is done by `tts.cli._quantising`.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tts.cli.arguments import read
from tts.cli.options import Parser
from tts.errors import ConfigError

_ABOUT = """\
Quantise a model with llm-compressor, on the processor if there is no GPU, and measure on the engine
what that costs: perplexity and accuracy before and after, with a verdict. llm-compressor gets an
environment of its own, which is made on first use in the user's cache; pip is run with your own
settings.

  model=NAME          bundled, a path, or a name on the hub
  scheme=NAME         w8a8_int8, w8a16_int8, w4a16_gptq, w4a16_awq, w4a8_int8, fp8, mxfp8, mxfp4,
                      nvfp4, nvfp4a16
  calibration=WHAT    data for schemes that want it: a task (its train part), or a JSONL file with a
                      text, a prompt or messages in each line; what has no answer is answered by the
                      model itself (bundled models: mini)
  samples=N           of them (256)
  output=DIR          the new checkpoint (outputs/quantised/MODEL-SCHEME)
  method=rtn|gptq     how weights are rounded, where the scheme leaves a choice
  group=N             weights that share a scale (the most of 128, 64, 32 that fit; 0: a channel)
  smooth=X            SmoothQuant of this strength, 0 to 1, for w8a8_int8 (0)
  narrow=true|false   whether weights of w8a8_int8 use 7 bits, without which a processor that has no
                      VNNI cuts sums off (true on such a processor)

All other words are those of `tts run`, for the measurement: by default greedy decoding, on 2,000
problems of task=mini for a bundled model."""

_EXAMPLES = """\
examples:
  tts quantize model=mini-reasoner scheme=w8a8_int8
  tts quantize model=org/name scheme=w4a16_gptq calibration=chats.jsonl task=gsm8k
  tts quantize model=/path/to/checkpoint scheme=fp8 --no-evaluation
  tts quantize --setup"""

_OWN = ("scheme", "calibration", "samples", "output", "method", "group", "smooth", "narrow")


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for.

    Attributes:
        scheme: Its name.
        words: Those of `tts run`.
        calibration: A task or a file; None for the usual one.
        samples: Of calibration data, at least 8.
        output: Folder of the new checkpoint; None for the usual one.
        method: How weights are rounded; None for the usual way.
        group: Weights that share a scale; None for the most that fit.
        smooth: Strength of SmoothQuant.
        narrow: Whether 8-bit weights use 7 bits; None for what this machine needs.
        evaluate: Whether it is measured.
        command: As it was typed.
    """

    scheme: str
    words: tuple[str, ...]
    calibration: str | None
    samples: int
    output: Path | None
    method: str | None
    group: int | None
    smooth: float
    narrow: bool | None
    evaluate: bool
    command: str


def main(arguments: Sequence[str]) -> int:
    """Run `tts quantize`.

    Args:
        arguments: What stands behind the command.

    Returns:
        The exit code.

    Raises:
        ConfigError: Something cannot be used; nothing was spent.
        TTSError: A fault ended it; what was made before is kept.
    """
    options, words = _parser().parse_known_args(list(arguments))
    if options.setup and not words:
        from tts.cli._quantising import set_up

        return set_up()
    wish = wished(words, options, shlex.join(["tts", "quantize", *arguments]))
    # Late, so that help and slips of the pen are answered at once.
    from tts.cli._quantising import quantise

    return quantise(wish)


def wished(words: Sequence[str], options: argparse.Namespace, command: str) -> Wish:
    """Tell our own words from those of `tts run`.

    Raises:
        ConfigError: One of ours cannot be used, or the model or the scheme is missing.
    """
    own: dict[str, str] = {}
    rest: list[str] = []
    for word in words:
        name, equals, value = word.partition("=")
        if equals and name in _OWN:
            own[name] = value
        else:
            rest.append(word)
    overrides = read(rest).overrides
    if not any(word.startswith("model=") for word in overrides):
        raise ConfigError("model: it is not given.", hint="Write model=mini-reasoner, say.")
    if not own.get("scheme"):
        raise ConfigError("scheme: it is not given.", hint="Write scheme=w8a8_int8, say.")
    return Wish(
        scheme=own["scheme"],
        words=overrides,
        calibration=own.get("calibration"),
        samples=_number(own, "samples", 256),
        output=Path(own["output"]).expanduser() if "output" in own else None,
        method=own.get("method"),
        group=_number(own, "group", 0) if "group" in own else None,
        smooth=_share(own),
        narrow=_yes_or_no(own, "narrow"),
        evaluate=not options.no_evaluation,
        command=command,
    )


def _number(own: dict[str, str], name: str, otherwise: int) -> int:
    try:
        return int(own.get(name, otherwise))
    except ValueError as error:
        raise ConfigError(f"{name} is {own[name]!r}; it must be a whole number.") from error


def _share(own: dict[str, str]) -> float:
    try:
        return float(own.get("smooth", 0))
    except ValueError as error:
        raise ConfigError(f"smooth is {own['smooth']!r}; it must be a number.") from error


def _yes_or_no(own: dict[str, str], name: str) -> bool | None:
    if name not in own:
        return None
    if own[name].lower() not in ("true", "false"):
        raise ConfigError(f"{name} is {own[name]!r}; it must be true or false.")
    return own[name].lower() == "true"


def _parser() -> Parser:
    parser = Parser("quantize", _ABOUT, _EXAMPLES)
    parser.usage = "tts quantize model=NAME scheme=NAME [WORD ...] [--no-evaluation] | --setup"
    add = parser.add_argument
    add("--no-evaluation", action="store_true", help="make the checkpoint, and measure nothing")
    add("--setup", action="store_true", help="make the environment of llm-compressor, and no more")
    return parser
