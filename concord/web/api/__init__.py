"""What programs ask: one module for each noun, each with a router under /api/v1."""
