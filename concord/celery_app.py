"""The Celery app, where `celery -A concord.celery_app` looks for it."""
