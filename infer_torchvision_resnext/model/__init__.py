"""A name or a path becomes a model, which is read once."""
