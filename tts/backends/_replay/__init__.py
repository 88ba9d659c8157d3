"""What `tts.backends.replay` is made of; nothing here is for others."""
