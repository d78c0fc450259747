"""What is left after a kill and after a power cut, and what waiting for the disk costs."""
