"""The parts of `tts.engine.schemes`."""
