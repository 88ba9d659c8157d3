"""Search trees for tests: those of real searches on a simulated world, and random ones."""

from __future__ import annotations

from hypothesis import strategies as st

import tts
from tts.evaluation import Arm, Names, Store, evaluate
from tts.evaluation.records import ScoreRecord
from tts.evaluation.store import RESULTS, Trees, read
from tts.evaluation.tree_exhibit import Exhibit
from tts.evaluation.trees import NodeRecord, TreeRecord
from tts.solve import Setup
from tts.strategies.beam_search import BeamSearch
from tts.testing import LengthVerifier, World


async def beams(task, folder, **options):
    """Beam search on a task, through the runner, and what it left on the disk as exhibits."""
    setup = Setup(
        strategy=BeamSearch(n=8, width=4),
        backend=World().backend(),
        verifier=LengthVerifier(),
        max_tokens=100,
    )
    names = Names(strategy_name="beam", task=task.name, model="world", backend="simulated")
    arm = Arm("beam", setup, names, **options)
    with Store(folder, {arm.label: arm.expected(task)}) as store:
        await evaluate(task, arm, store=store)
    trees, asked = Trees(folder), {item.problem.id: item.problem.prompt for item in task}
    return [
        Exhibit(trees[record.file_key], record, asked[record.problem_id])
        for record in read(folder / RESULTS)
    ]


async def solved(problem):
    """The result of a beam search, as a user of the library has it."""
    return await tts.solve(
        problem,
        strategy=BeamSearch(n=8, width=4),
        backend=World().backend(),
        verifier=LengthVerifier(),
        max_tokens=100,
    )


@st.composite
def trees(draw, most=15):
    """Any forest, scored here and there, some of its nodes candidates and one of them chosen."""
    size = draw(st.integers(0, most))
    finishes = st.sampled_from([None, "stop", "step", "length", "abort"])
    nodes = tuple(
        NodeRecord(
            parent=draw(st.integers(-1, place - 1)),
            text=draw(st.text(max_size=12)),
            key=str(place),
            origin=draw(st.sampled_from(["model", "injected", "forced"])),
            finish=draw(finishes),
            clock=place,
            score=draw(st.none() | st.floats(0, 1).map(probability)),
        )
        for place in range(size)
    )
    candidates = draw(st.lists(st.integers(-1, size - 1), max_size=5))
    chosen = draw(st.sampled_from(candidates)) if candidates else None
    return TreeRecord(
        configuration="c", problem_id="p", nodes=nodes, candidates=candidates, chosen=chosen
    )


def probability(raw):
    """A score."""
    return ScoreRecord(raw=raw, scale="probability")
