"""What the entry point `inspect_ai` names: the model provider `tts`.

Every `inspect` command loads this, so it is light: Hydra comes with the first model.
"""

from __future__ import annotations

from inspect_ai.model import ModelAPI, modelapi


@modelapi(name="tts")
def provider() -> type[ModelAPI]:
    """The class of models whose names begin with `tts/`."""
    from tts.cli.inspect_models import ConfiguredModel

    return ConfiguredModel
