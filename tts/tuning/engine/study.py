"""What has been tried, kept on the disk as soon as it is there; Optuna proposes what comes next.

The truth is Optuna's journal in the folder. A trial that was under way when the search was ended is
proposed again first. Points are proposed by a tree-structured Parzen estimator (Bergstra et al.
2011) that takes the knobs together, after some at random; its draws derive from the seed and from
the number of trials before. A point is measured once: proposals that came before are answered from
what is known, and the estimator is asked again.
"""

from __future__ import annotations

import itertools
import json
import random
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tts.errors import ConfigError
from tts.tuning.engine.knobs import Knob, Point, Value
from tts.tuning.engine.tried import Tried

if TYPE_CHECKING:
    from optuna import Study as OptunaStudy
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial, Trial

JOURNAL = "trials.journal"
_LOCK = ".lock"
_NAME = "tts"
_AT_RANDOM = 8  # points before the estimator has a say
_PATIENCE = 20  # proposals that were known already, before one is drawn at random
_LISTED = 20_000  # points of a space that are listed to find those left


class Study:
    """A search in its folder; use it as a block.

    Args:
        folder: For its files.
        identity: What decides the measurements, of JSON types; a search with another one is moved
            to `earlier/` in the folder.
        knobs: That are turned.
        seed: Of the proposals.

    Attributes:
        moved: Where another search was moved, if one was in the way.
        continued: Number of trials that were there already.
    """

    def __init__(
        self, folder: Path, identity: Mapping[str, Any], knobs: Sequence[Knob], seed: int
    ) -> None:
        self.folder = folder
        self.moved: Path | None = None
        self.continued = 0
        self._identity = json.loads(json.dumps(identity))
        self._knobs, self._seed = tuple(knobs), seed
        self._known: dict[str, Tried] = {}  # by point
        self._under_way: Trial | None = None

    def __enter__(self) -> Self:
        """Open, or begin.

        Raises:
            ConfigError: Another process writes to the folder, it cannot be written to, something
                else is in it, or Optuna is missing.
        """
        from filelock import FileLock, Timeout

        _check_library()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(self.folder / _LOCK, timeout=0)
            self._lock.acquire()
        except Timeout:
            raise ConfigError(
                f"Another search is writing to {self.folder}.", hint="Choose another --out."
            ) from None
        except OSError as error:
            raise ConfigError(
                f"The folder {self.folder} cannot be written to: {error.strerror}.",
                hint="Choose another --out.",
            ) from error
        try:
            self._open()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    @property
    def tried(self) -> list[Tried]:
        """All trials that ended, without the references."""
        return [Tried.of(document) for document in self._documents()]

    def reference(self, name: str) -> Tried | None:
        """What came of a reference, if it was measured."""
        found = self._study.user_attrs.get(f"reference {name}")
        return Tried.of(found) if found else None

    def keep_reference(self, tried: Tried, at: Point | None = None) -> None:
        """Keep what came of a reference.

        Args:
            tried: That.
            at: Where it lies among the points that can be proposed, if it does.
        """
        self._study.set_user_attr(f"reference {tried.name}", asdict(tried))
        parameters = self._parameters(at) if at is not None and tried.ratios else None
        if parameters is None:
            return
        from optuna.trial import create_trial

        known = create_trial(
            params=parameters, distributions=self._distributions, value=tried.ratio
        )
        self._study.add_trial(known)

    @property
    def rounds(self) -> list[dict[str, float]]:
        """The rounds of the contest, and who takes part by the names in them."""
        return list(self._study.user_attrs.get("rounds", []))

    def keep_rounds(self, rounds: Sequence[Mapping[str, float]]) -> None:
        """Keep the rounds of the contest."""
        self._study.set_user_attr("rounds", [dict(each) for each in rounds])

    def suggest(self, points: Sequence[Point]) -> None:
        """Have points proposed before all others, unless the search has begun already.

        Args:
            points: Values of knobs; those of knobs that are left out are drawn at random.
        """
        from optuna.trial import TrialState

        begun = (TrialState.RUNNING, TrialState.WAITING, TrialState.PRUNED)
        if self._known or self._study.get_trials(deepcopy=False, states=begun):
            return
        for point in points:
            self._study.enqueue_trial(self._words(point))

    def propose(self) -> Point | None:
        """A point that has not been tried; None if there is none left."""
        for _ in range(_PATIENCE):
            trial = self._study.ask(self._distributions)
            point = self._point(trial.params)
            known = self._known.get(_key(point))
            if known is None:
                self._under_way = trial
                return point
            self._tell(trial, known)
        left = self._left()
        if left is None:
            return None
        self._study.enqueue_trial(self._parameters(left) or {})
        self._under_way = self._study.ask(self._distributions)
        return left

    def keep(self, tried: Tried) -> None:
        """Keep what came of the point that was proposed last."""
        trial, self._under_way = self._under_way, None
        assert trial is not None
        trial.set_user_attr("tried", asdict(tried))
        self._tell(trial, tried)
        self._known[_key(tried.point)] = tried

    def _open(self) -> None:
        journal = self.folder / JOURNAL
        others = [p for p in self.folder.iterdir() if p.name not in (_LOCK, "earlier")]
        if others and not journal.exists():
            raise ConfigError(
                f"{self.folder} holds something else than a search for settings.",
                hint="Choose another --out.",
            )
        self._study = _load(journal, self._sampler(0))
        found = self._study.user_attrs.get("identity")
        if found not in (None, self._identity):
            self.moved = self._move_aside()
            self._study = _load(journal, self._sampler(0))
        self._study.set_user_attr("identity", self._identity)
        self._distributions = {knob.name: _distribution(knob) for knob in self._knobs}
        self._recover()
        self.continued = len(self._known)
        self._study.sampler = self._sampler(len(self._study.trials))

    def _recover(self) -> None:
        """Take up what is known, and propose again what was under way."""
        from optuna.trial import TrialState

        for trial in self._study.get_trials(deepcopy=False):
            if "tried" in trial.user_attrs:
                tried = Tried.of(trial.user_attrs["tried"])
                self._known[_key(tried.point)] = tried
        for trial in self._study.get_trials(states=(TrialState.RUNNING,)):
            self._study.tell(trial.number, state=TrialState.FAIL)
            self._study.enqueue_trial(trial.params)

    def _documents(self) -> Iterator[Mapping[str, Any]]:
        trials: list[FrozenTrial] = self._study.get_trials(deepcopy=False)
        return (t.user_attrs["tried"] for t in trials if "tried" in t.user_attrs)

    def _sampler(self, before: int) -> Any:
        from optuna.samplers import TPESampler

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that several knobs at once are an experiment
            return TPESampler(
                seed=self._seed + before, multivariate=True, n_startup_trials=_AT_RANDOM
            )

    def _tell(self, trial: Trial, tried: Tried) -> None:
        """Tell the estimator. What was not measured counts as worse than all that was."""
        from optuna.trial import TrialState

        if tried.status == "measured":
            self._study.tell(trial, tried.ratio)
            return
        for step, value in enumerate(tried.ratios):
            trial.report(value, step)
        self._study.tell(trial, state=TrialState.PRUNED)

    def _point(self, parameters: Mapping[str, Any]) -> dict[str, Value]:
        return {
            knob.name: knob.values[parameters[knob.name]] if knob.ordered else parameters[knob.name]
            for knob in self._knobs
        }

    def _parameters(self, point: Point) -> dict[str, Any] | None:
        """A point in Optuna's words; None if it is not among those that can be proposed."""
        found = self._words(point)
        return found if len(found) == len(self._knobs) else None

    def _words(self, point: Point) -> dict[str, Any]:
        """What of a point can be proposed, in Optuna's words."""
        return {
            knob.name: knob.values.index(point[knob.name]) if knob.ordered else point[knob.name]
            for knob in self._knobs
            if knob.name in point and point[knob.name] in knob.values
        }

    def _left(self) -> Point | None:
        """One of the points that have not been tried, at random."""
        rng = random.Random(f"{self._seed} {len(self._known)}")
        lists = [knob.values for knob in self._knobs]
        names = [knob.name for knob in self._knobs]
        combined = itertools.islice(itertools.product(*lists), _LISTED)
        points = (dict(zip(names, values, strict=True)) for values in combined)
        left = [point for point in points if _key(point) not in self._known]
        return rng.choice(left) if left else None

    def _move_aside(self) -> Path:
        places = (self.folder / "earlier" / str(n) for n in itertools.count(1))
        place = next(p for p in places if not p.exists())
        place.mkdir(parents=True)
        for path in list(self.folder.iterdir()):
            if path.name not in ("earlier", _LOCK):
                shutil.move(path, place / path.name)
        return place


def size(knobs: Sequence[Knob]) -> int:
    """How many points there are."""
    count = 1
    for knob in knobs:
        count *= len(knob.values)
    return count


def _check_library() -> None:
    try:
        import optuna  # noqa: F401  which takes a second
    except ImportError as error:
        raise ConfigError(
            "tts tune proposes settings with Optuna, which is not installed.",
            hint="Install it: pip install 'tts-scaling[tune]'.",
        ) from error


def _load(journal: Path, sampler: Any) -> OptunaStudy:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = JournalStorage(JournalFileBackend(str(journal)))
    return optuna.create_study(
        storage=storage,
        study_name=_NAME,
        direction="maximize",
        sampler=sampler,
        load_if_exists=True,
    )


def _distribution(knob: Knob) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, IntDistribution

    if knob.ordered:  # their places, as neighbours are alike whatever the step between them
        return IntDistribution(0, len(knob.values) - 1)
    return CategoricalDistribution(knob.values)


def _key(point: Point) -> str:
    return json.dumps(point, sort_keys=True)
