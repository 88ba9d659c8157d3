"""The recipe of the process reward model at its smallest size: real roll-outs, real steps."""

import dataclasses
import math
from itertools import chain, islice

import numpy as np
import pytest
import torch
from transformers import AutoModelForTokenClassification, AutoTokenizer

from experiments.mini.config import JUDGES, SIZES, RollOuts
from experiments.mini.draws import FILE, Draw, Store, Tree, read
from experiments.mini.prm_data import build_rows, held_out, steps
from experiments.mini.prm_validation import examine, prepare
from experiments.mini.rollouts import branch_points, collect, places, problems
from experiments.mini.sampling import boxed
from experiments.mini.tokenizer import END, VOCABULARY, build_tokenizer, chat_text
from experiments.mini.train import train as train_reasoner
from experiments.mini.train_prm import soft_cross_entropy, train
from tests.engine_fixtures import other_peoples_warnings
from tts.engine import RewardEngine
from tts.errors import ConfigError
from tts.tasks.mini_problems import LEVELS, STEP_END

SMALLEST = JUDGES["smallest"]
FEW = RollOuts(problems=12, samples=2, branches=2, rollouts=2)


def quiet(line):
    pass


@pytest.fixture(scope="module")
async def drawn(vllm_backend, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rollouts")
    await collect(vllm_backend, FEW, folder, report=quiet)
    return folder


@pytest.fixture(scope="module")
def reasoner(tmp_path_factory):
    out = tmp_path_factory.mktemp("reasoner")
    train_reasoner(SIZES["smallest"], out)
    return out / "model"


@pytest.fixture(scope="module")
def judge(drawn, reasoner, tmp_path_factory):
    out = tmp_path_factory.mktemp("judge")
    run = train(SMALLEST, drawn, reasoner, out)
    assert run.step == SMALLEST.training.steps
    assert sum(run.losses[-10:]) / 10 < sum(run.losses[:10]) / 10 - 0.2
    return out / "model"


def test_roll_outs_are_answers_that_share_a_prefix(drawn):
    tokenizer = build_tokenizer()
    solved = {problem.id: problem for problem in problems(FEW)}
    trees = read(drawn)
    assert {tree.problem for tree in trees} == set(solved)
    assert {tree.level for tree in trees} == set(LEVELS)
    for tree in trees:
        problem = solved[tree.problem]
        assert tokenizer.decode(tree.prompt) == chat_text(problem.prompt)
        assert [draw.parent for draw in tree.draws[:2]] == [None, None]
        assert 2 < len(tree.draws) <= 2 * (1 + 2 * 2)
        for draw in tree.draws:
            answer = tree.answer(draw)
            assert len(answer) <= FEW.max_tokens
            assert draw.ended or len(answer) == FEW.max_tokens
            assert draw.right == (draw.ended and boxed(tokenizer.decode(answer)) == problem.answer)


async def test_roll_outs_that_were_killed_go_on_to_the_same_end(vllm_backend, drawn, tmp_path):
    await collect(vllm_backend, dataclasses.replace(FEW, problems=3), tmp_path, report=quiet)
    file = tmp_path / FILE
    file.write_bytes(file.read_bytes()[:-50])
    assert len(read(tmp_path)) == 2
    await collect(vllm_backend, FEW, tmp_path, report=quiet)
    assert read(tmp_path) == read(drawn)


async def test_roll_outs_of_other_numbers_are_refused(vllm_backend, drawn):
    before = (drawn / FILE).read_bytes()
    with pytest.raises(ConfigError, match="'samples': 2"):
        await collect(vllm_backend, dataclasses.replace(FEW, samples=3), drawn, report=quiet)
    assert (drawn / FILE).read_bytes() == before


def test_a_store_keeps_what_it_was_given(tmp_path):
    trees = [Tree(f"p{n}", 1, (2, 4, 5), (Draw((6, 7), True, n > 0),)) for n in range(2)]
    for tree in reversed(trees):
        store = Store(tmp_path, {"seed": 0})
        store.append(tree)
        store.close()
    assert store.done == {"p0", "p1"}
    assert read(tmp_path) == trees


def test_no_roll_outs_is_said_in_words(tmp_path, reasoner):
    with pytest.raises(ConfigError, match="no roll-outs"):
        train(SMALLEST, tmp_path, reasoner, tmp_path / "out")


def test_problems_are_new_to_the_reasoner_and_of_all_levels_alike():
    found = list(problems(RollOuts(problems=60)))
    assert all(int(problem.id.rsplit("-", 1)[1]) >= 10_000_000 for problem in found)
    assert all("-train-" in problem.id for problem in found)
    assert {sum(p.level == level for p in found) for level in LEVELS} == {10}


def test_branch_points_do_not_depend_on_the_answer():
    settings = RollOuts(branches=4)
    problem = next(p for p in problems(settings) if p.level == max(LEVELS))
    points = [branch_points(problem, 90, sample, settings) for sample in range(300)]
    assert points == [branch_points(problem, 90, sample, settings) for sample in range(300)]
    lengths, ends = zip(*points, strict=True)
    assert {len(chosen) for chosen in (*lengths, *ends)} == {2}
    assert set().union(*lengths) == set(range(1, 90))
    assert set().union(*ends) == set(range(1, problem.solution.count(STEP_END) + 1))


def test_branch_points_lead_to_places_that_an_answer_has():
    step = VOCABULARY.index(STEP_END)
    answer = (6, 7, step, 8, step)
    assert places(answer, (frozenset({1, 3, 9}), frozenset({2, 3})), most=20) == [1, 3, 5]
    assert places(answer, (frozenset({1, 5}), frozenset()), most=5) == [1]


def test_a_row_holds_the_labels_of_its_draw():
    tree = Tree(
        "p", 1, (2, 4, 10, 5),
        (Draw((6, 7), True, True), Draw((8,), False, False, parent=0, at=1)),
    )  # fmt: skip
    rows = build_rows([tree])
    end = VOCABULARY.index(END)
    assert rows.ids.tolist() == [2, 4, 10, 5, 6, 7, end, 2, 4, 10, 5, 6, 8]
    nan = math.nan
    expected = [nan, nan, nan, 0.5, 0.5, 1, 1, nan, nan, nan, nan, nan, 0]
    np.testing.assert_array_equal(rows.targets, np.array(expected, dtype=np.float32))
    assert len(build_rows([tree], rollouts=False)) == 1


def test_an_epoch_has_every_row_once_in_batches_that_fit(drawn):
    rows = build_rows(read(drawn))
    training = dataclasses.replace(SMALLEST.training, batch_tokens=600)
    stream, seen = chain.from_iterable(steps(rows, training, 2)), []
    while len(seen) < len(rows):
        batch = next(stream)
        assert batch.ids.numel() <= 300
        seen.extend((batch.ids * batch.targets.nan_to_num(0)).sum(1).tolist())
        assert batch.targets[:, 0].isnan().all()
    assert len(seen) == len(rows)
    expected = [
        float((rows.ids[a:b] * np.nan_to_num(rows.targets[a:b])).sum())
        for a, b in zip(rows.starts, rows.starts[1:], strict=False)
    ]
    assert sorted(seen) == pytest.approx(sorted(expected))


def test_batches_depend_on_nothing_but_the_seed(drawn):
    rows = build_rows(read(drawn))
    one, other = (
        list(islice(chain.from_iterable(steps(rows, SMALLEST.training, 2)), 30)) for _ in range(2)
    )
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a.ids, b.ids)
        torch.testing.assert_close(a.targets, b.targets, equal_nan=True)


def test_problems_with_one_prompt_are_held_out_together():
    trees = [Tree(f"p{n}", 1, (2, 4, n % 50, 5), ()) for n in range(1000)]
    sides = {tree.prompt: held_out(tree, 5) for tree in trees}
    assert all(held_out(tree, 5) == sides[tree.prompt] for tree in trees)
    assert 0 < sum(sides.values()) < len(sides)


def test_the_loss_of_soft_targets_is_that_of_a_coin():
    logits = torch.tensor([[[0.0, 1.0], [2.0, 0.0], [5.0, 5.0]]])
    loss = soft_cross_entropy(logits, torch.tensor([[0.25, 1.0, math.nan]]))
    right = [1 / (1 + math.exp(-1)), 1 / (1 + math.exp(2))]
    expected = -(0.25 * math.log(right[0]) + 0.75 * math.log(1 - right[0]) + math.log(right[1]))
    assert loss.item() == pytest.approx(expected)


def test_validation_knows_a_model_that_knows_nothing(drawn, judge):
    model = AutoModelForTokenClassification.from_pretrained(judge).eval()
    torch.nn.init.zeros_(model.score.weight)
    torch.nn.init.zeros_(model.score.bias)
    said = examine(model, prepare(read(drawn), 2), 1024)
    assert f"loss {math.log(2):.4f}" in said
    assert "100% 0.500" in said


def test_an_interrupted_training_ends_like_an_uninterrupted_one(drawn, reasoner, judge, tmp_path):
    interrupted = train(SMALLEST, drawn, reasoner, tmp_path, minutes=0.0)
    assert interrupted.step == 1
    assert not (tmp_path / "model").exists()
    resumed = train(SMALLEST, drawn, reasoner, tmp_path)
    whole = AutoModelForTokenClassification.from_pretrained(judge).state_dict()
    for name, weights in resumed.model.state_dict().items():
        torch.testing.assert_close(weights, whole[name], msg=name)


@pytest.mark.engine
@pytest.mark.slow
async def test_the_engine_says_what_transformers_says(drawn, judge):
    tokenizer = AutoTokenizer.from_pretrained(judge)
    model = AutoModelForTokenClassification.from_pretrained(judge).eval()
    assert model.config.id2label == {0: "wrong", 1: "right"}
    assert tokenizer.chat_template == build_tokenizer().chat_template
    assert model.score.bias.abs().min() > 0.001  # one that was left out would be seen
    expected, found = [], []
    with other_peoples_warnings():  # also of the engine's end
        settings = {"max_model_len": 256, "kv_cache_gib": 0.1}
        async with RewardEngine(str(judge), settings) as engine:
            for tree in read(drawn)[::4]:
                ids = [*tree.prompt, *tree.draws[0].tokens]
                rows = await engine.rows(ids)
                found.append(torch.from_numpy(rows.values).softmax(-1))
                with torch.inference_mode():
                    expected.append(model(input_ids=torch.tensor([ids])).logits[0].softmax(-1))
        del engine
    assert torch.cat(expected)[:, 1].std() > 0.01
    torch.testing.assert_close(torch.cat(found), torch.cat(expected), atol=1e-4, rtol=0)
