"""What watchers save on the tiny thinkers."""
