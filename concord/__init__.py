"""Concord turns mail into events."""

__version__ = "0.3.0"
