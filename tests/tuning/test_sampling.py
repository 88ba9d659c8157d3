"""The sampling tuner without a command line: space, objective, parts, contest and verdict."""

from __future__ import annotations

from itertools import combinations
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tts
from tests.evaluation.test_curves import record
from tests.tuning.warm import Warm
from tts.errors import BackendError, ConfigError
from tts.evaluation import Arm, Names, Store
from tts.evaluation.statistics import Interval
from tts.evaluation.summary import Row
from tts.solve import Setup
from tts.tasks import Item, ItemTask, MiniTask
from tts.tuning.sampling.contest import Contest, Entrant
from tts.tuning.sampling.finding import Finding, Tried
from tts.tuning.sampling.halving import Halving, Rung
from tts.tuning.sampling.objective import check_samples, most_tokens, samples_of, scores, values
from tts.tuning.sampling.parts import split
from tts.tuning.sampling.plot import picture
from tts.tuning.sampling.space import Candidate, Point, is_deterministic, read_axis, space
from tts.types import Problem, Sampling

VOTE = tts.SelfConsistency(n=4)
ONE = tts.SelfConsistency(n=1)
DEFAULT = Sampling(temperature=0.8)


def labels(found):
    return [candidate.label for candidate in found.candidates]


# --- the space ----------------------------------------------------------------------------------


def test_a_grid_holds_the_default_once_and_first():
    found = space(DEFAULT, {"temperature": (0.4, 0.8), "top_p": (0.9, 1.0)}, (), VOTE)
    assert labels(found) == [
        "temperature=0.8 top_p=1",
        "temperature=0.4 top_p=0.9",
        "temperature=0.4 top_p=1",
        "temperature=0.8 top_p=0.9",
    ]
    assert found.default.source == "default" and found.default.point == Point(DEFAULT)
    assert {c.source for c in found.candidates[1:]} == {"grid"} and not found.skipped


def test_fields_without_an_axis_stay_as_they_are():
    base = Sampling(temperature=0.8, top_k=20)
    found = space(base, {"temperature": (0.4,)}, (), VOTE)
    assert [c.point.sampling for c in found.candidates] == [base, Sampling(0.4, top_k=20)]
    assert labels(found) == ["temperature=0.8", "temperature=0.4"]


def test_what_the_authors_recommend_is_tried_as_well():
    theirs = Sampling(temperature=0.6, top_p=0.95)
    found = space(DEFAULT, {"temperature": (0.4,)}, (), VOTE, theirs)
    assert labels(found) == [
        "temperature=0.8 top_p=1",
        "temperature=0.6 top_p=0.95",
        "temperature=0.4 top_p=1",
    ]
    assert found.candidates[1].source == "generation_config"
    same = space(DEFAULT, {"temperature": (0.4,)}, (), VOTE, DEFAULT)
    assert [c.source for c in same.candidates] == ["default", "grid"]


def test_draws_without_variety_are_left_out_under_a_vote_with_the_reason():
    axes = {"temperature": (0.0, 0.4), "top_k": (0, 1), "top_p": (0.9, 1.0)}
    found = space(DEFAULT, axes, (), VOTE)
    assert found.skipped == {
        "temperature=0": "all 4 samples of SelfConsistency would be the same"
    }  # one token to draw from is the same decoding again
    assert all(not is_deterministic(c.point.sampling) for c in found.candidates)


def test_greedy_decoding_is_one_point_of_a_single_draw():
    axes = {"temperature": (0.0, 0.4), "top_k": (0, 1)}
    found = space(DEFAULT, axes, (), ONE)
    assert labels(found) == ["temperature=0.8", "temperature=0", "temperature=0.4"]
    assert sum(is_deterministic(c.point.sampling) for c in found.candidates) == 1


def test_prompts_are_an_axis_of_their_own():
    found = space(DEFAULT, {"temperature": (0.4,)}, ("own", "short"), VOTE)
    assert labels(found) == [
        "temperature=0.8 prompt=own",
        "temperature=0.4 prompt=own",
        "temperature=0.4 prompt=short",
    ]


def test_a_strategy_that_decodes_greedily_has_prompts_to_compare_and_nothing_else():
    with pytest.raises(ConfigError, match="Greedy decodes at temperature 0, whatever"):
        space(DEFAULT, {"temperature": (0.4, 0.8)}, (), tts.Greedy())
    found = space(DEFAULT, {"temperature": (0.4,)}, ("own", "short"), tts.Greedy())
    assert labels(found) == ["prompt=own", "prompt=short"]
    assert "prompts alone are compared" in found.skipped["sampling"]


@pytest.mark.parametrize(
    ("default", "axes", "strategy", "sentence"),
    [
        (DEFAULT, {}, VOTE, "there is nothing to choose from"),
        (DEFAULT, {"temperature": (0.8,)}, VOTE, "there is nothing to choose from"),
        (DEFAULT, {"temperature": (0.0,)}, VOTE, "there is nothing to choose from"),
        (Sampling(0.0), {"temperature": (0.5, 0.7)}, VOTE, "at its present values all 4 samples"),
    ],
)
def test_a_space_without_a_choice_is_refused(default, axes, strategy, sentence):
    with pytest.raises(ConfigError, match=sentence):
        space(default, axes, (), strategy)


def test_axes_are_read_and_checked():
    assert read_axis("temperature", ["0", " 1.2"]) == (0.0, 1.2)
    assert read_axis("top_k", ["0", "20"]) == (0, 20)
    for name, value, sentence in (
        ("temprature", "1", "There is no field sampling.temprature"),
        ("temperature", "hot", "sampling.temperature is hot; it must be a number"),
        ("temperature", "2.5", r"sampling.temperature is 2.5; it must lie in \[0, 2\]"),
        ("top_k", "1.5", "sampling.top_k is 1.5; it must be a whole number"),
        ("top_p", "0", "sampling.top_p is 0"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            read_axis(name, [value])


# --- the objective ------------------------------------------------------------------------------

RIGHT = "right"
marks = st.lists(st.sampled_from([RIGHT, "a", "b", None]), min_size=1, max_size=6)


@given(marks, st.integers(1, 6))
def test_a_vote_is_judged_by_all_subsets_of_what_was_drawn(keys, k):
    """The mean over all k-subsets of the chance to win the vote, ties shared."""
    k = min(k, len(keys))
    setup = Setup(tts.SelfConsistency(n=len(keys)), Warm())
    found = values(setup, k, [record([(key, None) for key in keys])])

    def won(subset):
        votes = {key: subset.count(key) for key in subset if key is not None}
        top = [key for key, count in votes.items() if count == max(votes.values())]
        return (RIGHT in top) / len(top) if top else 0.0

    assert found["p"] == [pytest.approx(fmean(won(list(s)) for s in combinations(keys, k)))]


def test_a_strategy_of_another_kind_says_right_or_wrong():
    one = record([("a", None), (RIGHT, None)], correct=True)
    setup = Setup(tts.SelfConsistency(n=2), Warm(), controller=tts.BetaStopping())
    assert values(setup, 2, [one]) == {"p": [1.0]}  # what was found decided how many
    assert values(Setup(tts.Greedy(), Warm()), None, [one]) == {"p": [1.0]}
    cut = record([("a", None)], correct=False, status="exhausted")
    assert values(Setup(tts.SelfConsistency(n=2), Warm()), 2, [cut]) == {"p": [0.0]}


def test_repeats_are_averaged_and_failures_say_nothing():
    setup = Setup(ONE, Warm())
    records = [
        record([(RIGHT, None)], problem="p"),
        record([("a", None)], problem="p", repeat=1),
        record([], problem="q", status="failed"),
    ]
    found = values(setup, 1, records)
    assert scores(found, ["p", "q"]) == [0.5, None]


def test_more_samples_are_for_strategies_that_draw_independent_ones():
    assert samples_of(VOTE) == 4 and samples_of(tts.Greedy()) is None
    check_samples(VOTE, 4)
    with pytest.raises(ConfigError, match="--samples is 3, and the strategy decides by 4"):
        check_samples(VOTE, 3)
    with pytest.raises(ConfigError, match="Greedy draws no independent samples"):
        check_samples(tts.Greedy(), 3)


def test_what_a_problem_may_take_is_known_or_asked_for():
    assert most_tokens(Setup(VOTE, Warm(), max_tokens=100), 2) == 800
    assert most_tokens(Setup(tts.Greedy(), Warm(), max_tokens=100), 1) == 100
    small = tts.Budget(completion_tokens=150)
    assert most_tokens(Setup(VOTE, Warm(), max_tokens=100, budget=small), 1) == 150
    race = tts.FirstFinish(n=4)
    assert most_tokens(Setup(race, Warm(), max_tokens=100, budget=small), 1) == 150
    with pytest.raises(ConfigError, match="nobody knows how many tokens FirstFinish"):
        most_tokens(Setup(race, Warm(), max_tokens=100), 1)


# --- the parts ----------------------------------------------------------------------------------


async def test_parts_share_no_problem_and_the_pilot_does_not_depend_on_the_rest():
    task = MiniTask(n_problems=30)
    parts = split(task, 10, 20)
    pilot, rest = parts.parts(task)
    assert len(pilot) == 10 and len(rest) == 20
    assert not {p.id for p in pilot.problems} & {p.id for p in rest.problems}
    other, _ = split(MiniTask(n_problems=50), 10, 40).parts(MiniTask(n_problems=50))
    assert other.digest == pilot.digest and (other.name, other.max_tokens) == ("mini", 224)
    item = pilot.items[0]
    assert await pilot.grade(item.problem.id, item.gold) and not await pilot.grade(
        item.problem.id, None
    )


def test_a_question_that_was_piloted_is_not_held_out_under_another_id():
    items = [Item(Problem(f"p{i}", prompt=f"{i % 4}+1="), "1") for i in range(8)]
    parts = split(ItemTask("twins", items[:3] + items[4:]), 3, 4)
    assert parts.pilot == ("p0", "p1", "p2") and parts.held_out == ("p7",) and parts.twins == 3
    with pytest.raises(ConfigError, match="every problem behind the pilot occurs in it"):
        split(ItemTask("twins", items), 4, 4)
    with pytest.raises(ConfigError, match="has 8 problems, and --pilot 5 with --held-out 4 takes"):
        split(ItemTask("twins", items), 5, 4)


# --- the contest --------------------------------------------------------------------------------


def entrants(pilot, temperatures, strategy=VOTE, kind=Warm, **options):
    backend = kind(**options)
    names = Names(strategy_name="s", task="mini", model="warm", backend="warm")
    return {
        f"t={t:g}": Entrant(
            Arm(f"t={t:g}", Setup(strategy, backend, sampling=Sampling(t), max_tokens=50), names,
                {"t": t}),
            pilot,
            strategy.n,
        )
        for t in temperatures
    }  # fmt: skip


async def hold(folder, found, pilot, **options):
    expected = {label: e.arm.expected(pilot) for label, e in found.items()}
    halving, asks = Halving(list(found), len(pilot), **options), []
    with Store(folder, expected, lasting=True) as store:
        contest = Contest(found, store, told=asks.append)
        await contest.hold(halving)
        judged = {label: contest.values(label) for label in found}
    return halving, asks, judged


async def test_a_contest_finds_the_temperature_that_is_best(tmp_path):
    pilot, _ = split(MiniTask(n_problems=90), 60, 30).parts(MiniTask(n_problems=90))
    found = entrants(pilot, (0.2, 0.4, 0.6, 0.8, 1.0, 1.2), best=0.6, most=0.7, slope=0.6)
    halving, asks, judged = await hold(tmp_path, found, pilot)
    assert halving.winner == "t=0.6"
    assert [(len(a.arms), a.stop) for a in asks] == [(6, 20), (2, 60)]
    ids = [p.id for p in pilot.problems]
    kept = halving.rungs[0].kept
    for label, by_problem in judged.items():
        assert set(by_problem) == set(ids[: 60 if label in kept else 20])
    assert halving.tokens == 20 * 4 * (6 * 20 + 2 * 40)


async def test_a_contest_goes_on_where_it_was_stopped_and_comes_to_the_same(tmp_path):
    pilot, _ = split(MiniTask(n_problems=40), 36, 4).parts(MiniTask(n_problems=40))
    temperatures = (0.2, 0.6, 1.0, 1.4)
    whole, _, _ = await hold(tmp_path / "whole", entrants(pilot, temperatures), pilot, first=4)
    found = entrants(pilot, temperatures)
    expected = {label: e.arm.expected(pilot) for label, e in found.items()}
    with Store(tmp_path / "cut", expected, lasting=True) as store:

        def cut(asked):
            if asked.rung:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            await Contest(found, store, told=cut).hold(Halving(list(found), 36, first=4))
    before = (tmp_path / "cut" / "results.jsonl").read_bytes()
    again, _, _ = await hold(tmp_path / "cut", entrants(pilot, temperatures), pilot, first=4)
    after = (tmp_path / "cut" / "results.jsonl").read_bytes()
    assert after.startswith(before) and again.rungs == whole.rungs
    assert (
        len(after.splitlines())
        == len((tmp_path / "whole/results.jsonl").read_text().split("\n")) - 1
    )
    idle = entrants(pilot, temperatures)
    third, _, _ = await hold(tmp_path / "cut", idle, pilot, first=4)
    assert third.rungs == whole.rungs
    assert next(iter(idle.values())).arm.setup.backend.started == 0


async def test_a_budget_of_tokens_holds(tmp_path):
    pilot, _ = split(MiniTask(n_problems=90), 60, 30).parts(MiniTask(n_problems=90))
    found = entrants(pilot, (0.2, 0.6, 1.0, 1.4))
    cap = 4 * 50
    halving, _, judged = await hold(tmp_path, found, pilot, budget=12_000, cap=cap)
    assert halving.tokens <= 12_000
    assert halving.tokens == sum(len(by_problem) for by_problem in judged.values()) * 4 * 20
    assert halving.winner == "t=0.6"


async def test_a_pilot_in_which_all_fails_says_so(tmp_path):
    pilot, _ = split(MiniTask(n_problems=8), 4, 4).parts(MiniTask(n_problems=8))
    found = entrants(pilot, (0.2, 0.6))
    for entrant in found.values():
        entrant.arm.setup.backend.open = None  # no decode can be begun
    with pytest.raises(BackendError, match="No problem of the pilot was solved"):
        await hold(tmp_path, found, pilot)


class Flaky(Warm):
    """Fails at its first requests, as an engine does that dies and is started again."""

    failures = 7

    def open(self, request):
        if self.failures:
            self.failures -= 1
            raise BackendError("The engine has died.")
        return super().open(request)


async def test_what_fails_has_a_second_go(tmp_path):
    pilot, _ = split(MiniTask(n_problems=24), 20, 4).parts(MiniTask(n_problems=24))
    halving, _, _ = await hold(tmp_path, entrants(pilot, (0.2, 0.6), ONE, Flaky), pilot)
    assert [(rung.problems, rung.judged) for rung in halving.rungs] == [(20, 20)]
    kept = (tmp_path / "results.jsonl").read_text().splitlines()
    failed = [line for line in kept if "has died" in line]
    assert len(failed) == 7


# --- what was found -----------------------------------------------------------------------------


def row(accuracy, difference=None):
    low, high = accuracy - 0.02, accuracy + 0.02
    changes = {}
    if difference is not None:
        middle, half = difference
        changes = {
            "difference": middle,
            "difference_low": middle - half,
            "difference_high": middle + half,
        }
    names = Names(strategy_name="s", task="mini", model="m", backend="b")
    empty = Row.of("a", names, "c", [])
    figures = {"accuracy": accuracy, "accuracy_low": low, "accuracy_high": high}
    return empty.model_copy(update={"n_problems": 1000, **figures, **changes})


def finding(tuned=None, axes=None, prompts=(), best=1):
    made = space(DEFAULT, axes or {"temperature": (0.4, 1.2)}, prompts, VOTE)
    tried = tuple(
        Tried(c, 1 + (i < 2), 60 if i < 2 else 20, Interval(0.6 + i / 50, 0.5, 0.8), 80.0)
        for i, c in enumerate(made.candidates)
    )
    names = labels(made)
    rungs = (
        Rung(20, 20, dict.fromkeys(names, 0.6), tuple(names[:2]), 1000),
        Rung(60, 60, dict.fromkeys(names[:2], 0.6), (names[best],), 2000),
    )
    about = {"model": "m", "weights": None, "scheme": "fp32", "task": "mini", "strategy": "s"}
    winner = made.candidates[best if tuned else 0]
    return Finding("n", "m in fp32", about, tried, {}, rungs, winner, row(0.6), tuned)


@pytest.mark.parametrize(
    ("tuned", "verdict", "taken", "words"),
    [
        (row(0.65, (0.05, 0.03)), "better", "temperature=0.4", "it is better, and taken"),
        (row(0.61, (0.01, 0.03)), "undecided", "temperature=0.8", "not better beyond the interval"),
        (row(0.55, (-0.05, 0.03)), "worse", "temperature=0.8", "it is worse, so the default"),
        (None, "same", "temperature=0.8", "it is kept"),
    ],
)
def test_the_winner_is_taken_only_if_it_is_better_beyond_the_interval(tuned, verdict, taken, words):
    found = finding(tuned)
    assert found.verdict == verdict and found.taken.label == taken
    assert words in found.sentence() and "1,000 held-out problems" in found.sentence()
    assert "62.0%" not in found.sentence()  # what the pilot says of the winner is no result


def drawn(figure):
    """Diamonds, rings and panels of a picture."""
    lines = [line for axes in figure.axes for line in axes.get_lines()]
    diamonds = [line for line in lines if line.get_marker() == "D"]
    rings = [line for line in lines if line.get_markersize() == 13]
    return len(diamonds), len(rings), [axes for axes in figure.axes if axes.get_visible()]


def test_the_picture_marks_survivors_and_held_out_problems():
    tuned = row(0.65, (0.05, 0.03))
    found = finding(tuned, {"temperature": (0.4, 1.2), "top_p": (0.9, 1.0)})
    diamonds, rings, panels = drawn(picture([found, finding()]))
    assert (diamonds, rings, len(panels)) == (3, 4, 2)
    assert panels[0].get_xlabel() == "temperature"
    first = {line.get_label() for line in panels[0].get_lines()}
    assert {"top_p=1.0", "top_p=0.9"} <= first


def test_without_a_temperature_another_field_is_on_the_axis_or_the_names():
    (axes,) = drawn(picture([finding(axes={"top_p": (0.5, 0.9)})]))[2]
    assert axes.get_xlabel() == "top_p"
    made = finding(axes={"top_p": (1.0,)}, prompts=("own", "short"))
    (axes,) = drawn(picture([made]))[2]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["prompt=own", "prompt=short"]


def test_a_candidate_is_told_by_what_it_is():
    point = Point(Sampling(0.4), "short")
    assert Candidate("x", point, "grid").point.words() == {
        "temperature": 0.4, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "prompt": "short",
    }  # fmt: skip
