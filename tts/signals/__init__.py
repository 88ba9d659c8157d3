"""What answers tell of themselves, with no second model and no further token.

Pure functions of log-probabilities and texts. Knows no strategy, no verifier and no vote.
"""
