"""Models as files: the model folder, weights, the golden set."""
