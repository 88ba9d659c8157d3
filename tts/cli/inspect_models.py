"""The model provider `tts` of Inspect: `inspect eval TASK --model tts/MODEL -M strategy=best_of_n`.

What stands behind -M (or in the file of
--model-config) are overrides as on our own command line, one each. MODEL is the choice for `model`.
Of the task only the format of answers and `max_tokens` are used: the questions are Inspect's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from inspect_ai.model import GenerateConfig

from tts.budget.limits import TOTAL, is_unlimited
from tts.cli.arguments import Arguments
from tts.cli.build import build, integer
from tts.cli.jobs import ArmConfig, compose_jobs
from tts.cli.workshop import Workshop
from tts.errors import ConfigError
from tts.integrations.inspect import StrategyModel
from tts.solve import Setup
from tts.tasks import MathAnswers

_WORD = re.compile(r"[A-Za-z_][\w./-]*")
_TAKEN = ("true", "false", "null", "inf", "nan")


class ConfiguredModel(StrategyModel):
    """A model that answers by a configured search.

    Args:
        model_name: Choice for the group `model`: a name of it, a path or a hub name.
        base_url: Not used; say `backend.base_url`.
        api_key: Not used; say `backend.api_key_env`.
        config: Inspect's settings.
        **model_args: Overrides by their keys; `arm` names one of an experiment's arms.

    Raises:
        ConfigError: Something cannot be used; nothing was spent.
    """

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig | None = None,
        **model_args: Any,
    ) -> None:
        if base_url or api_key:
            raise ConfigError(
                "A base URL or key given to Inspect does not reach the backend.",
                hint="Say -M backend=openai -M backend.base_url=... -M backend.api_key_env=...",
            )
        label = model_args.pop("arm", None)
        arm = _arm([f"model={model_name}", *overrides(model_args)], label)
        most = integer(arm.config, "concurrency", 1)
        super().__init__(lambda: _setup(arm), model_name, config=config, connections=most)


def overrides(arguments: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Arguments of a model as overrides; mappings within them are taken apart."""
    for key, value in arguments.items():
        if isinstance(value, Mapping):
            yield from overrides(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}={_written(value)}"


def _written(value: Any) -> str:
    """A value in Hydra's grammar."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_written, value))}]"
    if isinstance(value, str) and (value.lower() in _TAKEN or not _WORD.fullmatch(value)):
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        return f"'{escaped}'"
    return str(value)


def _arm(words: list[str], label: str | None) -> ArmConfig:
    """The one configuration that is meant."""
    arms = {arm.label: arm for arm in compose_jobs(Arguments(tuple(words)))[0].arms}
    if label is None and len(arms) == 1:
        return next(iter(arms.values()))
    if label not in arms:
        raise ConfigError(
            f"There is no arm {label!r}." if label else "The experiment has several arms.",
            hint=f"Choose one with -M arm=...: {', '.join(arms)}.",
        )
    return arms[label]


def _setup(arm: ArmConfig) -> Setup:
    """How problems are solved, with answers as the chosen task has them."""
    if integer(arm.config, "repeats", 1) > 1:
        raise ConfigError("Inspect repeats samples itself.", hint="Say --epochs, not repeats.")
    if not is_unlimited(build(TOTAL, arm.config[TOTAL])):
        raise ConfigError(
            "total_budget means nothing here: nobody knows how many questions there will be.",
            hint="Say budget.... for each question, or Inspect's --cost-limit.",
        )
    task = {"max_tokens": 1024, **arm.config["task"]}
    answers = build("task.answers", task.get("answers")) or MathAnswers()
    return Workshop().setup(arm.config, answers, integer(task, "max_tokens", 1))
