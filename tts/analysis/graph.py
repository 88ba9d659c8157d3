"""The steps of a chain as a graph of networkx, and the share of them that came to nothing.

Edges point back, from a step to what it rests on or looks at, so the graph has no cycles. The
answer rests on every step that concludes it, or, where none does, on the last state of the chain.
A step has failed if the answer does not rest on it: it was taken back, or its branch was left
before it came to the answer.

Source: Feng et al. 2025, "What Characterizes Effective Reasoning?" (failed-step fraction), whose
graph a large model draws. What is here goes by markers and sums alone, and is ours:

* a plain step rests on the one before it;
* a re-check looks at the latest step with the same sum. If its result is another one, that step and
  all that came of it are taken back, and the re-check stands in its place. Otherwise it rests on
  what it looks at, and on the step before it;
* a change of mind starts a branch where its sum can be carried out in the expression that an
  earlier step left, and at the problem where no step is known to leave that.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tts.analysis.conclusions import left_over, sums
from tts.analysis.reading import Chain, Step

if TYPE_CHECKING:
    import networkx as nx

PROBLEM, ANSWER = -1, -2
"""The nodes of the problem and of the final answer; steps are numbered from 0."""


def step_graph(chain: Chain) -> nx.DiGraph[int]:
    """The graph of a chain: `PROBLEM`, its steps, `ANSWER`.

    Steps have the attributes `text`, `kind`, `value` and `failed`; edges have `kind`: `follows`,
    `confirms` (a re-check), `corrects` (one with another result) or `concludes`. An answer rests on
    nothing through `corrects`.
    """
    import networkx as nx

    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_nodes_from((PROBLEM, ANSWER), failed=False)
    for number, step in enumerate(chain.steps):
        graph.add_node(number, text=step.text, kind=step.kind, value=step.value, failed=True)
    path = _Path(chain.steps)
    for number in range(len(chain.steps)):
        graph.add_edges_from((number, to, {"kind": kind}) for to, kind in path.go_on(number))
    for number in _conclusions(chain) or [path.tip]:
        graph.add_edge(ANSWER, number, kind="concludes")
    used = nx.subgraph_view(graph, filter_edge=lambda a, b: graph[a][b]["kind"] != "corrects")
    for number in nx.descendants(used, ANSWER):
        graph.nodes[number]["failed"] = False
    return graph


def failed_steps(graph: nx.DiGraph[int]) -> list[int]:
    """The numbers of the steps that came to nothing."""
    return [number for number, failed in graph.nodes(data="failed") if failed]


def failed_fraction(chain: Chain) -> float:
    """Share of the steps that came to nothing, 0 to 1; 0 for a chain without steps."""
    return len(failed_steps(step_graph(chain))) / max(1, len(chain.steps))


def _conclusions(chain: Chain) -> list[int]:
    if chain.answer is None:
        return []
    return [number for number, step in enumerate(chain.steps) if step.value == chain.answer]


@dataclass
class _Path:
    """The steps that lead from the problem to the present state."""

    steps: Sequence[Step]
    path: list[int] = field(default_factory=list)

    @property
    def tip(self) -> int:
        return self.path[-1] if self.path else PROBLEM

    def go_on(self, number: int) -> list[tuple[int, str]]:
        """Take the next step; what it points to, and how."""
        step = self.steps[number]
        if step.kind == "change":
            del self.path[self._branch(step) :]
            edges = [(self.tip, "follows")]
        elif step.kind == "recheck":
            edges = self._look_back(step)
        else:
            edges = [(self.tip, "follows")]
        self.path.append(number)
        return edges

    def _look_back(self, step: Step) -> list[tuple[int, str]]:
        mine = dict(sums(step.text))
        for place in reversed(range(len(self.path))):
            seen = self.path[place]
            theirs = dict(sums(self.steps[seen].text))
            if shared := mine.keys() & theirs.keys():
                if any(mine[each] != theirs[each] for each in shared):
                    del self.path[place:]
                    return [(self.tip, "follows"), (seen, "corrects")]
                return list({self.tip: "follows", seen: "confirms"}.items())
        return [(self.tip, "confirms" if self.path else "follows")]

    def _branch(self, step: Step) -> int:
        """Length of the path that a change of mind keeps."""
        for kept in range(len(self.path), 0, -1):
            if _leads(self.steps[self.path[kept - 1]], step):
                return kept
        return 0


def _leads(earlier: Step, step: Step) -> bool:
    """Whether a sum of the step can be carried out in what the earlier one left."""
    state, left = left_over(earlier.text), left_over(step.text)
    if not state:
        return False
    for sum_, result in sums(step.text):
        alone = re.compile(rf"(?<!\d){re.escape(sum_)}(?!\d)")
        if left:
            if any(_replaced(state, m, result) == left for m in alone.finditer(state)):
                return True
        elif state == sum_:
            return True
    return False


def _replaced(state: str, match: re.Match[str], result: str) -> str:
    return state[: match.start()] + result + state[match.end() :]
