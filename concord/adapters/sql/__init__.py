"""The truth: accounts, ledger and outbox in SQLite or PostgreSQL."""
