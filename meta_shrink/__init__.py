"""Modular meta-learning with shrinkage: learn which modules of a network are task-specific."""

__version__ = "0.1.0"
