"""Watching over Concord itself: what it does, kept as numbers. Reads through ports, changes no mail."""
