"""Figures of a process reward model, from answers whose figures are known and a tiny model."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForTokenClassification

from experiments.mini import tables
from experiments.mini.evaluate import Plan
from experiments.mini.evaluate_prm import main
from experiments.mini.prm_figures import (
    PARTS,
    STEP,
    areas,
    calibration,
    final,
    mid_step,
    part,
    partial,
    rates,
    see,
    step_end,
)
from experiments.mini.selection import selection
from experiments.mini.stages import Stage, run
from experiments.mini.token_scores import Answers, RewardModel, read_answers, score
from experiments.mini.tokenizer import VOCABULARY, build_tokenizer, save_tokenizer
from tts.backends.arithmetic import simulated_arithmetic
from tts.errors import ConfigError
from tts.evaluation.store import RESULTS, TREES
from tts.tasks.mini_problems import generate


def answers(level, index, *rows, tokens=(7, STEP, 8, 9)):
    """Answers to a problem: (key, whether it is right, a score a token)."""
    return Answers(
        f"mini-test-{level}-{index}",
        tuple(key for key, _, _ in rows),
        tuple(right for _, right, _ in rows),
        (1, 2),
        tuple(tokens[: len(scores)] for _, _, scores in rows),
        tuple(np.array(scores, dtype=np.float32) for _, _, scores in rows),
    )


def test_positions_in_an_answer():
    tokens = [5, STEP, 6, 7, STEP, 8]
    assert final("a", tokens) == 5
    assert {step_end(str(n), tokens) for n in range(40)} == {1, 4}
    assert {mid_step(str(n), tokens) for n in range(80)} == {0, 2, 3}
    assert step_end("a", [5, 6]) is None
    assert mid_step("a", [STEP, 6]) is None
    assert [part(share)("a", [0] * 10) for share in (0.1, 0.25, 0.5, 0.9, 1.0)] == [0, 2, 4, 8, 9]
    assert [part(share)("a", [0]) for share in (0.1, 1.0)] == [0, 0]


def test_answers_without_the_position_are_left_out():
    seen = see([answers(1, 0, ("7", True, [0.5]), ("8", False, []))], final)
    assert seen.scores.tolist() == [0.5]
    both = [answers(1, 0, ("7", True, [0.5])), answers(2, 0, ("7", True, [0.1, 0.2, 0.9]))]
    seen = see(both, step_end)
    assert seen.scores.tolist() == pytest.approx([0.2])
    assert seen.final.tolist() == pytest.approx([0.9])
    assert seen.levels.tolist() == [2]


def test_areas_of_known_scores():
    # Within each problem the right answer is below the wrong one; easy problems have high scores.
    easy = [
        answers(1, n, ("7", True, [0.8]), ("7", True, [0.8]), ("8", False, [0.9])) for n in (0, 1)
    ]
    hard = [
        answers(2, n, ("7", True, [0.1]), ("8", False, [0.2]), ("8", False, [0.2])) for n in (0, 1)
    ]
    found = areas(see([*easy, *hard], final))
    assert found["1"][0] == found["2"][0] == found["within"][0] == 0.0
    # Of 6 x 6 pairs those of an easy right and a hard wrong answer are in order: 4 x 4.
    assert found["all"][0] == pytest.approx(16 / 36)


def test_rates_at_a_threshold():
    rows = [("7", True, [s]) for s in (0.9, 0.6, 0.2)] + [("8", False, [s]) for s in (0.7, 0.1)]
    found = rates(see([answers(1, 0, *rows), answers(1, 1, *rows)], final), 0.6)
    assert found["true positives"][0] == pytest.approx(2 / 3)
    assert found["false positives"][0] == pytest.approx(1 / 2)
    assert found["precision"][0] == pytest.approx(2 / 3)
    assert found["taken"][0] == pytest.approx(3 / 5)


def test_the_reliability_curve_of_a_calibrated_model():
    rows = [("7", n < 1, [0.25]) for n in range(4)] + [("7", n < 3, [0.75]) for n in range(4)]
    found = calibration(see([answers(1, n, *rows) for n in range(3)], final))
    assert found["ece"][0] == pytest.approx(0.0)
    assert found["brier"][0] == pytest.approx(0.25 * 0.75)
    points = [(p["from"], p["part"], p["score"], p["right"][0]) for p in found["curve"]]
    assert points == [(0.2, 0.5, 0.25, 0.25), (0.7, 0.5, 0.75, 0.75)]


def test_partial_scores_that_say_all_and_nothing():
    rng = np.random.default_rng(0)
    ends = rng.random((40, 4))
    problems = [
        answers(1, n, *((str(e), bool(e > 0.5), [rng.random(), 0.3, e**3, e]) for e in row))
        for n, row in enumerate(ends)
    ]
    late = partial(see(problems, part(0.75)))
    assert late["spearman"][0] == pytest.approx(1.0)
    assert 0.8 < late["pearson"][0] < 1.0
    assert late["auc"][0] == 1.0
    early = partial(see(problems, part(0.25)))
    assert early["spearman"][1] < 0 < early["spearman"][2]
    assert early["auc"][1] < 0.5 < early["auc"][2]


def test_choosing_by_final_scores():
    rows = [("7", True, [0.9]), ("8", False, [0.5]), ("8", False, [0.3]), (None, False, [1.0])]
    problems = [answers(level, n, *rows) for level in (1, 2) for n in (0, 1)]
    found = selection(problems)
    means = {way: by_level["all"][0] for way, by_level in found["levels"].items()}
    # The vote takes 8, the weighted one 7 (0.9 against 0.8), the best score counts with an answer.
    assert means == {"pass@1": 0.25, "majority@4": 0.0, "best-of-4": 1.0, "weighted vote@4": 1.0}
    assert found["gaps"]["best-of-4 minus majority@4"][0] == 1.0


# --- a model --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def prm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prm")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(VOCABULARY), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=512, num_labels=2, initializer_range=0.4,
    )  # fmt: skip
    LlamaForTokenClassification(config).save_pretrained(folder)
    save_tokenizer(build_tokenizer(), folder)
    return folder


@pytest.fixture(scope="module")
async def stage(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stage")
    await run(Stage("samples", 7, 4, 0.8), simulated_arithmetic(), folder)
    return folder / "samples"


def test_answers_are_read_with_their_prompts(prm, stage):
    model = RewardModel(prm)
    found = read_answers(stage, model.text)
    assert len(found) == 7 * len({a.problem_id.split("-")[2] for a in found})
    tokenizer = build_tokenizer()
    first = found[0]
    problem = generate(1, int(first.problem_id.split("-")[3]), "test")
    assert tokenizer.decode(first.prompt) == f"<bos><|user|>{problem.prompt}<|assistant|>"
    for tokens, right in zip(first.tokens, first.right, strict=True):
        text = tokenizer.decode(tokens)
        assert text.endswith(f"\\boxed{{{problem.answer}}}") == right


def test_a_row_scores_the_same_alone_and_among_longer_ones(prm):
    model = RewardModel(prm)
    rows = [[2, 4, 7, 8, 9], [2, 4, 9], [2, 4, 7, 8, 9, 20, 21, 11, 12, 9, 9]]
    together = model(rows)
    for row, scores in zip(rows, together, strict=True):
        with torch.no_grad():
            logits = model.model(input_ids=torch.tensor([row])).logits[0]
        odds = (logits[:, 1] - logits[:, 0]).sigmoid().numpy()
        np.testing.assert_allclose(scores, odds, atol=1e-6)


def test_scores_belong_to_the_tokens_of_their_answer(prm, stage, tmp_path):
    model = RewardModel(prm)
    plain = read_answers(stage, model.text)
    scored = score(model, plain, tmp_path, print)
    for answer in (scored[0], scored[-1]):
        rows = [answer.prompt + row for row in answer.tokens]
        for row, scores in zip(rows, answer.scores, strict=True):
            np.testing.assert_allclose(model([row])[0][len(answer.prompt) :], scores, atol=1e-5)


def test_a_killed_scoring_goes_on(prm, stage, tmp_path):
    model = RewardModel(prm)
    plain = read_answers(stage, model.text)
    whole = score(model, plain, tmp_path / "whole", print)
    calls = []

    class Killed(RewardModel):
        def __call__(self, rows):
            if calls:
                raise KeyboardInterrupt
            calls.append(len(rows))
            return super().__call__(rows)

    with pytest.raises(KeyboardInterrupt):
        score(Killed(prm), plain, tmp_path / "killed", print)
    said = []
    resumed = score(model, plain, tmp_path / "killed", said.append)
    assert len(said) == 1  # of two files the first was there
    for one, other in zip(whole, resumed, strict=True):
        assert all(map(np.array_equal, one.scores, other.scores))
    # Scores of other answers are never taken for these.
    changed = [replace(plain[0], tokens=plain[0].tokens[::-1]), *plain[1:]]
    score(model, changed, tmp_path / "killed", said.append)
    assert len(said) == 3


def test_a_folder_without_a_stage_is_refused(prm, tmp_path):
    with pytest.raises(ConfigError, match=r"holds no results.jsonl"):
        read_answers(tmp_path, RewardModel(prm).text)


def test_the_command_writes_shows_and_draws_all_figures(prm, stage, tmp_path, monkeypatch, capsys):
    words = ["--prm", str(prm), "--samples", str(stage), "--out", str(tmp_path), "--threads", "1"]
    monkeypatch.setattr(sys, "argv", ["evaluate_prm", *words])
    main()
    found = json.loads((tmp_path / "prm.json").read_text())
    shown = capsys.readouterr().out
    for table in tables.OF_A_PRM.values():
        assert table(found) in shown
    model = RewardModel(prm)
    scored = score(model, read_answers(stage, model.text), tmp_path, lambda line: pytest.fail(line))
    assert found["selection"] == json.loads(json.dumps(selection(scored)))
    assert found["positions"].keys() == {f"{share:g}" for share in PARTS}
    assert found["about"]["weights"] == model.weights
    assert 5_000 < (tmp_path / "prm.png").stat().st_size < 60_000
    assert (tmp_path / "prm.png").read_bytes()[1:4] == b"PNG"


def test_several_arms_are_refused(prm, stage, tmp_path):
    lines = (stage / RESULTS).read_text().splitlines()
    other = lines[1].replace('"arm":"samples"', '"arm":"another"')
    assert other != lines[1]
    (tmp_path / RESULTS).write_text("\n".join([*lines, other]) + "\n")
    (tmp_path / TREES).write_bytes((stage / TREES).read_bytes())
    with pytest.raises(ConfigError, match="several arms"):
        read_answers(tmp_path, RewardModel(prm).text)


def test_the_default_plan_is_that_of_the_cards():
    assert (Plan().problems, Plan().samples, Plan().deep_samples) == (250, 16, 64)
