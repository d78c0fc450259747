"""Copies of large photos no larger than training needs, so that later epochs and runs decode those instead.

A large photo is always trained on in its smaller size, whether its copy is there or has to be made, and copies are PNG
files, which lose nothing. So what is learned does not depend on what the folder holds: it may be deleted at any
time. It is shared by all processes; an entry is whole or absent.
"""

import logging
import shutil
import time
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from ..resnext.folder.whole import whole_file
from ..resnext.images.files import read_image
from ..resnext.images.opencv import opencv
from ..resnext.images.preprocessing import Preprocessing
from ..resnext.images.rgb import RGBImage
from .augmentation import ASPECT, SCALE
from .dataset import Sample

logger = logging.getLogger(__name__)

MAX_BYTES = 20 * 2**30
"""Bound of the folder's size: about 12,000 photos at 224 pixels."""

OVERSAMPLING = 2
"""Pixels of a copy in each pixel of the smallest crop, along a side; a photo-like picture's crops then differ by 0.4
levels on average."""

LOCK_TIMEOUT_S = 10


@dataclass(frozen=True)
class Copies:
    """The folder of copies, each named by the content of its photo and by how it was made.

    Attributes:
        folder: made when needed.
        since: when this training began, in seconds since the epoch; what was used since is not removed for new copies.
    """

    folder: Path
    preprocessing: Preprocessing
    max_bytes: int = MAX_BYTES
    since: float = field(default_factory=time.time)

    def factor(self, sample: Sample) -> int:
        """By which a photo's sides are divided; 1 = it is small, and trained on as it is."""
        smallest_box = (min(SCALE) * min(ASPECT)) ** 0.5
        needed = OVERSAMPLING * self.preprocessing.crop_size / smallest_box
        return max(1, int(sample.short_side / needed)) if sample.content_hash else 1

    def read(self, sample: Sample) -> RGBImage:
        """The image as it is trained on: RGB, uint8, H x W x 3. Raises: ImageError, OSError, of the original."""
        factor = self.factor(sample)
        if factor == 1:
            return read_image(sample.path, self.preprocessing.value_range)
        copy = self._place(sample, factor)
        if (kept := _kept(copy)) is not None:
            return kept
        cv2 = opencv()
        pixels = read_image(sample.path, self.preprocessing.value_range)
        height, width = pixels.shape[:2]
        # Each pixel is the mean of factor x factor; of the last row and column a little more.
        smaller = cv2.resize(pixels, (width // factor, height // factor), interpolation=cv2.INTER_AREA)
        content = cv2.imencode(".png", smaller[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
        try:
            self._keep(copy, content)
        except (OSError, Timeout) as error:
            logger.debug("no copy of %s was kept: %s", sample.path, error)
        return np.asarray(smaller)

    def _place(self, sample: Sample, factor: int) -> Path:
        made_by = f"1/{sample.content_hash}/{factor}/{self.preprocessing.value_range}"
        return self.folder / f"{blake2b(made_by.encode(), digest_size=16).hexdigest()}.png"

    def _keep(self, copy: Path, content: bytes) -> None:
        """Write a copy, if there is room when those that no training has used since this one began are removed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / ".lock", timeout=LOCK_TIMEOUT_S):
            found = sorted((path.stat().st_mtime, path.stat().st_size, path) for path in self.folder.glob("*.png"))
            used = sum(size for _, size, _ in found)
            # Half of the disk's room is left to the models.
            bound = min(self.max_bytes, (used + shutil.disk_usage(self.folder).free) // 2)
            for used_at, size, path in found:
                if used + len(content) <= bound or used_at >= self.since:
                    break
                path.unlink(missing_ok=True)
                used -= size
            if used + len(content) <= bound:
                with whole_file(copy) as draft:
                    draft.write_bytes(content)


def _kept(copy: Path) -> RGBImage | None:
    """The pixels of a copy, which counts as used now; None where there is none, or a damaged one."""
    cv2 = opencv()
    try:
        content = copy.read_bytes()
        # So that the least recently used one can be told.
        copy.touch()
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except (OSError, cv2.error):
        return None
    return None if pixels is None else np.ascontiguousarray(pixels[..., ::-1])
