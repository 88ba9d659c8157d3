"""The recipe of the mini models: training, roll-outs, evaluation, figures."""
