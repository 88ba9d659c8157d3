"""From overrides to resolved configurations: jobs of a sweep, and the arms of each job."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, read_write
from omegaconf.errors import OmegaConfBaseException

from tts.cli.arguments import Arguments, config_dir
from tts.cli.complaints import explain
from tts.errors import ConfigError

NOT_AN_OUTCOME = ("hydra", "arms", "experiment", "concurrency")
"""Fields that change no result: they stay out of the hash that keeps runs apart."""


@dataclass(frozen=True)
class ArmConfig:
    """One arm, resolved.

    Attributes:
        label: Unique in its job.
        config: All fields, of JSON types.
        choices: The chosen file of each group.
    """

    label: str
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
        """The configuration, and what the arms make of it, as `config.yaml`."""
        return str(OmegaConf.to_yaml(dict(self.config)))


def compose_jobs(arguments: Arguments) -> list[Job]:
    """Compose all that a command asks for.

    Raises:
        ConfigError: A field, a group or a value is unknown, missing or malformed.
    """
    with _hydra() as loader:
        known = _Composer(loader, arguments.config_dir)
        overrides = [known.quoted(text) for text in arguments.overrides]
        jobs = known.expand(overrides, arguments.multirun)
        return [known.job(number, *job, arguments.multirun) for number, job in enumerate(jobs)]


@contextmanager
def _hydra() -> Iterator[ConfigLoader]:
    OmegaConf.register_new_resolver("tts.first", _first, replace=True)
    with initialize_config_dir(str(config_dir()), job_name="tts", version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        yield hydra.config_loader


def _first(*values: str | None) -> str:
    """The first of the values that says something."""
    return next((v for v in values if v not in (None, "", "null")), "run") or "run"


class _Composer:
    """Composes configurations, and turns Hydra's complaints into ours."""

    def __init__(self, loader: ConfigLoader, extra: Path | None) -> None:
        self._loader = loader
        self._extra = extra
        self._parser = OverridesParser.create(loader)

    def quoted(self, text: str) -> str:
        """Quote a model's path, so that no character of it means anything to Hydra."""
        key, _, value = text.partition("=")
        return f"{key}={_quote(value)}" if key == "model" and Path(value).exists() else text

    def expand(
        self, overrides: Sequence[str], multirun: bool
    ) -> list[tuple[list[str], tuple[str, ...]]]:
        """All combinations of swept values: overrides, and those of them that are swept."""
        variants: list[list[tuple[str, bool]]] = []
        for override in self._parse(overrides):
            if not override.is_sweep_override():
                variants.append([(str(override.input_line), False)])
            elif not multirun:
                raise ConfigError(
                    f"{override.input_line} has several values.",
                    hint="Add -m to run one after the other, or put a list in [brackets].",
                )
            else:
                key = override.get_key_element()
                variants.append([(f"{key}={v}", True) for v in _values(override)])
        return [
            ([text for text, _ in job], tuple(text for text, swept in job if swept))
            for job in itertools.product(*variants)
        ]

    def job(
        self, number: int, overrides: Sequence[str], swept: tuple[str, ...], multirun: bool
    ) -> Job:
        """Compose one job with its arms."""
        overrides = [part for text in overrides for part in self._model(_opened(text))]
        cfg = self._compose(overrides)
        with read_write(cfg.hydra):
            cfg.hydra.job.num = number
        config = {"experiment": cfg.hydra.runtime.choices.experiment, **_resolved(cfg)}
        sweep = Path(cfg.hydra.sweep.dir) if multirun else None
        folder = sweep / str(cfg.hydra.sweep.subdir) if sweep else Path(cfg.hydra.run.dir)
        return Job(folder, swept, sweep, config, tuple(self._arms(config, cfg, overrides)))

    def _arms(
        self, config: Mapping[str, Any], cfg: DictConfig, overrides: Sequence[str]
    ) -> Iterator[ArmConfig]:
        choices = dict(cfg.hydra.runtime.choices)
        arms = {
            label: items for label, items in (config["arms"] or {}).items() if items is not None
        }
        if not arms:
            yield ArmConfig(str(choices["strategy"]), config, choices)
            return
        unused = set(overrides)
        composed = []
        for label, items in arms.items():
            if not isinstance(items, list):
                raise ConfigError(
                    f"arms.{label} is {items!r}; it must be a list of overrides.",
                    hint=f"Write 'arms.{label}=[\"strategy=greedy\"]'.",
                )
            fitting = self._fitting(label, [str(item) for item in items], overrides)
            unused -= set(fitting)
            composed.append((str(label), [*map(str, items), *fitting]))
        for label, items in composed:
            cfg = self._compose([*items, *unused])  # what fits no arm is refused by the first
            yield ArmConfig(label, _resolved(cfg), dict(cfg.hydra.runtime.choices))

    def _fitting(self, label: str, items: list[str], overrides: Sequence[str]) -> list[str]:
        """The command line's overrides that an arm can take: `strategy.n` means nothing to greedy.

        Raises:
            ConfigError: The command line chooses what the arm chooses itself.
        """
        mine = {o.get_key_element() for o in self._parse(items)}
        cfg = self._compose(items)
        fitting = []
        for override in self._parse(overrides):
            key, text = override.get_key_element(), str(override.input_line)
            if self._is_group(key) and key in mine:
                raise ConfigError(
                    f"Arm {label!r} of this experiment chooses its {key} itself, so {text} says"
                    " nothing.",
                    hint="Leave it out, or add arms=null to run a single configuration.",
                )
            if key.split(".")[0] not in mine or _has(cfg, key):
                fitting.append(text)
        return fitting

    def _compose(self, overrides: Sequence[str]) -> DictConfig:
        path = [f"hydra.searchpath=[{_quote(f'file://{self._extra}')}]"] if self._extra else []
        self._check_choices(overrides)
        try:
            cfg = compose("config", [*path, *overrides], return_hydra_config=True)
        except (HydraException, OmegaConfBaseException) as error:
            raise explain(error, self._fields(overrides), self._groups()) from error
        HydraConfig.instance().set_config(cfg)
        return cfg

    def _check_choices(self, overrides: Sequence[str]) -> None:
        """Refuse a choice that is no name; Hydra has no good word for it."""
        for override in self._parse(overrides):
            key = override.get_key_element()
            if self._is_group(key) and not isinstance(override.value(), str | list | QuotedString):
                raise ConfigError(
                    f"{override.input_line} is no choice.",
                    hint=f"There are: {', '.join(self._choices(key))}.",
                )

    def _choices(self, group: str) -> list[str]:
        own = self._extra.glob(f"{group}/*.yaml") if self._extra else ()
        return sorted({*self._loader.get_group_options(group), *(file.stem for file in own)})

    def _parse(self, overrides: Sequence[str]) -> list[Override]:
        try:
            return self._parser.parse_overrides(list(overrides))
        except HydraException as error:
            raise explain(error, [], []) from error

    def _fields(self, overrides: Sequence[str]) -> list[str]:
        """The fields that there would be with the choices of groups alone."""
        kept = [o for o in overrides if self._is_group(o.partition("=")[0])]
        for attempt in (kept, []):
            try:
                cfg = compose("config", attempt)
            except (HydraException, OmegaConfBaseException):
                continue
            return list(_paths(OmegaConf.to_container(cfg), ""))
        return []

    def _groups(self) -> list[str]:
        return self._loader.get_group_options("", ObjectType.GROUP)

    def _is_group(self, key: str) -> bool:
        return key in self._groups()

    def _model(self, text: str) -> list[str]:
        """An override as Hydra wants it: a model that is no file of its group is a path or name."""
        key, _, value = text.partition("=")
        if text == "experiment=null":
            return []  # that is how it is anyway, and Hydra cannot say it
        known = self._choices("model")
        name = value.strip("'\"")
        if key != "model" or name in known or not name:
            return [text]
        close = get_close_matches(name, known, n=1, cutoff=0.8)
        if close and "/" not in name and not Path(name).exists():
            raise ConfigError(
                f"There is no model {name!r}.",
                hint=f"Did you mean model={close[0]}? A path or a hub name will do as well.",
            )
        return ["model=custom", f"model.name={_quote(name)}"]


def _opened(text: str) -> str:
    """The engine checks its fields itself; a file need not list all of them."""
    return f"++{text}" if text.startswith("model.engine.") else text


def _values(override: Override) -> list[str]:
    try:
        return list(override.sweep_string_iterator())
    except HydraException as error:
        raise ConfigError(
            f"{override.input_line} cannot be swept.", hint="List the values: field=1,2,3."
        ) from error


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


def _paths(node: Any, prefix: str) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield f"{prefix}{key}"
            yield from _paths(value, f"{prefix}{key}.")


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
