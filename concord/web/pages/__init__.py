"""What people see: one module for each noun, each with a router."""
