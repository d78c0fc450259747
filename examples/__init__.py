"""What the README shows: the demo, and the script behind the small model that comes with it."""
