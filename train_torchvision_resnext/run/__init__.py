"""The plan of a training, its run folder, and what fitting and results share."""
