"""Two models on one chain: who counts, who watches, what does not go together."""

from __future__ import annotations

import math

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

import tts
from tests.strategies.pair import LARGE, PROBLEM, SMALL, Marks, Writer, steps
from tts.engine import resolve_model
from tts.engine.text import Text
from tts.errors import CapabilityMissing, ConfigError
from tts.evaluation.records import Record
from tts.evaluation.summary import Names, Row
from tts.solve import Setup
from tts.strategies import GlimpRouter, SpecReason
from tts.trimming.budget_forcing import BudgetForcing
from tts.types import Capability, Problem, Segment, Trajectory, Usage
from tts.watching import Thinking

QWEN = {1: "<|im_start|>", 2: "<|im_end|>", 3: "</think>"}
LLAMA = {1: "<|eot_id|>", 2: "</think>"}
INSTRUCT = {1: "<|im_start|>", 2: "<|im_end|>"}
NO_TAGS = Thinking(start="", end="")


def backend(words=None, info=LARGE):
    return Writer(steps("l", 9, 9), info=info).backend(words=words or {})


def setup(large, small, **how):
    return Setup(GlimpRouter(), backend(large), draft=backend(small, SMALL), **how)


# --- what does not go together ------------------------------------------------------------------


def test_two_models_that_think_differently_are_refused():
    for pair in ((QWEN, INSTRUCT), (INSTRUCT, QWEN)):
        with pytest.raises(ConfigError, match="marks the end of its thinking") as caught:
            setup(*pair)
        assert "thinking=none" in caught.value.hint
    setup(QWEN, LLAMA)
    setup(QWEN, INSTRUCT, thinking=NO_TAGS)
    setup(QWEN, None)  # who does not know his vocabulary is let through


async def test_a_prompt_that_was_made_for_one_template_is_refused_before_anything_is_spent():
    prompt = Problem("q", prompt="<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n")
    large, small = backend(QWEN), backend(LLAMA, SMALL)
    with pytest.raises(
        ConfigError, match=r"'q' holds '<\|im_start\|>', a token of large"
    ) as caught:
        await tts.solve(prompt, strategy=GlimpRouter(), backend=large, draft=small)
    assert "Problem.chat" in caught.value.hint
    assert large.generated == small.generated == 0
    fine = Setup(GlimpRouter(), large, draft=small)
    fine.check(Problem("r", prompt="1+1 < 3 > 2 [A] <b>?</b>"))
    fine.check(Problem.chat("c", prompt.prompt))
    Setup(GlimpRouter(), large, draft=backend(QWEN, SMALL)).check(prompt)


async def test_without_a_draft_model_nobody_finds_one():
    class Asks:
        requires = frozenset()

        async def __call__(self, problem, env):
            return env.draft

    with pytest.raises(CapabilityMissing, match="No draft model was given"):
        await tts.solve(PROBLEM, strategy=Asks(), backend=backend())


# --- starting -----------------------------------------------------------------------------------


async def test_it_is_started_with_the_others_and_not_closed():
    small = Writer(steps("s", 9)).backend(slots=1)
    result = await tts.solve(
        PROBLEM, strategy=GlimpRouter(threshold=math.inf), backend=backend(), draft=small
    )
    assert result.answer == "s"  # a backend with slots works once it has been started


# --- watchers -----------------------------------------------------------------------------------


async def test_a_cap_on_thinking_holds_whoever_writes():
    thinking = Thinking(start="", end="</think>", lead="\n\\boxed{")
    strategies = [GlimpRouter(threshold=t) for t in (0.0, 1.0, math.inf)]
    strategies += [SpecReason(threshold=t) for t in (0, 5, 10)]
    for strategy in strategies:
        for cap in (10, 25, 41):
            result = await tts.solve(
                PROBLEM,
                strategy=strategy,
                backend=Writer(steps("l", *[11] * 8), info=LARGE).backend(),
                draft=Writer(steps("s", *[9] * 8), [1, 9] * 5).backend(),
                verifier=Marks(marks=(9, 3) * 5),
                watchers=(BudgetForcing(maximum=cap),),
                thinking=thinking,
                max_tokens=200,
            )
            thought, closed, _ = result.best.trajectory.text.partition("</think>")
            assert closed and len(thought) <= cap, (strategy, cap, result.best.trajectory.text)
            assert result.answer == "9"


def test_what_watchers_need_the_draft_model_must_offer_too():
    large, small = backend(), Writer([]).backend(capabilities=frozenset({Capability.LOGPROBS}))
    with pytest.raises(CapabilityMissing, match="backend of small lacks it"):
        Setup(tts.Greedy(), large, draft=small, watchers=(BudgetForcing(maximum=9),))


# --- accounts -----------------------------------------------------------------------------------


def test_draft_tokens_add_up_and_are_told():
    some = Usage(completion_tokens=10, draft_tokens=4)
    assert (some + some).draft_tokens == (some | some).draft_tokens == 8
    assert some.total_tokens == 10  # a part, and no more of them
    assert "4 of the completion tokens by the draft model" in str(some)
    assert "draft" not in str(Usage(completion_tokens=10))


def test_results_from_before_there_were_draft_models_still_load():
    usage = {k: v for k, v in Usage(completion_tokens=7).as_dict().items() if k != "draft_tokens"}
    record = Record.model_validate(
        {
            "configuration": "c", "problem_id": "p", "arm": "a", "status": "done", "gold": "1",
            "correct": True, "answer": "1", "usage": usage, "seed": 0,
        }
    )  # fmt: skip
    assert record.outcome.usage == Usage(completion_tokens=7)
    names = Names(strategy_name="s", task="t", model="m", backend="b")
    row = Row.of("a", names, "c", [record.outcome])
    old = row.model_dump(exclude={"draft", "draft_tokens"})
    assert Row.model_validate(old) == row


# --- vocabularies -------------------------------------------------------------------------------


def test_what_another_model_wrote_is_read_as_text_and_ones_own_as_it_was_written(tmp_path):
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    vocabulary = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    core.model = models.BPE(vocab=vocabulary, merges=[])
    PreTrainedTokenizerFast(tokenizer_object=core).save_pretrained(tmp_path)
    mini = Text(resolve_model("mini-reasoner", print), "mini", "a")
    other = Text(tmp_path, "bytes", "b")
    problem, told = Problem("p", prompt="1+2+3="), ("1+2=3 => 3+3\n\n", "3+3=6\n\n\\boxed{6}")
    first = tuple(mini.ids_of(told[0]))
    second = tuple(other.ids_of(told[1]))
    node = Trajectory.root().extend(Segment(told[0], first, "a"), child=0, clock=0)
    node = node.extend(Segment(told[1], second, "b"), child=1, clock=0)
    for text, own in ((mini, first), (other, second)):
        ids = text.encode(problem, node)
        assert text.decode(ids) == problem.prompt + "".join(told)
        assert any(tuple(ids[i : i + len(own)]) == own for i in range(len(ids)))
