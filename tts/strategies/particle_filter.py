"""Particle filtering over steps: answers are drawn in proportion to how good they look.

Source: Puri et al. 2025, "Rollout Roulette: A Probabilistic Inference Approach to Inference-Time
Scaling of LLMs using Particle-Based Monte Carlo Methods". A particle is a partial answer. All take
a step, all are judged, and `n` of them are drawn with replacement by their weights, to go on. A
search that keeps the best scores believes its verifier; this one forgives it its errors.

The potential of an answer is the odds of its score to the power of `1 / temperature`, so that
normalised potentials are a softmax of logits. Probabilities are clipped to [1e-7, 1 - 1e-7]. Logits
are taken as they are, and so is an unbounded reward r: its potential is exp(r / temperature), as in
reinforcement learning with that reward and a price on leaving the model. The two modes:

- `reference`, as published: the potential of the newest score *is* the weight. An answer that has
  ended keeps its own, and takes part in every further draw.
- `exact`: a step multiplies the weight by the new potential over the one before, and a draw makes
  all weights equal to their mean. An answer that has ended keeps its weight. So no step counts
  twice: the particles stand for the posterior p(answer) potential(answer) / Z whenever one
  resamples. Their mean weight is an unbiased estimate of Z, the model's expectation of the
  potential; its logarithm is none of log Z. See Del Moral, Doucet & Jasra 2006, "Sequential Monte
  Carlo Samplers".

An answer that can no longer end has the potential 0: no step or no token is left to it, or the
budget could not pay its step. It is never drawn; others take its place when one resamples.

The published code resamples once more after the last step. Here the last weights choose the answer:
a draw by weights from what was just drawn by them would count them twice.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from tts.errors import ConfigError
from tts.protocols import Env, VerifierContext
from tts.selectors import BestScore
from tts.strategies._resampling import RESAMPLERS, effective_size, log_mean, normalised
from tts.strategies._steps import STEPWISE, Harvest, Stepper, check_width, side_by_side
from tts.types import Candidate, Capability, Problem, Result, Score, Trajectory, Usage

CLIP = 1e-7
Mode = Literal["reference", "exact"]
Resampling = Literal["multinomial", "systematic", "residual", "stratified"]
Final = Literal["argmax", "draw", "vote"]


@dataclass(frozen=True, slots=True)
class Particle:
    """A partial answer.

    Attributes:
        node: The answer so far.
        potential: Natural logarithm of its potential.
        weight: Natural logarithm of its weight.
        open: Whether it takes further steps.
    """

    node: Trajectory
    potential: float = 0.0
    weight: float = 0.0
    open: bool = True


@dataclass(frozen=True)
class ParticleFilter:
    """Particle filtering.

    `Result.details` tells of each step the effective sample size after it (`ess`, 0 to `n`) and
    whether it was followed by resampling (`resampled`); of each candidate the share of its copies
    in the final weights (`weights`, 0 if it has died out); and in the mode `exact` the logarithm of
    the estimate of Z (`log_normaliser`; None if the estimate is 0). A budget that runs dry makes
    that one too small.

    Args:
        n: Particles, at least 1.
        mode: How scores become weights; see the module.
        resampling: How particles are drawn. `multinomial` is the published default, the others
            stray less from the weights.
        ess_threshold: Resample where the effective sample size is below this share of `n`, above
            0 and at most 1; None or 1 after every step, as `reference` must.
        temperature: Divides the logits, above 0. Large for weights that are nearly equal.
        final: The answer is that of the particle with the best score (`argmax`), of one drawn by
            the final weights (`draw`), or that with most weight over all particles (`vote`).
        stepper: What ends a step.
    """

    n: int = 8
    mode: Mode = "reference"
    resampling: Resampling = "multinomial"
    ess_threshold: float | None = None
    temperature: float = 1.0
    final: Final = "argmax"
    stepper: Stepper = Stepper()
    requires: frozenset[Capability] = STEPWISE

    def __post_init__(self) -> None:
        check_width("n", self.n)
        for name, known in (("mode", Mode), ("resampling", Resampling), ("final", Final)):
            if (value := getattr(self, name)) not in get_args(known):
                raise ConfigError(
                    f"strategy.{name} is {value!r}.", hint=f"Take one of {get_args(known)}."
                )
        if not 0 < self.temperature < math.inf:
            raise ConfigError(
                f"strategy.temperature is {self.temperature:g}; it must be finite and above 0."
            )
        self._check_threshold()

    def _check_threshold(self) -> None:
        if self.ess_threshold is None or self.ess_threshold == 1:
            return
        if not 0 < self.ess_threshold < 1:
            raise ConfigError(
                f"strategy.ess_threshold is {self.ess_threshold:g}; it must lie in (0, 1]."
            )
        if self.mode == "reference":
            raise ConfigError(
                f"strategy.ess_threshold is {self.ess_threshold:g}, and replacing weights is right"
                " only where one resamples after every step.",
                hint="Set strategy.mode=exact, or leave the threshold out.",
            )

    @property
    def first_step(self) -> Usage:
        """A token and a judgement for each particle."""
        return Usage(completion_tokens=self.n, calls=self.n, verifier_calls=self.n)

    async def __call__(self, problem: Problem, env: Env) -> Result:
        """Step, weigh and resample until no particle is open; then choose."""
        harvest = Harvest(env, BestScore())
        particles = [Particle(Trajectory.root())] * self.n
        sizes: list[float] = []
        resampled: list[bool] = []
        now = 0
        while any(p.open for p in particles):
            moved = await self._step(problem, env, particles, now, len(sizes) + 1)
            now = max(p.node.clock for p in moved)
            await harvest.add(*self._ended(particles, moved))
            sizes.append(effective_size([p.weight for p in moved]))
            resampled.append(any(p.open for p in moved) and self._uneven(sizes[-1]))
            rng = env.rng("resample", len(sizes))
            particles = self._resample(moved, rng) if resampled[-1] else moved
        weights = shares(particles, harvest.candidates)
        details: dict[str, Any] = {"ess": sizes, "resampled": resampled, "weights": weights}
        if self.mode == "exact":
            estimate = log_mean([p.weight for p in particles])
            details["log_normaliser"] = estimate if estimate > -math.inf else None
        best = await self._choose(env, harvest.candidates, weights)
        return Result(problem.id, best, harvest.candidates, details=details)

    async def _step(
        self, problem: Problem, env: Env, particles: Sequence[Particle], now: int, number: int
    ) -> list[Particle]:
        """The `number`-th step of the open particles, begun at time `now`; all are weighed."""
        nodes = [p.node for p in particles if p.open]
        drawn = await side_by_side(env, problem, self.stepper, nodes, after=now)
        children = map(drawn.get, range(len(nodes)))
        last = number == self.stepper.max_steps
        moved: list[Particle] = []
        for particle in particles:
            if not particle.open:
                moved.append(self._waited(particle))
            elif (child := next(children)) is None:
                moved.append(replace(particle, potential=-math.inf, weight=-math.inf, open=False))
            else:
                room = 0 if last else self.stepper.room(env, problem, child)
                moved.append(self._moved(particle, child, room))
        return moved

    def _waited(self, particle: Particle) -> Particle:
        """A particle that takes no step, weighed."""
        if self.mode == "exact":
            return particle
        return replace(particle, weight=particle.potential)

    def _moved(self, particle: Particle, child: Trajectory, room: int) -> Particle:
        """A particle after its step, weighed; it has room for as many more tokens."""
        alive = room > 0 or self.stepper.finished(child)
        potential = self._potential(child) if alive else -math.inf
        weight = potential
        if self.mode == "exact":
            weight += particle.weight - particle.potential
        return Particle(child, potential, weight, room > 0)

    def _potential(self, node: Trajectory) -> float:
        """Natural logarithm of the potential of a judged answer."""
        assert node.score is not None, "steps are judged when they are drawn"
        return logit(node.score) / self.temperature

    def _ended(self, before: Sequence[Particle], after: Sequence[Particle]) -> list[Trajectory]:
        """The answers that came to their end in a step."""
        pairs = zip(before, after, strict=True)
        return [p.node for old, p in pairs if old.open and self.stepper.finished(p.node)]

    def _uneven(self, size: float) -> bool:
        """Whether weights of this effective sample size are to be evened out by resampling."""
        share = 1.0 if self.ess_threshold is None else self.ess_threshold
        return share == 1 or size < share * self.n

    def _resample(self, particles: Sequence[Particle], rng: random.Random) -> list[Particle]:
        """As many particles, drawn by weight; all weigh the mean."""
        logs = [p.weight for p in particles]
        chosen = RESAMPLERS[self.resampling](normalised(logs), self.n, rng)
        return [replace(particles[i], weight=log_mean(logs)) for i in chosen]

    async def _choose(
        self, env: Env, candidates: Sequence[Candidate], weights: Sequence[float]
    ) -> Candidate | None:
        """The answer among those that have not died out; None if there is none."""
        pairs = zip(candidates, weights, strict=True)
        alive = {c: weight for c, weight in pairs if c.answer and weight}
        if self.final == "draw" and alive:
            return env.rng("final").choices(list(alive), list(alive.values()))[0]
        return await env.choose(Vote(alive) if self.final == "vote" else BestScore(), list(alive))


def logit(score: Score) -> float:
    """The score on the scale of logits, finite; an unbounded reward stands for one."""
    if score.scale != "probability":
        return score.raw
    chance = min(max(score.raw, CLIP), 1 - CLIP)
    return math.log(chance / (1 - chance))


def shares(particles: Sequence[Particle], candidates: Sequence[Candidate]) -> list[float]:
    """The share of each candidate's copies in the weights of all particles."""
    copies: defaultdict[Trajectory, list[float]] = defaultdict(list)
    for particle, share in zip(particles, normalised([p.weight for p in particles]), strict=True):
        copies[particle.node].append(share)
    return [math.fsum(copies[candidate.trajectory]) for candidate in candidates]


@dataclass(frozen=True)
class Vote:
    """Selector: each candidate weighs as much as all that have its answer.

    Attributes:
        weights: Of each candidate.
    """

    weights: Mapping[Candidate, float]
    requires: frozenset[Capability] = frozenset()
    asks: bool = False

    async def weigh(
        self, problem: Problem, candidates: Sequence[Candidate], ctx: VerifierContext
    ) -> list[float]:
        """Sum of the weights of candidates with the same answer."""
        keys = [candidate.answer.key if candidate.answer else None for candidate in candidates]
        votes: defaultdict[str | None, list[float]] = defaultdict(list)
        for key, candidate in zip(keys, candidates, strict=True):
            votes[key].append(self.weights[candidate])
        return [-math.inf if key is None else math.fsum(votes[key]) for key in keys]
