"""What may stand on the command line. Light: knows neither Hydra nor the rest of the package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tts.errors import ConfigError

COMMANDS = {
    "run": "run",
    "batch": "batch",
    "estimate": "estimate",
    "advise": "advise",
    "tune": "tune",
    "calibrate": "calibrate",
    "tune-sampling": "tune_sampling",
    "plan": "plan",
    "decisions": "decisions",
    "rescore": "rescore",
    "verifier-report": "verifier_report",
    "report": "report",
    "show": "show",
    "analyse": "analyse",
    "power": "power",
    "quantize": "quantize",
    "audit": "audit",
    "top": "top",
    "doctor": "doctor",
}
"""The commands, and their modules in this room."""

USAGE = """
Usage: tts COMMAND ...

  run       solve the problems of a task, and report accuracy against compute
  batch     answer the requests of a file, however many; the same command again goes on
  estimate  say what a run would cost in tokens, time and dollars, without a single request
  advise    say in which scheme to run a model, by memory, speed, cost and accuracy kept
  tune      find the engine's settings that suit a workload best, by measuring
  calibrate find the threshold for a wanted share of the larger of two models
  tune-sampling
            find temperature, top_p and prompt for a model, strategy and task on a pilot set
  plan      choose a method by difficulty, from arms that have been run
  decisions take a run's decisions again, or ask what another controller would have done
  rescore   apply other votes, verifiers and graders to samples that are already there
  verifier-report
            say how well a verifier's scores part right from wrong, and calibrate them
  report    put runs side by side on one page, with figures and a table for a paper
  show      show the search tree of a problem: pictures on a page, text in the terminal
  analyse   say what was in the chains of thought, and how much of it was needed
  power     say how many problems a comparison needs
  quantize  make a checkpoint with fewer bits, and say what that costs in accuracy
  audit     say whether a model, engine or run behaves as a reference does, token by token
  top       show the engines and runs of this machine as they go
  doctor    say what this machine can run, and what is missing

`tts COMMAND --help` tells more; `tts --version` names the version.
"""

RUN_USAGE = """
Usage: tts run [OVERRIDE ...] [-m] [--cfg job] [--config-dir DIR]
       tts run --help      the groups of configurations and what is in them

Solve the problems of a task with one strategy or several, and report accuracy against compute.

  tts run experiment=demo
  tts run strategy=best_of_n verifier=likelihood strategy.n=16 task=mini
  tts run strategy=self_consistency task=gsm8k model=/path/to/checkpoint
  tts run -m strategy=self_consistency budget.completion_tokens=2k,8k,32k
  tts run -m hydra/launcher=joblib hydra.launcher.n_jobs=2 strategy.n=1,4,16

An OVERRIDE is group=choice or path.to.field=value (Hydra's grammar: https://hydra.cc).

  -m, --multirun     run every combination of comma-separated values, with one engine
  --cfg job          print the resolved configuration and do nothing
  --config-dir DIR   look for configurations in DIR as well
  -h, --help         this text

Results go to outputs/<experiment or task>/<time>; hydra.run.dir=FOLDER chooses another folder.
Naming the folder of an unfinished run continues it. A finished run, or one of another
configuration, is moved to FOLDER/earlier before a new one starts.
"""


@dataclass(frozen=True)
class Arguments:
    """A `tts run` as it was typed."""

    overrides: tuple[str, ...]
    multirun: bool = False
    print_config: bool = False
    config_dir: Path | None = None
    help: bool = False


def read(arguments: Sequence[str]) -> Arguments:
    """Read what follows `tts run` or `tts estimate`; options and overrides may come in any order.

    Raises:
        ConfigError: An option is unknown, or lacks its value.
    """
    overrides: list[str] = []
    found: dict[str, bool | Path] = {}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        option, equals, value = word.partition("=")
        if not word.startswith("-"):
            overrides.append(word)
        elif word in ("-h", "--help"):
            found["help"] = True
        elif word in ("-m", "--multirun"):
            found["multirun"] = True
        elif option in ("-c", "--cfg"):
            kind = value if equals else _next(option, rest)
            if kind != "job":
                raise ConfigError(f"--cfg {kind} is not offered.", hint="Use --cfg job.")
            found["print_config"] = True
        elif option in ("-cd", "--config-dir"):
            found["config_dir"] = _folder(value if equals else _next(option, rest))
        else:
            raise ConfigError(f"There is no option {word}.", hint="See `tts run --help`.")
    return Arguments(tuple(overrides), **found)  # type: ignore[arg-type]


def config_dir() -> Path:
    """The configurations: inside the installed package, or beside it in a checkout.

    Raises:
        ConfigError: They are in neither place.
    """
    package = Path(__file__).parents[1]
    for place in (package / "configs", package.parent / "configs"):
        if (place / "config.yaml").is_file():
            return place
    raise ConfigError(
        f"The configurations are missing beside {package}.", hint="Install the package again."
    )


def groups() -> str:
    """The groups and their choices, one line a group."""
    lines = ["Groups and choices:"]
    for folder in sorted(p for p in config_dir().iterdir() if p.is_dir()):
        choices = sorted(file.stem for file in folder.glob("*.yaml"))
        lines.append(f"  {folder.name + '=':12} {', '.join(choices)}")
    lines.append("  model= also takes a path or a hub name; see the files for every field:")
    lines.append(f"  {config_dir()}")
    return "\n".join(lines)


def _next(option: str, rest: list[str]) -> str:
    if not rest:
        raise ConfigError(f"{option} needs a value.", hint="See `tts run --help`.")
    return rest.pop(0)


def _folder(name: str) -> Path:
    folder = Path(name).expanduser().absolute()
    if not folder.is_dir():
        raise ConfigError(f"--config-dir: there is no folder {folder}.")
    return folder
