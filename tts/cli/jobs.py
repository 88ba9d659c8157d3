"""What a command asks for: the jobs of a sweep, and the arms of each job, all resolved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, read_write
from omegaconf.errors import OmegaConfBaseException

from tts.cli.arguments import Arguments
from tts.cli.complaints import explain
from tts.cli.compose import Composer, composer
from tts.errors import ConfigError

NOT_AN_OUTCOME = (
    "hydra",
    "arms",
    "experiment",
    "concurrency",
    "executor",
    "repeats",
    "keep",
    "replay",
    "claims",
    "tracker",
    "tracing",
    "metrics",
    "sampling_tuned_for",
)
"""Fields that change no result: they stay out of the hash that keeps runs apart."""


@dataclass(frozen=True)
class ArmConfig:
    """One arm, resolved.

    Attributes:
        label: Unique in its job.
        series: What it is a point of: arms that one entry of `arms` sweeps share it.
        config: All fields, of JSON types.
        choices: The chosen file of each group.
    """

    label: str
    series: str
    config: Mapping[str, Any]
    choices: Mapping[str, str]


@dataclass(frozen=True)
class Job:
    """One run: one output folder.

    Attributes:
        folder: For its results.
        swept: What the sweep varies, as overrides; empty outside of sweeps.
        sweep: Folder of the whole sweep, if it is a part of one.
        config: Resolved, without arms' changes.
        arms: At least one.
    """

    folder: Path
    swept: tuple[str, ...]
    sweep: Path | None
    config: Mapping[str, Any]
    arms: tuple[ArmConfig, ...]

    def yaml(self) -> str:
        """The configuration, as `config.yaml`."""
        return str(OmegaConf.to_yaml(dict(self.config)))


def compose_jobs(arguments: Arguments) -> list[Job]:
    """Compose all that a command asks for.

    Raises:
        ConfigError: A field, a group or a value is unknown, missing or malformed.
    """
    with composer(arguments.config_dir) as known:
        overrides = [known.quoted(text) for text in arguments.overrides]
        jobs = known.expand(overrides, arguments.multirun)
        return [_job(known, number, *job, arguments.multirun) for number, job in enumerate(jobs)]


def _job(
    known: Composer, number: int, overrides: Sequence[str], swept: tuple[str, ...], multirun: bool
) -> Job:
    """Compose one job with its arms."""
    overrides = [part for text in overrides for part in known.normal(text)]
    cfg = known.compose(overrides)
    with read_write(cfg.hydra):
        cfg.hydra.job.num = number
    config = {"experiment": cfg.hydra.runtime.choices.experiment, **_resolved(cfg)}
    sweep = Path(cfg.hydra.sweep.dir) if multirun else None
    folder = sweep / str(cfg.hydra.sweep.subdir) if sweep else Path(cfg.hydra.run.dir)
    return Job(folder, swept, sweep, config, tuple(_arms(known, config, cfg, overrides)))


def _arms(
    known: Composer, config: Mapping[str, Any], cfg: DictConfig, overrides: Sequence[str]
) -> Iterator[ArmConfig]:
    choices = dict(cfg.hydra.runtime.choices)
    arms = {label: items for label, items in (config["arms"] or {}).items() if items is not None}
    if not arms:
        name = str(choices["strategy"])
        yield ArmConfig(name, name, config, choices)
        return
    unused = set(overrides)
    composed: dict[str, tuple[str, list[str]]] = {}
    for label, items in arms.items():
        if not isinstance(items, list):
            raise ConfigError(
                f"arms.{label} is {items!r}; it must be a list of overrides.",
                hint=f"Write 'arms.{label}=[\"strategy=greedy\"]'.",
            )
        for point, swept in known.expand([str(item) for item in items], multirun=True):
            fitting = _fitting(known, label, point, swept, overrides)
            unused -= set(fitting)
            name = " ".join([str(label), *map(short, swept)])
            if name in composed:
                raise ConfigError(
                    f"Two arms of this experiment are called {name!r}.",
                    hint="Give each a name, and each of its values, once.",
                )
            composed[name] = (str(label), [*point, *fitting])
    for name, (series, items) in composed.items():
        cfg = known.vary([*items, *unused])  # what fits no arm is refused by the first
        yield ArmConfig(name, series, _resolved(cfg), dict(cfg.hydra.runtime.choices))


def short(override: str) -> str:
    """`budget.completion_tokens=2k` without the way to its field."""
    key, equals, value = override.partition("=")
    return key.rpartition(".")[2] + equals + value


def _fitting(
    known: Composer,
    label: str,
    items: Sequence[str],
    swept: Sequence[str],
    overrides: Sequence[str],
) -> list[str]:
    """The command line's overrides that an arm can take: `strategy.n` means nothing to greedy.

    Raises:
        ConfigError: The command line chooses what the arm chooses or sweeps itself.
    """
    mine = {_key(o) for o in known.parse(items)}
    varied = {_key(o) for o in known.parse(swept)}
    parsed = known.parse(overrides)
    for override in parsed:
        key = _key(override)
        if (known.is_group(key) and key in mine) or key in varied:
            verb = "sweeps" if key in varied else "chooses"
            raise ConfigError(
                f"Arm {label!r} of this experiment {verb} its {key} itself, so"
                f" {override.input_line} says nothing.",
                hint="Leave it out, or add arms=null to run a single configuration.",
            )
    doubtful = {key for key in map(_key, parsed) if key.split(".")[0] in mine}
    if doubtful:
        cfg = known.vary(items)
        doubtful = {key for key in doubtful if not _has(cfg, key)}
    return [str(o.input_line) for o in parsed if _key(o) not in doubtful]


def _key(override: Override) -> str:
    return str(override.get_key_element())


def _resolved(cfg: DictConfig) -> dict[str, Any]:
    """Everything but Hydra's own as plain values."""
    own = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    try:
        found = OmegaConf.to_container(own, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise explain(error, [], []) from error
    assert isinstance(found, dict)
    return {str(k): v for k, v in found.items()}


def _has(cfg: DictConfig, key: str) -> bool:
    node: Any = cfg
    for part in key.lstrip("+~").split("."):
        if not isinstance(node, DictConfig) or part not in node:
            return False
        node = node._get_node(part)
    return True
