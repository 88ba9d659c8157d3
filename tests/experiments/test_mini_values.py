"""Labels of prefixes: their expectation is the value, by enumeration of all that can be drawn."""

import itertools
from collections import defaultdict

import numpy as np
import pytest

from experiments.mini.draws import Draw
from experiments.mini.rollouts import places
from experiments.mini.values import estimates, labels

END = None
POLICY = {"a": 0.5, "b": 0.3, END: 0.2}
"""The next token of a chain, whatever came before; at its longest length it always ends."""


def right(answer):
    return answer in {"", "a", "ab", "bb", "aab", "bba", "bab"}


def continuations(prefix, longest):
    """All ends of an answer with their probabilities."""
    if len(prefix) == longest:
        return {"": 1.0}
    found = {}
    for token, chance in POLICY.items():
        if token is END:
            found[""] = chance
        else:
            for rest, other in continuations(prefix + token, longest).items():
                found[token + rest] = chance * other
    return found


def value(prefix, longest):
    return sum(p * right(prefix + rest) for rest, p in continuations(prefix, longest).items())


def draws_of(answers, points, chosen):
    """Draws of one outcome: the answers, and by answer and branch point the roll-outs' ends."""
    ids = {"a": 10, "b": 11}
    draws = [Draw(tuple(ids[t] for t in answer), True, right(answer)) for answer in answers]
    for (number, at), ends in zip(points, chosen, strict=True):
        for end in ends:
            tokens = tuple(ids[t] for t in end)
            draws.append(Draw(tokens, True, right(answers[number][:at] + end), number, at))
    return draws


def outcomes(longest, samples, rollouts, after):
    """All outcomes of the scheme with their probabilities."""
    ends = continuations("", longest)
    for answers in itertools.product(ends, repeat=samples):
        chance = np.prod([ends[answer] for answer in answers])
        points = [
            (number, at)
            for number, answer in enumerate(answers)
            for at in places(tuple(answer), (after[number], frozenset()), most=99)
        ]
        laws = [continuations(answers[n][:at], longest) for n, at in points]
        options = [list(itertools.product(law, repeat=rollouts)) for law in laws]
        for chosen in itertools.product(*options):
            drawn = [law[end] for law, rest in zip(laws, chosen, strict=True) for end in rest]
            yield chance * np.prod(drawn), draws_of(answers, points, chosen), answers, points


def own_prefixes(draws, answers, points, rollouts):
    """The text of each prefix that has a label, by draw."""
    letters = {10: "a", 11: "b"}
    for draw in draws:
        text = "".join(letters[token] for token in draw.tokens)
        if draw.parent is None:
            yield [text[:end] for end in range(len(text) + 1)]
        else:
            head = answers[draw.parent][: draw.at]
            yield [head + text[:end] for end in range(1, len(text) + 1)]


@pytest.mark.parametrize("estimate", [labels, estimates])
@pytest.mark.parametrize(
    ("longest", "rollouts", "after"),
    [
        (3, 1, [{1, 2}]),
        (3, 2, [{2}]),
        (2, 2, [{0}]),
        (2, 1, [{1}, {1, 2}]),
        (2, 1, [set(), {0, 1}]),
    ],
)
def test_the_expected_label_of_a_prefix_is_its_value(longest, rollouts, after, estimate):
    """However many draws pass the prefix, so that no weight of rows can bring a bias in."""
    mass, total = defaultdict(float), defaultdict(float)
    after = [frozenset(points) for points in after]
    for chance, draws, answers, points in outcomes(longest, len(after), rollouts, after):
        prefixes = list(own_prefixes(draws, answers, points, rollouts))
        passing = defaultdict(int)
        for prefix in itertools.chain.from_iterable(prefixes):
            passing[prefix] += 1
        for mine, values in zip(prefixes, estimate(draws), strict=True):
            assert len(mine) == len(values)
            for prefix, label in zip(mine, values, strict=True):
                mass[prefix, passing[prefix]] += chance * label
                total[prefix, passing[prefix]] += chance
    assert len({prefix for prefix, _ in total}) == 2 ** (longest + 1) - 1
    for key, weight in total.items():
        assert mass[key] / weight == pytest.approx(value(key[0], longest), abs=1e-6), key


def test_labels_of_a_small_tree():
    draws = [
        Draw((7, 8, 9), True, True),
        Draw((7, 9), True, False),
        Draw((6,), True, False, parent=0, at=1),
        Draw((8,), True, False, parent=0, at=1),
        Draw((8, 9), True, True, parent=0, at=1),
    ]
    found = [values.tolist() for values in labels(draws)]
    half = 0.5  # of the first answer and its roll-outs, up to the branch point
    assert found == [
        pytest.approx([half / 2, half / 2, 2 / 3, 1.0]),
        pytest.approx([half / 2, half / 2, 0.0]),
        [0.0],
        pytest.approx([2 / 3]),
        pytest.approx([2 / 3, 1.0]),
    ]


def test_roll_outs_behind_a_later_point_speak_for_the_earlier_one():
    draws = [
        Draw((7, 8), True, True),
        Draw((), True, False, parent=0, at=2),
        Draw((6,), True, False, parent=0, at=0),
    ]
    assert [values.tolist() for values in estimates(draws)] == [[0.25, 0.5, 0.5], [], [0.0]]


def test_what_was_cut_has_no_value_of_its_own_right():
    draws = [Draw((7,), False, False)]
    assert labels(draws)[0].tolist() == [0.0, 0.0]
