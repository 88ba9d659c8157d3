"""What `tts.backends.openai` is made of; nothing here is for others."""
