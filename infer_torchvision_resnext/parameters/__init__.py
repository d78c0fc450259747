"""What users can set."""

from .task import Parameters, read_host_map

__all__ = ["Parameters", "read_host_map"]
