"""What a `tts tune-sampling` comes to: tunings with their candidates; checked, and not begun."""

from __future__ import annotations

import copy
import json
import re
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tts.backends.replay import ReplayBackend
from tts.backends.vllm import VLLMBackend
from tts.cli._sampling_words import read_axes, read_prompts
from tts.cli._tuned import TunedFor, short_hash
from tts.cli.arguments import Arguments
from tts.cli.jobs import ArmConfig, Job, compose_jobs
from tts.cli.workshop import Work, Workshop
from tts.errors import ConfigError
from tts.evaluation.runner import Arm
from tts.protocols import Backend
from tts.tasks import Task
from tts.tasks.task import fingerprint
from tts.tuning.sampling.contest import Entrant
from tts.tuning.sampling.halving import Halving
from tts.tuning.sampling.objective import check_samples, most_tokens, samples_of
from tts.tuning.sampling.parts import split
from tts.tuning.sampling.space import OWN, Candidate, Point, Space, is_deterministic, space
from tts.types import Sampling

_FOREIGN = ("tracker", "tracing", "total_budget")  # parts of a run that a tuning has no use for


@dataclass(frozen=True)
class Tuning:
    """One model, scheme, strategy and task, and what is tried on them.

    Attributes:
        name: Of its folder and its configuration.
        title: For people.
        about: What the result will hold for.
        job: Its configuration; the folder is that of the tuning.
        space: The candidates.
        entrants: By label, on the pilot.
        held_out: By label, on the held-out problems.
        halving: Makes a new contest of them.
        prompts: By name, the fields of the task's prompt.
        notes: What must be said beside the result.
        words: Of `tts run` as typed, without those that were swept.
    """

    name: str
    title: str
    about: TunedFor
    job: Job
    space: Space
    entrants: Mapping[str, Entrant]
    held_out: Mapping[str, Work]
    halving: Callable[[], Halving]
    prompts: Mapping[str, Mapping[str, Any]]
    notes: tuple[str, ...]
    words: tuple[str, ...]

    @property
    def backend(self) -> Backend:
        """Whose answers these are."""
        return next(iter(self.held_out.values())).arm.setup.backend


def order(command: Arguments, spanning: Sequence[str], options: Namespace) -> list[Tuning]:
    """Check all that was asked for.

    Args:
        command: The words of `tts run`.
        spanning: The words that span the space.
        options: Of the command line.

    Raises:
        ConfigError: Something about it cannot be used; nothing was spent.
    """
    for word in command.overrides:
        name, _, values = word.lstrip("+").partition("=")
        if name == "task.n_problems":
            raise ConfigError(
                f"{word}: --pilot and --held-out say how many problems there are.",
                hint="Leave it out.",
            )
        if name.startswith("model.sampling.") and "," in values:
            raise ConfigError(
                f"{word}: several values of the sampling are compared as sampling.FIELD=A,B.",
                hint=f"Write {word.removeprefix('model.')}.",
            )
    jobs = compose_jobs(replace(command, multirun=True))
    axes, prompts = read_axes(spanning)
    variants = read_prompts(options.prompts, prompts)
    maker = _Maker(Workshop(), axes, prompts, variants, options)
    found = [maker.tuning(job, command.overrides) for job in jobs]
    counts, seen = Counter(each.name for each in found), Counter[str]()
    unique = []
    for each in found:
        seen[each.name] += 1
        name = each.name if counts[each.name] == 1 else f"{each.name}-{seen[each.name]}"
        title = " ".join([each.title, *each.job.swept]) if counts[each.name] > 1 else each.title
        job = replace(each.job, folder=options.out / name)
        unique.append(replace(each, name=name, title=title, job=job))
    return unique


class _Maker:
    """Makes tunings of jobs; equal parts are made once."""

    def __init__(
        self,
        workshop: Workshop,
        axes: Mapping[str, tuple[float, ...]],
        prompts: tuple[str, ...],
        variants: Mapping[str, Mapping[str, Any]],
        options: Namespace,
    ) -> None:
        self._workshop, self._options = workshop, options
        self._axes, self._prompts, self._variants = axes, prompts, variants

    def tuning(self, job: Job, words: Sequence[str]) -> Tuning:
        """The tuning of a job.

        Raises:
            ConfigError: Something cannot be used, or there is nothing to choose from.
        """
        arm = self._sized(job)
        job = replace(job, config=arm.config, sweep=None)
        work = self._workshop.work(job, arm)
        _refuse_foreign(work.arm, arm.config)
        setup, options = work.arm.setup, self._options
        if options.samples is not None:
            check_samples(setup.strategy, options.samples)
        recommended = _recommended(setup.backend)
        found = space(setup.sampling, self._axes, self._prompts, setup.strategy, recommended)
        parts = split(work.task, options.pilot, options.held_out)
        k, entrants, held_out = samples_of(setup.strategy), {}, {}
        for each in found.candidates:
            drawn, judged = self._works(job, arm, each)
            pilot, rest = parts.parts(drawn.task)
            entrants[each.label] = Entrant(drawn.arm, pilot, k, drawn.concurrency)
            held_out[each.label] = replace(judged, task=rest)
        most = options.tokens and max(
            most_tokens(e.arm.setup, e.arm.repeats) for e in entrants.values()
        )

        def halving() -> Halving:
            return Halving(
                list(entrants), options.pilot, eta=options.eta, first=options.first,
                budget=options.tokens, cap=most or 1,
            )  # fmt: skip

        halving()  # which refuses what cannot be
        about = TunedFor.of(setup.backend, work.task.name, setup.strategy)
        twins = f"{parts.twins} held-out problems were left out: the pilot has the same text."
        prompts = {OWN: {}, **self._variants}
        swept = {word.partition("=")[0] for word in job.swept}
        kept = [word for word in words if word.partition("=")[0] not in swept]
        return Tuning(
            _name(about, arm.choices["strategy"]),
            _title(about),
            about,
            job,
            found,
            entrants,
            held_out,
            halving,
            prompts,
            (twins,) if parts.twins else (),
            (*kept, *job.swept),
        )

    def _sized(self, job: Job) -> ArmConfig:
        """The one arm of a job, with as many problems as both parts take."""
        if len(job.arms) > 1:
            raise ConfigError(
                "There are several arms, and a tuning is of one strategy.",
                hint="arms=null leaves an experiment's out.",
            )
        config = copy.deepcopy(dict(job.arms[0].config))
        task, seed = config["task"], config["seed"]
        if "n_problems" in task:
            task["n_problems"] = self._options.pilot + self._options.held_out
        if task.get("shuffle_seed", seed) is None:
            task["shuffle_seed"] = seed  # files are often sorted, and the pilot is their beginning
        return replace(job.arms[0], label="sampling", config=config)

    def _works(self, job: Job, arm: ArmConfig, candidate: Candidate) -> tuple[Work, Work]:
        """A candidate as it is on the pilot, and as it is on the held-out problems."""
        config = copy.deepcopy(dict(arm.config))
        config["model"]["sampling"] = asdict(candidate.point.sampling)
        if fields := self._variants.get(candidate.point.prompt):
            if not isinstance(config["task"].get("prompt"), dict):
                raise ConfigError(
                    f"prompt: the task {config['task'].get('name') or 'chosen'} has no prompt that"
                    " could be another.",
                    hint="Leave prompt= out, or take a task with a task.prompt, such as jsonl.",
                )
            config["task"]["prompt"] |= fields
        told = replace(arm, label=candidate.label, config=config)
        try:
            judged = self._workshop.work(job, told)
        except ConfigError as error:
            if fields:
                raise ConfigError(
                    f"prompt={candidate.point.prompt}: {error.message}", hint=error.hint
                ) from error
            raise
        _check_asks(judged.task, candidate.point)
        samples = self._options.samples
        if samples is None:
            return judged, judged
        config = copy.deepcopy(config)
        same = is_deterministic(candidate.point.sampling)  # one draw tells all
        config["strategy"]["n"] = 1 if same else samples
        return self._workshop.work(job, replace(told, config=config)), judged


def _check_asks(task: Task, point: Point) -> None:
    """Refuse a prompt that asks the same of every problem: its template names no question."""
    asked = {fingerprint(item.problem) for item in task}
    if len(asked) == 1 < len(task):
        raise ConfigError(
            f"prompt={point.prompt}: its template asks the same of every problem.",
            hint="It lacks a field of the problem: write {{ question }} where it belongs.",
        )


def _refuse_foreign(arm: Arm, config: Mapping[str, Any]) -> None:
    """Refuse parts of a run that would do nothing here, or harm."""
    given = {
        "total_budget": arm.total_budget is not None,
        **{name: bool((config.get(name) or {}).get("_target_")) for name in _FOREIGN[:2]},
    }
    for name, is_given in given.items():
        if is_given:
            limit = name == "total_budget"
            raise ConfigError(
                f"{name} means nothing to a tuning.",
                hint="Use --tokens N." if limit else f"Set {name}=none.",
            )


def _recommended(backend: Backend) -> Sampling | None:
    """What the checkpoint's authors recommend; None if they do not, or it is not here.

    Raises:
        ConfigError: The file says nonsense.
    """
    inner = backend.inner if isinstance(backend, ReplayBackend) else backend
    if not isinstance(inner, VLLMBackend):
        return None
    file = inner.engine.config.path / "generation_config.json"
    if not file.is_file():
        return None
    told = json.loads(file.read_text())
    named = {k: told[k] for k in ("temperature", "top_p", "top_k", "min_p") if told.get(k)}
    if not named or told.get("do_sample") is False:
        return None
    try:
        return Sampling(**{"temperature": 1.0, **named})
    except ValueError as error:
        raise ConfigError(f"{file}: {error}.", hint="Correct it, or remove the field.") from None


def _name(about: TunedFor, strategy: str) -> str:
    """Of a tuning: model, scheme, task and strategy, and the weights by their hash."""
    n = about.strategy.partition(" n=")[2]
    weights = short_hash(about.weights or "")
    parts = [*_model(about), about.task, strategy + n, weights]
    return "-".join(re.sub(r"[^\w.-]+", "_", part) for part in parts if part)


def _title(about: TunedFor) -> str:
    return f"{' in '.join(_model(about))}, {about.strategy} on {about.task}"


def _model(about: TunedFor) -> list[str]:
    """Name of the model, and its scheme unless the name says it."""
    name, scheme = Path(about.model).name, about.scheme
    return [name, scheme] if scheme and not name.endswith(scheme) else [name]
