"""Batches cut into few sizes, for runtimes that set up every new number of images anew."""

CHUNK = 8
"""Images per inference on a CPU. More are no faster there."""


def chunks(count: int) -> list[slice]:
    """Cut a batch into parts of 8, then of 4, 2 and 1."""
    parts, start, size = [], 0, CHUNK
    while start < count:
        while size > count - start:
            size //= 2
        parts.append(slice(start, start + size))
        start += size
    return parts
