"""What a finished run was made of, arm by arm, read from its folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from tts.cli.compose import Composer
from tts.cli.jobs import short
from tts.errors import ConfigError


def read_json(folder: Path, name: str) -> Any:
    """A file of a run.

    Raises:
        ConfigError: It is not there, or cannot be read.
    """
    try:
        return json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{folder} holds no {name} that can be read.", hint="Name the folder of a finished run."
        ) from error


def read_config(folder: Path) -> Mapping[str, Any]:
    """The configuration of a run, without its arms' changes.

    Raises:
        ConfigError: It is not there, or cannot be read.
    """
    import yaml

    try:
        found = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(
            f"{folder} holds no config.yaml that can be read.", hint="Name the folder of a run."
        ) from error
    assert isinstance(found, dict), "a run has written it"
    return found


def nodes(
    known: Composer,
    config: Mapping[str, Any],
    labels: Sequence[str],
    group: str,
    beside: Sequence[str] = (),
) -> Iterator[tuple[str, dict[str, Any]]]:
    """What each arm chose of a group, by its label.

    Args:
        known: Composes what arms say.
        config: Of the run.
        labels: Of its arms; they count where the run named none.
        group: Such as 'strategy'.
        beside: Other groups whose choices stand in the same node.
    """
    arms = {label: items for label, items in (config.get("arms") or {}).items() if items}
    if not arms:
        yield from ((label, dict(config[group])) for label in labels)
        return
    own = (group, *beside)
    for label, items in arms.items():
        for point, swept in known.expand([str(item) for item in items], multirun=True):
            mine = [o for o in point if o.partition("=")[0].split(".")[0] in own]
            if any(o.startswith(f"{group}=") for o in mine):
                node = known.compose(mine)[group]
            else:
                whole = OmegaConf.create({group: config[group]})
                for override in known.parse(mine):
                    OmegaConf.update(whole, str(override.get_key_element()), override.value())
                node = whole[group]
            found = OmegaConf.to_container(node, resolve=True)
            assert isinstance(found, dict)
            yield " ".join([str(label), *map(short, swept)]), {str(k): v for k, v in found.items()}
