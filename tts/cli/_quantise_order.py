"""What a `tts quantize` comes to: model, recipe, place, data, measurement; checked, and not begun.

Composes configurations as `tts run` does. The model that is measured is a field of the
configuration, so the quantised one is measured under the same with another folder in that field.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from tts.backends.vllm import VLLMBackend
from tts.cli.arguments import Arguments
from tts.cli.build import build
from tts.cli.jobs import Job, compose_jobs
from tts.cli.quantize import Wish
from tts.cli.workshop import Work, Workshop
from tts.engine import bundled, detect, resolve_model
from tts.engine.shape import weights_hash
from tts.errors import ConfigError
from tts.quantize.checkpoint import Checkpoint, read_checkpoint
from tts.quantize.lockfile import read_lock
from tts.quantize.recipes import Recipe, makeable, recipe_for
from tts.quantize.samples import Samples, of_file, of_task
from tts.solve import Setup
from tts.tasks import Task
from tts.types import Problem

N_PROBLEMS = 2000
"""Of a bundled model's task, unless somebody says another number."""


@dataclass(frozen=True)
class Order:
    """All that is asked for.

    Attributes:
        wish: As typed.
        job: The configuration of the measurement.
        name: Of the model, as typed.
        source: The full checkpoint.
        recipe: What is made of it.
        output: Where it belongs.
        samples: Calibration data; None if the recipe needs none.
    """

    wish: Wish
    job: Job
    name: str
    source: Checkpoint
    recipe: Recipe
    output: Path
    samples: Samples | None
    workshop: Workshop

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What decides the new weights."""
        sampling = self.job.config["model"]["sampling"]
        drawn = bool(self.samples and self.samples.problems)
        return {
            "recipe": self.recipe.words(),
            "weights": weights_hash(self.source.path),
            "calibration": self.samples.digest if self.samples else None,
            "sampling": dict(sampling) if drawn else None,
            "seed": self.job.config["seed"] if self.samples else None,
            "packages": read_lock().digest,
        }

    @cached_property
    def full(self) -> Setup:
        """How the full model is asked."""
        task = task_of(self.job)
        return self.workshop.setup(self.job.config, task.answers, task.max_tokens)

    def work(self, label: str, folder: Path | None = None) -> Work:
        """The measurement of the full model, or of a checkpoint in another folder.

        Args:
            label: Of the arm.
            folder: Of the other checkpoint.

        Raises:
            Unsupported: The machine cannot run it.
            ConfigError: Something cannot be used.
        """
        arm = self.job.arms[0]
        config = arm.config if folder is None else _with_model(arm.config, folder)
        return self.workshop.work(self.job, replace(arm, label=label, config=config))


def order(wish: Wish) -> Order:
    """Check a wish.

    Raises:
        ConfigError: Something about it cannot be used.
        Unsupported: llm-compressor does not make the scheme, or not of this model.
    """
    makeable(wish.scheme)
    job = _job(wish)
    name = str(job.config["model"]["name"])
    source = read_checkpoint(resolve_model(name))
    recipe = recipe_for(
        wish.scheme,
        source.widths,
        method=wish.method,
        group=wish.group,
        smooth=wish.smooth,
        narrow=not detect().adds_int8_exactly if wish.narrow is None else wish.narrow,
    )
    short = Path(name).expanduser().resolve().name if Path(name).exists() else name.split("/")[-1]
    output = wish.output or Path("outputs") / "quantised" / f"{short}-{wish.scheme}"
    found = Order(wish, job, name, source, recipe, output, _samples(wish, job, recipe), Workshop())
    if not isinstance(found.full.backend, VLLMBackend):
        raise ConfigError(
            "backend: what is quantised is a checkpoint, and it is measured on the bundled engine.",
            hint="Leave backend= and replay.path= out.",
        )
    return found


def task_of(job: Job) -> Task:
    """The task of the measurement."""
    task: Task = build("task", job.config["task"])
    return task


def _job(wish: Wish) -> Job:
    """The one job that the words compose to."""
    named = {word.lstrip("+~").partition("=")[0] for word in wish.words}
    words = list(wish.words)
    if not {"strategy", "experiment", "arms"} & named:
        words.insert(0, "strategy=greedy")
    given = {"task", "experiment"} & named
    if not given:
        words.insert(0, f"task.n_problems={N_PROBLEMS}")
    jobs = compose_jobs(Arguments(tuple(words)))
    if len(jobs) > 1 or len(jobs[0].arms) > 1:
        raise ConfigError(
            "There are several arms, and a card has one.",
            hint="arms=null leaves an experiment's out.",
        )
    name = jobs[0].config["model"]["name"]
    if wish.evaluate and not given and name not in bundled():
        raise ConfigError(
            f"task: it is not given, and nobody knows what fits {name}.",
            hint="Give task=gsm8k, say; or --no-evaluation.",
        )
    return jobs[0]


def _samples(wish: Wish, job: Job, recipe: Recipe) -> Samples | None:
    """The calibration data that a recipe needs.

    Raises:
        ConfigError: There is none, or too little, or the recipe needs none.
    """
    if not recipe.needs_data:
        if wish.calibration is not None:
            raise ConfigError(
                f"calibration is {wish.calibration}, and {recipe.scheme} by {recipe.method} is made"
                " without data.",
                hint="Leave it out.",
            )
        return None
    where = wish.calibration
    if where is None:
        if job.config["model"]["name"] not in bundled():
            raise ConfigError(
                f"calibration: {recipe.scheme} by {recipe.method} is made with data, and none is"
                " given.",
                hint="Give calibration=FILE.jsonl, with a text, a prompt or messages in each line.",
            )
        where = "mini"
    asked: Sequence[Problem] = ()
    if wish.evaluate:
        asked = [item.problem for item in task_of(job)]
    if Path(where).suffix in (".jsonl", ".json") or "/" in where:
        return of_file(Path(where).expanduser(), wish.samples, asked)
    node = _train_part(where, wish.samples)
    split = f" ({node['split']})" if "split" in node else ""
    return of_task(build("calibration", node), wish.samples, asked, f"{where}{split}")


def _train_part(name: str, samples: int) -> Mapping[str, Any]:
    """The configuration of a task that calibrates: its train part, where it has parts."""
    try:
        (job,) = compose_jobs(Arguments((f"task={name}",)))
    except ConfigError as error:
        raise ConfigError(f"calibration: {error.message}", hint=error.hint) from error
    node = dict(job.config["task"])
    if "split" in node:
        node |= {"split": "train"}
        if node.get("n_problems") is not None:
            node |= {"n_problems": samples}
    return node


def _with_model(config: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    """The same configuration for a checkpoint in another folder."""
    other = copy.deepcopy(dict(config))
    other["model"]["name"] = other["backend"]["model"] = str(folder.absolute())
    return other
