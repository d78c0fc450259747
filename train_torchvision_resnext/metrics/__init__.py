"""How good answers and epochs are."""
