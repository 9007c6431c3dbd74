"""Concord turns mail into events."""

__version__ = "0.2.0"
