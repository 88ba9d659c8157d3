"""The recipe of `mini-reasoner`: training from scratch, evaluation, figures."""
