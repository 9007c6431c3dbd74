"""Reads any bytes at all as a mail. Never raises: what is wrong with a mail is listed in its `defects`."""

from concord.mime.reading import peek, read

__all__ = ["peek", "read"]
