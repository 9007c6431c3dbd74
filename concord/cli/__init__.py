"""The `concord` command: one module for each noun."""
