"""The best weights → a model folder with figures, pictures and exports."""
