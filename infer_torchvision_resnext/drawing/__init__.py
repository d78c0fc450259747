"""Boxes, captions and maps on the picture."""
