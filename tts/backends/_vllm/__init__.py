"""What `tts.backends.vllm` is made of; nothing here is for others."""
