"""Calling out to an address that somebody typed: only where the operator allows it, and only for so long."""
