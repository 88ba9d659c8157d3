"""Our cap on thinking beside vLLM's own (`thinking_token_budget`), on one engine.

    python -m experiments.trimming.native_budget --problems 200

Both let `mini-thinker` think for the same numbers of tokens and answer greedily in thought and
answer, so that where neither cap is reached they must write the same. vLLM's own forces the closing
tag inside the decode, and the model states its result by itself; ours closes the part and leads to
the answer (`Thinking.lead`). Reported are accuracies with paired differences, the largest number of
tokens that were thought, and how often the two wrote the same.
"""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

import tts
from tts.backends.vllm import VLLMBackend
from tts.evaluation.statistics import compare
from tts.tasks.mini import MiniTask
from tts.trimming import BudgetForcing

THINKING = tts.Thinking(lead="\\boxed{", reflections=("Wait", "Alternatively"))
TAGS = {"reasoning_start_str": THINKING.start, "reasoning_end_str": THINKING.end}
MAX_TOKENS = 768


async def ours(backend: VLLMBackend, task: MiniTask, cap: int) -> dict[str, str]:
    """What is written under `BudgetForcing`, by problem."""
    results = tts.solve_all(
        [item.problem for item in task],
        strategy=tts.Greedy(),
        backend=backend,
        watchers=(BudgetForcing(cap),),
        thinking=THINKING,
        answers=task.answers,
        max_tokens=MAX_TOKENS,
    )
    return {r.problem_id: r.best.trajectory.text async for r in results if r.best}


async def native(backend: VLLMBackend, task: MiniTask, cap: int) -> dict[str, str]:
    """What is written under vLLM's own budget, by problem."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    llm: Any = await backend.engine.client()
    params = SamplingParams(
        temperature=0.0,
        max_tokens=MAX_TOKENS,
        thinking_token_budget=cap,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )
    root = tts.Trajectory.root()
    gate = asyncio.Semaphore(64)

    async def one(problem: tts.Problem) -> tuple[str, str]:
        prompt = {"prompt_token_ids": backend.text.encode(problem, root)}
        async with gate:
            async for output in llm.generate(prompt, params, f"native-{cap}-{problem.id}"):
                ids = [t for t in output.outputs[0].token_ids if t not in backend.eos]
        return problem.id, backend.text.decode(ids)

    return dict(await asyncio.gather(*(one(item.problem) for item in task)))


def thought(backend: VLLMBackend, text: str) -> int:
    """Tokens between the tags."""
    inside = text.removeprefix(THINKING.start).partition(THINKING.end)[0]
    return len(backend.text.ids_of(inside))


async def right(task: MiniTask, texts: dict[str, str]) -> dict[str, list[float]]:
    """Whether each answer is right, by problem."""
    found = {}
    for item in task:
        answer = task.answers.extract(texts[item.problem.id])
        found[item.problem.id] = [float(await task.grade(item.problem.id, answer))]
    return found


async def measure(model: str, problems: int, caps: list[int]) -> None:
    """Compare at each cap, and print."""
    task = MiniTask(n_problems=problems, max_tokens=MAX_TOKENS)
    engine = {"max_model_len": 1024, "extra": {"reasoning_config": TAGS}}
    async with VLLMBackend(model, engine) as backend:
        print("| cap | ours | vLLM's | ours - vLLM's [95%] | most thought, ours, vLLM's | equal |")
        print("| --- | --- | --- | --- | --- | --- |")
        for cap in caps:
            texts = [await ours(backend, task, cap), await native(backend, task, cap)]
            good = [await right(task, each) for each in texts]
            shares = [sum(map(sum, each.values())) / problems for each in good]
            most = [max(thought(backend, text) for text in each.values()) for each in texts]
            same = sum(texts[0][name] == texts[1][name] for name in texts[0])
            found = compare(*good)
            assert found is not None, "both have solved the same problems"
            gap = found.difference
            print(
                f"| {cap} | {100 * shares[0]:.1f} | {100 * shares[1]:.1f} |"
                f" {100 * gap.mean:+.1f} [{100 * gap.low:+.1f}, {100 * gap.high:+.1f}] |"
                f" {most[0]}, {most[1]} | {same} of {problems} |"
            )


def main() -> None:
    """Read the command line, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="mini-thinker")
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("--caps", type=int, nargs="+", default=[32, 64, 128, 256])
    given = parser.parse_args()
    asyncio.run(measure(given.model, given.problems, given.caps))


if __name__ == "__main__":
    main()
