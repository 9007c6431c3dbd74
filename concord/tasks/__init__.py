"""Celery's side of the pipeline: a task unpacks its argument, calls one stage, asks for the next."""
