"""The photo of the README is made by a command, from parts of a photo that the network did not learn from."""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]

CODE = """
import pathlib, sys
import examples.ikomia_home
examples.ikomia_home.DEMO = pathlib.Path(sys.argv[1])
from examples import photo
photo.PATCHES = 10
photo.RECIPE.update(epochs=1, batch_size=8, num_workers=0)
answers = photo.main(pathlib.Path(sys.argv[1]) / "pictures")
print([len(labels) for labels in answers])
areas = sum(photo.TRAINING_AREAS.values(), ())
disjoint = lambda a, b: a[0] + a[2] <= b[0] or b[0] + b[2] <= a[0] or a[1] + a[3] <= b[1] or b[1] + b[3] <= a[1]
print(all(disjoint(area, box) for area in areas for box in photo.PHOTO_BOXES))
"""


def test_the_photo_is_made_from_parts_that_were_not_trained_on(tmp_path):
    """One short training: whether the answers are right is not asked."""
    from PIL import Image

    finished = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert finished.stdout.splitlines()[-2:] == ["[4, 1]", "True"], finished.stderr
    with Image.open(tmp_path / "pictures" / "photo_boxes.png") as made:
        size = made.size
    with Image.open(REPOSITORY / "docs" / "images" / "photo_boxes.png") as shown:
        assert shown.size == size
    illustration = REPOSITORY / "infer_torchvision_resnext" / "icons" / "illustration.png"
    assert illustration.read_bytes() == (REPOSITORY / "docs" / "images" / "photo_boxes.png").read_bytes()
