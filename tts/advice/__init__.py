"""Advice: what each scheme would do with a model and a workload, and which of them to take.

The formulas are the engine's (`tts.engine.roofline`); this room adds what is known of machines,
what is measured on this one, and how accuracy is weighed against cost.
"""
