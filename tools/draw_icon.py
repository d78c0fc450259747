"""Draw the plugin's icon: a block of ResNeXt, paths side by side, summed, with the shortcut around them."""

from pathlib import Path

from PIL import Image, ImageDraw

SIZE = 128
SUPERSAMPLED = 8
"""Drawn this many times larger and reduced, for smooth edges."""

NIGHT, WHITE, AMBER, SKY = (24, 32, 56), (255, 255, 255), (255, 176, 32), (110, 190, 255)


def draw_icon(accent: tuple[int, int, int]) -> Image.Image:
    """The icon, RGBA, 128 x 128, with its paths in `accent`."""
    unit = SUPERSAMPLED
    picture = Image.new("RGBA", (SIZE * unit, SIZE * unit), (0, 0, 0, 0))
    pen = ImageDraw.Draw(picture)

    def box(corners, fill, radius=6):
        pen.rounded_rectangle([v * unit for v in corners], radius * unit, fill=fill)

    def line(points, fill, width=7):
        pen.line([v * unit for point in points for v in point], fill, width * unit, joint="curve")

    box((0, 0, 127, 127), NIGHT, radius=26)
    for x in (30, 58, 86):
        line([(58, 20), (x, 42)], WHITE)
        line([(x, 84), (58, 104)], WHITE)
        box((x - 11, 40, x + 11, 86), accent)
    line([(58, 20), (110, 20), (110, 104), (58, 104)], WHITE)
    pen.ellipse([v * unit for v in (47, 93, 69, 115)], fill=WHITE)
    pen.ellipse([v * unit for v in (50, 12, 66, 28)], fill=WHITE)
    line([(58, 98), (58, 110)], NIGHT, 4)
    line([(52, 104), (64, 104)], NIGHT, 4)
    return picture.resize((SIZE, SIZE), Image.Resampling.LANCZOS)


def main() -> None:
    repository = Path(__file__).parents[1]
    for plugin, accent in (("infer_torchvision_resnext", SKY), ("train_torchvision_resnext", AMBER)):
        if (repository / plugin).is_dir():
            icons = repository / plugin / "icons"
            icons.mkdir(exist_ok=True)
            draw_icon(accent).save(icons / "icon.png", optimize=True)


if __name__ == "__main__":
    main()
