"""What keeps the promises of `concord.ports`: one module (or folder) for each technology."""
