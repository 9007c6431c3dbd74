"""What the admin service serves."""
