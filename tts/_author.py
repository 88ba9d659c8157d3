"""Who wrote some answers: what is fitted on those of one model says nothing of another's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from tts.types import ModelInfo


class Author(BaseModel):
    """The model that wrote some answers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(description="Its name, as the user gave it.")
    tokenizer: str = Field(default="", description="Identity of its tokenizer; empty if unknown.")
    weights: str | None = Field(default=None, description="Hash of its weights; null if unknown.")

    @classmethod
    def of(cls, model: ModelInfo, weights: str | None) -> Self:
        """What is known of a model."""
        return cls(model=model.name, tokenizer=model.tokenizer, weights=weights)

    @classmethod
    def recorded(cls, entry: Mapping[str, Any]) -> Self:
        """The model of an entry of `backends` in a run's `provenance.json`."""
        return cls.model_validate({k: entry[k] for k in cls.model_fields if k in entry})

    def same(self, other: Author) -> bool:
        """Whether two are one model, as far as it can be told."""
        if self.weights and other.weights:
            return self.weights == other.weights
        return (self.model, self.tokenizer) == (other.model, other.tokenizer)

    def __str__(self) -> str:
        return f"{self.model} (weights {self.weights[:8]})" if self.weights else self.model
