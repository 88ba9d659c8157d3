"""Backends: things that decode, all behind `tts.protocols.Backend`.

Import the one you need from its own module: `tts.backends.vllm.VLLMBackend`,
`tts.backends.openai.OpenAIBackend`, `tts.backends.simulated.SimulatedBackend`, and around any of
them `tts.backends.replay.ReplayBackend`. Nothing is imported here, so that using one never loads
what another needs.
"""
