"""Hydra at work: overrides read, expanded and composed, and its complaints turned into ours."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from tts.cli.arguments import config_dir
from tts.cli.complaints import explain, malformed
from tts.errors import ConfigError


@contextmanager
def composer(extra: Path | None) -> Iterator[Composer]:
    """A block in which configurations can be composed.

    Args:
        extra: A folder of further configurations.
    """
    OmegaConf.register_new_resolver("tts.first", _first, replace=True)
    with initialize_config_dir(str(config_dir()), job_name="tts", version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        yield Composer(hydra.config_loader, extra)


def _first(*values: str | None) -> str:
    """The first of the values that says something."""
    return next((v for v in values if v not in (None, "", "null")), "run") or "run"


class Composer:
    """Composes configurations.

    Args:
        loader: Hydra's.
        extra: A folder of further configurations.
    """

    def __init__(self, loader: ConfigLoader, extra: Path | None) -> None:
        self._loader = loader
        self._extra = extra
        self._parser = OverridesParser.create(loader)
        self._chosen: dict[tuple[str, ...], DictConfig] = {}

    def quoted(self, text: str) -> str:
        """Quote a model's path, so that no character of it means anything to Hydra."""
        key, _, value = text.partition("=")
        return f"{key}={_quote(value)}" if key == "model" and Path(value).exists() else text

    def expand(
        self, overrides: Sequence[str], multirun: bool
    ) -> list[tuple[list[str], tuple[str, ...]]]:
        """All combinations of swept values: overrides, and those of them that are swept."""
        variants: list[list[tuple[str, bool]]] = []
        for override in self.parse(overrides):
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

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """The configuration under some overrides, Hydra's own part included.

        Raises:
            ConfigError: A field, a group or a value is unknown.
        """
        path = [f"hydra.searchpath=[{_quote(f'file://{self._extra}')}]"] if self._extra else []
        self._check_choices(overrides)
        try:
            cfg = hydra_compose("config", [*path, *overrides], return_hydra_config=True)
        except YAMLError as error:
            raise malformed(error) from error
        except (HydraException, OmegaConfBaseException) as error:
            raise explain(error, self._fields(overrides), self._groups) from error
        HydraConfig.instance().set_config(cfg)
        return cfg

    def vary(self, overrides: Sequence[str]) -> DictConfig:
        """As `compose`, but that Hydra's own part tells nothing of these overrides.

        To compose takes Hydra a fifth of a second, most of it for the files that are chosen. Arms
        that sweep a value choose the same ones, so these are composed once, and the values set as
        Hydra would.
        """
        parsed = self.parse(overrides)
        values = [o for o in parsed if not self.is_group(o.get_key_element())]
        if any(o.is_add() or o.is_delete() or o.package for o in values):
            return self.compose(overrides)
        chosen = tuple(str(o.input_line) for o in parsed if self.is_group(o.get_key_element()))
        if chosen not in self._chosen:
            self._chosen[chosen] = self.compose(chosen)
        cfg = deepcopy(self._chosen[chosen])
        try:
            for override in values:
                key, new = override.key_or_group, override.is_force_add()
                OmegaConf.update(cfg, key, override.value(), merge=True, force_add=new)
        except OmegaConfBaseException:
            return self.compose(overrides)  # which says what is wrong
        HydraConfig.instance().set_config(cfg)
        return cfg

    def _check_choices(self, overrides: Sequence[str]) -> None:
        """Refuse a choice that is no name; Hydra has no good word for it."""
        for override in self.parse(overrides):
            key = override.get_key_element()
            if self.is_group(key) and not isinstance(override.value(), str | list | QuotedString):
                raise ConfigError(
                    f"{override.input_line} is no choice.",
                    hint=f"There are: {', '.join(self._choices(key))}.",
                )

    def _choices(self, group: str) -> list[str]:
        own = self._extra.glob(f"{group}/*.yaml") if self._extra else ()
        return sorted({*self._loader.get_group_options(group), *(file.stem for file in own)})

    def parse(self, overrides: Sequence[str]) -> list[Override]:
        """Read overrides.

        Raises:
            ConfigError: One is malformed.
        """
        try:
            return self._parser.parse_overrides(list(overrides))
        except HydraException as error:
            raise explain(error, [], []) from error

    def _fields(self, overrides: Sequence[str]) -> list[str]:
        """The fields that there would be with the choices of groups alone."""
        kept = [o for o in overrides if self.is_group(o.partition("=")[0])]
        for attempt in (kept, []):
            try:
                cfg = hydra_compose("config", attempt)
            except (HydraException, OmegaConfBaseException):
                continue
            return list(paths(OmegaConf.to_container(cfg)))
        return []

    @cached_property
    def _groups(self) -> list[str]:
        """All groups; Hydra would read its folders anew each time that it is asked."""
        own = self._extra.iterdir() if self._extra else ()
        known = self._loader.get_group_options("", ObjectType.GROUP)
        return sorted({*known, *(path.name for path in own if path.is_dir())})

    def is_group(self, key: str) -> bool:
        """Whether a key names a group of choices."""
        return key in self._groups

    def normal(self, text: str) -> list[str]:
        """An override as Hydra wants it: a model that is no file of its group is a path or name."""
        if text.startswith("model.engine."):
            return [f"++{text}"]  # the engine checks its fields itself; no file lists them all
        key, _, value = text.partition("=")
        if text == "experiment=null":
            return []  # that is how it is anyway, and Hydra cannot say it
        name = value.strip("'\"")
        if key != "model" or not name or name in (known := self._choices("model")):
            return [text]
        close = get_close_matches(name, known, n=1, cutoff=0.8)
        if close and "/" not in name and not Path(name).exists():
            raise ConfigError(
                f"There is no model {name!r}.",
                hint=f"Did you mean model={close[0]}? A path or a hub name will do as well.",
            )
        return ["model=custom", f"model.name={_quote(name)}"]


def _values(override: Override) -> list[str]:
    try:
        return list(override.sweep_string_iterator())
    except HydraException as error:
        raise ConfigError(
            f"{override.input_line} cannot be swept.", hint="List the values: field=1,2,3."
        ) from error


def paths(node: Any, prefix: str = "") -> Iterator[str]:
    """The dotted paths of all fields of a nested mapping."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield f"{prefix}{key}"
            yield from paths(value, f"{prefix}{key}.")


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
