"""Claims that a run is to decide: written into its configuration before it starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tts.errors import ConfigError
from tts.evaluation.claims import Claim, Kind, check
from tts.evaluation.statistics import Outcomes, differences


class Pledge(BaseModel):
    """What is claimed of two arms, before anything is known of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    arm: str = Field(description="Label of the arm of which something is claimed.")
    reference: str = Field(description="Label of the arm that it is compared with.")
    kind: Kind = Field(default="superiority", description="What is claimed.")
    margin: float = Field(
        default=0.0,
        description="In accuracy: 0.02 is two points. Of a cost: the largest share, 0.5 is half.",
    )
    cost: str = Field(default="", description="Of kind cost: what is spent, completion_tokens say.")


def read_pledges(config: Mapping[str, Any], labels: Sequence[str]) -> list[Pledge]:
    """The claims of a configuration.

    Args:
        config: Resolved.
        labels: Of the arms that there are.

    Raises:
        ConfigError: A claim cannot be read, or speaks of an arm that is not there.
    """
    entries = config["claims"] or []
    if not isinstance(entries, list):
        raise ConfigError("claims must be a list.", hint="Write claims=[{arm: a, reference: b}].")
    return [_pledge(number, entry, labels) for number, entry in enumerate(entries)]


def decide(
    pledges: Sequence[Pledge], outcomes: Callable[[str, str], Outcomes], *, on: str, command: str
) -> list[Claim]:
    """Judge all claims.

    Args:
        pledges: As read.
        outcomes: Those of an arm, by its label and the name of a cost (empty: right or wrong).
        on: The problems, in words.
        command: What shows it again.

    Returns:
        One each, but for those of which every problem has failed.
    """
    found = []
    for pledge in pledges:
        arm, reference = (outcomes(side, pledge.cost) for side in (pledge.arm, pledge.reference))
        if differences(arm, reference):  # else all has failed, and nothing can be said
            found.append(
                Claim.of(
                    arm,
                    reference,
                    what=f"{pledge.arm} against {pledge.reference}",
                    on=on,
                    kind=pledge.kind,
                    margin=pledge.margin,
                    cost=pledge.cost,
                    command=command,
                )
            )
    return found


def _pledge(number: int, entry: object, labels: Sequence[str]) -> Pledge:
    where = f"claims[{number}]"
    try:
        pledge = Pledge.model_validate(entry)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join([where, *map(str, first["loc"])])
        raise ConfigError(
            f"{field}: {first['msg']}.", hint="A claim has arm, reference, kind, margin and cost."
        ) from error
    for label in (pledge.arm, pledge.reference):
        if label not in labels:
            raise ConfigError(
                f"{where}: there is no arm {label!r}.",
                hint=f"There are: {', '.join(labels)}. claims=[] makes none.",
            )
    try:
        check(pledge.kind, pledge.margin, cost=pledge.cost)
    except ConfigError as error:
        raise ConfigError(f"{where}.{error.message}", hint=error.hint) from error
    return pledge
