"""Copies of large photos no larger than they are needed, so that later epochs and runs decode those instead.

What validation sees is kept as it is. For training, a large photo is always taken in its smaller size, whether its
copy is there or has to be made, and copies are PNG files, which lose nothing. So what is learned does not depend
on what the folder holds: it may be deleted at any time. It is shared by all processes; an entry is whole or absent.

A copy is used only if it is what was written for this very photo: behind the PNG file, which readers of PNG pass over,
stands a digest of its bytes and of what it was made from. A photo that was replaced since the images were checked is
trained on as it is now, and not kept.
"""

import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from ..resnext.images.files import content_of
from ..resnext.images.opencv import opencv
from ..resnext.images.rgb import ImageError, RGBImage
from ..resnext.machine.disk import whole_file
from ..resnext.machine.printable import shown
from .augmentation import ASPECT, SCALE
from .samples import Reader, Sample

logger = logging.getLogger(__name__)

MAX_BYTES = 20 * 2**30
"""Bound of the folder's size: about 12,000 photos at 224 pixels."""

OVERSAMPLING = 2
"""Pixels of a copy in each pixel of the smallest crop, along a side; a photo-like picture's crops then differ by 0.4
levels on average."""

LOCK_TIMEOUT_S = 10

DIGEST_BYTES = 16


@dataclass(frozen=True)
class Copies(Reader):
    """The folder of copies, each named by the content of its photo and by how it was made.

    Attributes:
        folder: made when needed.
        since: when this training began, in seconds since the epoch; what was used since is not removed for new copies.
    """

    folder: Path
    max_bytes: int = MAX_BYTES
    since: float = field(default_factory=time.time)
    _room: list[int] = field(default_factory=lambda: [0], repr=False, compare=False)

    def factor(self, sample: Sample) -> int:
        """By which a photo's sides are divided; 1 = it is small, and trained on as it is."""
        smallest_box = (min(SCALE) * min(ASPECT)) ** 0.5
        needed = OVERSAMPLING * self.preprocessing.crop_size / smallest_box
        return max(1, int(sample.short_side / needed)) if sample.content_hash else 1

    def read(self, sample: Sample) -> RGBImage:
        """As `Reader.read` gives it, large photos smaller."""
        factor = self.factor(sample)
        if factor == 1:
            return super().read(sample)
        return self._once(sample, str(factor), sample.short_side // factor, lambda image: _divided(image, factor))

    def crop(self, sample: Sample) -> RGBImage:
        """As `Reader.crop` gives it, whether it was kept or not."""
        if self.factor(sample) == 1:
            return super().crop(sample)
        return self._once(sample, str(self.preprocessing), self.preprocessing.crop_size, self.preprocessing.crop)

    def _once(self, sample: Sample, what: str, short_side: int, make: Callable[[RGBImage], RGBImage]) -> RGBImage:
        """What is made of an image: its copy, or else made now, and kept if that can be.

        Args:
            short_side: of what is made, in pixels.
        """
        origin = f"2/{sample.content_hash}/{what}/{self.preprocessing.value_range}".encode()
        copy = self.folder / f"{blake2b(origin, digest_size=DIGEST_BYTES).hexdigest()}.png"
        kept = _read_copy(copy, origin)
        if kept is not None and min(kept.shape[:2]) == short_side:
            return kept
        image, content_hash = self.read_with_hash(sample)
        made = make(image)
        if content_hash != sample.content_hash:
            logger.warning("%s was replaced since the images were checked; no copy is kept", shown(str(sample.path)))
            return made
        cv2 = opencv()
        content = cv2.imencode(".png", made[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
        try:
            self._keep(copy, content + _digest(content, origin))
        except (OSError, Timeout) as error:
            logger.debug("no copy of %s was kept: %s", sample.path, error)
        return made

    def _keep(self, copy: Path, content: bytes) -> None:
        """Write a copy, if there is room for it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if len(content) > self._room[0]:
            with FileLock(self.folder / ".lock", timeout=LOCK_TIMEOUT_S):
                self._room[0] = self._make_room(len(content))
        if len(content) <= self._room[0]:
            self._room[0] -= len(content)
            with whole_file(copy, durable=False) as draft:
                draft.write_bytes(content)

    def _make_room(self, needed: int) -> int:
        """Bytes that may be written, when copies that no training has used since this one began are removed."""
        found = sorted((path.stat().st_mtime, path.stat().st_size, path) for path in self.folder.glob("*.png"))
        used = sum(size for _, size, _ in found)
        # Half of the disk's room is left to the models.
        bound = min(self.max_bytes, (used + shutil.disk_usage(self.folder).free) // 2)
        for used_at, size, path in found:
            if used + needed <= bound or used_at >= self.since:
                break
            path.unlink(missing_ok=True)
            used -= size
        # Some at once, for looking through thousands of files takes longer than decoding one.
        return max(needed, min(bound - used, bound // 64)) if used + needed <= bound else 0


def _divided(image: RGBImage, factor: int) -> RGBImage:
    """Each pixel is the mean of factor x factor; of the last row and column a little more."""
    cv2 = opencv()
    height, width = image.shape[:2]
    # A photo that was replaced may be smaller than the factor.
    size = max(1, width // factor), max(1, height // factor)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def _digest(content: bytes, origin: bytes) -> bytes:
    """Of a PNG file and what it was made from."""
    return blake2b(content, digest_size=DIGEST_BYTES, key=blake2b(origin).digest()).digest()


def _read_copy(copy: Path, origin: bytes) -> RGBImage | None:
    """The pixels of a copy, which counts as used now; None where there is none that was made of this."""
    cv2 = opencv()
    try:
        sealed = content_of(copy)
        content = sealed[:-DIGEST_BYTES]
        if sealed[-DIGEST_BYTES:] != _digest(content, origin):
            return None
        # So that the least recently used one can be told.
        copy.touch()
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except (OSError, ImageError, cv2.error):
        return None
    return None if pixels is None else np.ascontiguousarray(pixels[..., ::-1])
