"""A card in words: one sentence, and the checkpoint's `README.md`."""

from __future__ import annotations

from tts.quantize.card import Calibration, Card, Range


def sentence(card: Card) -> str:
    """What came of it, in one sentence."""
    if card.difference is None or card.interval is None:
        return f"Accuracy was not compared. {card.measured_on}."
    low, high = (_points(end) for end in card.interval)
    said = f"{_points(card.difference)} points [{low}, {high}]"
    on = f"on {card.n_problems:,} problems of {card.task}"
    margin = f"by {100 * card.margin:g} points"
    if card.verdict == "met":
        return f"Accuracy is not inferior {margin} {on}: {said}."
    if card.verdict == "not met":
        return f"Accuracy is inferior {margin} or more {on}: {said}."
    return f"Whether accuracy is inferior {margin} is undecided {on}: {said}."


def page(card: Card) -> str:
    """The card as a page."""
    rows = (
        ("bytes of weights", f"{card.bytes_before:,}", f"{card.bytes_after:,}"),
        (
            "accuracy",
            _with_range(card.accuracy_before, card.accuracy_before_interval),
            _with_range(card.accuracy_after, card.accuracy_after_interval),
        ),
        ("perplexity", _number(card.perplexity_before), _number(card.perplexity_after)),
    )
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"""\
# {card.model} in {card.scheme}

{sentence(card)}

| | full | quantised |
| --- | --- | --- |
{table}

- **Weights.** {_weights(card)}
- **Data.** {_data(card.calibration)}
- **Accuracy.** {_accuracy(card)}
- **Perplexity.** {_perplexity(card)}
- **Measured on.** {card.measured_on}.
- **Made with.** {", ".join(f"{name} {v}" for name, v in card.versions.items())}; seed {card.seed}.

```sh
{card.command}
```

All figures are in `card.json`, and what decides the weights is in `quantised.json`.
"""


def _weights(card: Card) -> str:
    shared = f"{card.group} weights share a scale" if card.group else "a scale for each channel"
    smooth = f", after SmoothQuant of strength {card.smooth:g}" if card.smooth else ""
    narrow = "; 7 of 8 bits, for processors without VNNI" if card.narrow else ""
    return f"{card.layers} layers by {card.method.upper()}, {shared}{smooth}{narrow}."


def _data(data: Calibration | None) -> str:
    if data is None:
        return "None was needed."
    said = f"{data.samples:,} samples of {data.source}, {data.tokens:,} tokens"
    if data.answered:
        said += f"; {data.answered:,} of them are answered by the full model itself"
    if data.left_out:
        said += f"; {data.left_out:,} were left out, as the evaluation asks them"
    return f"{said}."


def _accuracy(card: Card) -> str:
    if card.verdict is None:
        return "Not measured."
    return (
        f"{card.how} The margin of {100 * card.margin:g} points was fixed beforehand; the"
        " difference is paired by problem, intervals are at 95%."
    )


def _perplexity(card: Card) -> str:
    if card.divergence is None or card.divergence_interval is None:
        return "Not measured."
    low, high = card.divergence_interval
    return (
        f"Of {card.perplexity_tokens:,} tokens that the full model wrote at temperature 1 to"
        f" problems of {card.task}. The quantised model diverges from the full one by"
        f" {card.divergence:.4f} [{low:.4f}, {high:.4f}] nats a token."
    )


def _with_range(mean: float | None, ends: Range | None) -> str:
    if mean is None or ends is None:
        return "–"
    return f"{100 * mean:.1f}% [{100 * ends[0]:.1f}, {100 * ends[1]:.1f}]"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _points(share: float) -> str:
    return f"{100 * share + 0.0:+.1f}"
