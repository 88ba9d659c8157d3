"""What each scheme costs a bundled model in accuracy: checkpoints and a table of their cards."""
