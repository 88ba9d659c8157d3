"""Which scheme to take: predictions of all of them, accuracy kept against cost, and reasons.

Pure. Cost is the machine's time for a problem, or dollars where its price is known. What is known
of accuracy is in `tts.advice.accuracy`; of a scheme of which nothing is known the cost is shown,
and it is never recommended.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from tts.advice.accuracy import CACHES, Recovery
from tts.advice.plans import Plan
from tts.advice.prediction import Prediction, predict
from tts.advice.workload import Workload
from tts.engine.machine import Efficiency, Machine
from tts.engine.shape import Shape
from tts.evaluation.pareto import front

_HIGH_END = 1.5e12  # bytes a second for each device: A100 and better
_ALIKE = 0.05  # costs that differ by less are no reason to lose accuracy
_SINGLE = 1.5  # answers in flight: fewer are a single stream


@dataclass(frozen=True, slots=True)
class Case:
    """What advice is asked for.

    Attributes:
        shape: Of the model.
        machine: Where it is to run.
        efficiency: What the engine makes of the machine.
        workload: What is asked of it.
        keep: Least share of the accuracy that must be kept, 0 to 1.
        usd_per_hour: Price of the machine, all devices; None if unknown.
        block: Tokens in a block of the cache.
        sequences: Most answers that the engine takes at once, memory aside.
    """

    shape: Shape
    machine: Machine
    efficiency: Efficiency
    workload: Workload
    keep: float = 0.98
    usd_per_hour: float | None = None
    block: int = 32
    sequences: float = math.inf


@dataclass(frozen=True, slots=True)
class Row:
    """One plan.

    Attributes:
        plan: Scheme and cache.
        found: What it makes of the workload.
        kept: How much of the accuracy it keeps; None if nobody knows.
        usd: Dollars a problem; None if the machine's price is unknown.
        best: Whether no other plan keeps as much for less.
    """

    plan: Plan
    found: Prediction
    kept: Recovery | None
    usd: float | None
    best: bool = False

    @property
    def fits(self) -> bool:
        """Whether at least one answer fits."""
        return self.found.in_flight >= 1


@dataclass(frozen=True, slots=True)
class Advice:
    """What came of it.

    Attributes:
        rows: All plans: those on the front by rising cost, then the others.
        chosen: The one to take: the cheapest that keeps enough, or one that keeps more for about as
            much; None if none fits that keeps enough.
        reasons: Why, in sentences.
    """

    rows: tuple[Row, ...]
    chosen: Row | None
    reasons: tuple[str, ...]


def advise(case: Case, plans: Sequence[Plan], known: Mapping[str, Recovery]) -> Advice:
    """Predict all plans, and choose a cheap one that keeps enough of the accuracy.

    Args:
        case: What is asked.
        plans: Those that the machine can run.
        known: How much of the accuracy schemes keep, by name.
    """
    rows = [_row(case, plan, known) for plan in plans]
    judged = [i for i, row in enumerate(rows) if row.fits and row.kept is not None]
    points = [(rows[i].found.machine_seconds, _share(rows[i])) for i in judged]
    best = {judged[place] for place in front(points)}
    marked = [replace(row, best=i in best) for i, row in enumerate(rows)]
    marked.sort(key=lambda row: (not row.best, not row.fits, row.found.machine_seconds))
    chosen = _chosen([row for row in marked if row.fits and _share(row) >= case.keep])
    return Advice(tuple(marked), chosen, tuple(_reasons(case, marked, chosen)))


def _chosen(rows: Sequence[Row]) -> Row | None:
    """The cheapest, or what keeps most of those that cost as much as far as one can predict."""
    least = min((row.found.machine_seconds for row in rows), default=math.inf)
    alike = [row for row in rows if row.found.machine_seconds <= (1 + _ALIKE) * least]
    return max(alike, key=lambda row: (_share(row), -row.found.machine_seconds), default=None)


def _row(case: Case, plan: Plan, known: Mapping[str, Recovery]) -> Row:
    model = plan.loaded(case.shape, case.machine.hardware)
    found = predict(model, case.machine, case.workload, case.efficiency, case.block, case.sequences)
    price = case.usd_per_hour
    scheme, cache = known.get(plan.scheme.name), CACHES.get(plan.cache.name)
    return Row(
        plan,
        found,
        scheme * cache if scheme and cache else None,
        None if price is None else price * found.machine_seconds / 3600,
    )


def _share(row: Row) -> float:
    return row.kept.share if row.kept else -math.inf


def _reasons(case: Case, rows: Sequence[Row], chosen: Row | None) -> Iterator[str]:
    """Why, and what else the user should know."""
    if chosen is None:
        yield _nothing(case, rows)
        return
    found, kept = chosen.found, chosen.kept
    assert kept is not None
    said = (
        f"Take {chosen.plan.name}: of what keeps {case.keep:.0%} of the accuracy or more it costs"
        f" least, {found.tokens_per_second:,.0f} tokens a second"
    )
    whole = [row for row in rows if row.fits and row.plan.whole and row is not chosen]
    plain = max(whole, key=lambda row: row.found.tokens_per_second, default=None)
    if plain is not None:
        ratio = found.tokens_per_second / plain.found.tokens_per_second
        said += f", {ratio:.2f} times those of {plain.plan.name}"
    yield f"{said}."
    yield f"Accuracy kept: {kept.share:.1%} ({kept.source})."
    yield _bound(found)
    if found.in_flight < case.workload.concurrency:
        memory = found.in_flight < case.sequences
        yield (
            f"{'Memory holds' if memory else 'The engine takes'} {found.in_flight:,.0f} answers at"
            f" once{'' if memory else ' (max_num_seqs)'}; of the"
            f" {case.workload.concurrency:,.0f} that were asked for the others wait."
        )
    yield from _rule(case, chosen)


def _nothing(case: Case, rows: Sequence[Row]) -> str:
    """Why nothing is recommended."""
    if not any(row.fits for row in rows):
        least = min(row.found.memory.need for row in rows)
        return (
            f"Nothing fits: {case.machine.name} has {rows[0].found.memory.room:.1f} GiB for the"
            f" model and its cache, and at least {least:.1f} are needed."
        )
    return (
        f"Nothing that fits is known to keep {case.keep:.0%} of the accuracy; measure with"
        " `tts quantize` and give its card, or lower --keep."
    )


def _bound(found: Prediction) -> str:
    """What the time goes into."""
    cycle = found.cycle
    parts = {
        "arithmetic": cycle.compute,
        "memory": cycle.bandwidth,
        "the engine's own work": cycle.overhead,
    }
    shares = sorted(parts.items(), key=lambda part: -part[1])
    words = [f"{value / cycle.total:.0%} {name}" for name, value in shares]
    return f"Its time is {words[0]}, {words[1]} and {words[2]}."


def _rule(case: Case, chosen: Row) -> Iterator[str]:
    """The rule of thumb for GPUs, and whether it agrees."""
    hardware = case.machine.hardware
    if not hardware.is_cuda:
        return
    if case.workload.concurrency < _SINGLE:
        when, bits, name = "a single stream", 4, "W4A16"
    elif case.machine.bandwidth / hardware.cuda_devices < _HIGH_END:
        when, bits, name = "many streams on a mid-tier GPU", 4, "W4A16"
    else:
        when, bits, name = "many streams on a high-end GPU", 8, "W8A8"
    agrees = int(chosen.plan.scheme.weight_bits) == bits
    yield (
        f"The rule of thumb for {when} is {name} (Kurtic et al. 2024); this advice"
        f" {'agrees' if agrees else 'differs, by the figures above and the accuracy asked for'}."
    )
