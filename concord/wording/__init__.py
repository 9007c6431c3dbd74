"""What people read of an error: sentences and remedies, keyed by its situation.

Pure data and how to look it up. `sentences` is in English; `shared`, `commands` and `pages` are remedies: for every
surface, for a shell (and API and logs, which are read beside one), and for the admin site. Pages translate what they
take from here.
"""
