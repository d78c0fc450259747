"""INPUT of every kind: what is listed, what is read of it, and what is refused."""

import csv

import pytest
from PIL import Image

from infer_torchvision_resnext.bulk.decoding import Decoding, decoded
from infer_torchvision_resnext.bulk.inputs import InputError, read_input
from infer_torchvision_resnext.bulk.job import classify_all
from infer_torchvision_resnext.resnext.images.preprocessing import Preprocessing
from tests.bulk_jobs import SETTINGS, rows_of, write_digits

NAMES = ["photos/a.png", "photos/naïve 猫.png", "photos/b.png"]


def test_a_folder_is_listed_without_what_systems_put_there(tmp_path):
    folder = tmp_path / "in"
    write_digits(folder, 4)
    image = (folder / "a" / "0000.png").read_bytes()
    for name in (
        "._0.png",
        ".Trash-1000/files/x.png",
        "a/@eaDir/0.png/thumb.jpg",
        "$RECYCLE.BIN/y.png",
        "z.heic",
        "t.jfif",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(image)
    for name in ("notes.txt", "a/movie.mp4", "a/raw.DNG", "b/raw.dng", "Thumbs.db"):
        (folder / name).write_bytes(b"")
    write_digits(tmp_path / "elsewhere", 2)
    (folder / "more").symlink_to(tmp_path / "elsewhere")
    (folder / "b" / "around").symlink_to(folder)
    (folder / "a" / "self.png").symlink_to(folder / "a" / "self.png")
    images = read_input(str(folder))
    assert images.paths == ["a/0000.png", "a/0001.png", "a/self.png", "b/0000.png", "b/0001.png", "t.jfif", "z.heic"]
    assert images.notes == (
        "skipped 5, hidden or of the system: $RECYCLE.BIN/, .Trash-1000/, ._0.png, Thumbs.db, a/@eaDir/",
        "skipped 1, linked folder that is listed elsewhere: b/around/",
        "skipped 1, linked folder that leads out of the folder: more/",
        "skipped 4, not an image by its name (.dng 2, .mp4 1, .txt 1): a/movie.mp4, a/raw.DNG, b/raw.dng, notes.txt",
    )
    of_url = read_input(f"file://{folder}")
    assert of_url.notes
    assert not [path for path in of_url.paths if ".Trash" in path or "@eaDir" in path or path.startswith("._")]


def test_what_is_left_out_is_said_before_the_first_row(tmp_path):
    write_digits(tmp_path / "in", 2)
    (tmp_path / "in" / "photo.dng").write_bytes(b"")
    said = []
    classify_all(
        tmp_path / "in", tmp_path / "table", SETTINGS, form="csv", workers=1, cache_folder=None, say=said.append
    )
    assert "INPUT: skipped 1, not an image by its name (.dng 1): photo.dng" in said
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "photo.dng").write_bytes(b"")
    with pytest.raises(InputError, match=r"holds no images: .*\nskipped 1, not an image by its name"):
        read_input(str(tmp_path / "none"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("delimiter", ["", ",", ";", "\t"])
def test_lists_as_programs_write_them(encoding, end, delimiter, tmp_path):
    lines = [f"7{delimiter}{name}" if delimiter else name for name in NAMES]
    header = [f"id{delimiter}path"] if delimiter else []
    path = tmp_path / ("list.csv" if delimiter else "list.txt")
    path.write_bytes((end.join([*header, *lines]) + end * 2).encode(encoding))
    images = read_input(str(path))
    assert [name for name in images.paths if name] == NAMES
    assert images.base == str(tmp_path)


def test_large_cells_beside_the_paths_are_read_and_change_no_setting(tmp_path):
    limit = csv.field_size_limit()
    (tmp_path / "list.csv").write_text(f"pixels,path\n{'x' * 200_000},a.png\n")
    assert list(read_input(str(tmp_path / "list.csv")).paths) == ["a.png"]
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("photos.zip", "unpack it and give the folder"),
        ("table.xlsx", "save it as .csv in UTF-8"),
        ("data.bin", "expected a text file in UTF-8 or UTF-16"),
        ("list.csv", "expected a text file in UTF-8 or UTF-16"),
    ],
)
def test_what_is_no_list_is_refused_by_name(name, remedy, tmp_path):
    (tmp_path / name).write_bytes(b"PK\3\4\xfd\xff" + bytes(50))
    with pytest.raises(InputError, match=rf"{name}' is not a folder, an image, a video or a list of paths: {remedy}"):
        read_input(str(tmp_path / name))


@pytest.mark.parametrize("given", ["", "  "])
def test_nothing_is_not_the_current_folder(given):
    with pytest.raises(InputError, match="INPUT is empty"):
        read_input(given)


def test_an_animated_picture_is_one_row(tmp_path):
    Image.new("RGB", (30, 30)).save(tmp_path / "a.gif")
    assert read_input(str(tmp_path / "a.gif")).paths == ("a.gif",)


@pytest.mark.parametrize("form", ["bytes", "struct", "struct without names"])
def test_images_in_a_parquet_file_are_read_from_it(form, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow as pa

    source = write_digits(tmp_path / "digits", 10)
    files = sorted(source.rglob("*.png"))
    contents = [file.read_bytes() for file in files]
    values = {
        "bytes": contents,
        "struct": [{"bytes": content, "path": f"x/{file.name}"} for content, file in zip(contents, files, strict=True)],
        "struct without names": [{"bytes": content, "path": None} for content in contents],
    }[form]
    table = pa.table({"label": list(range(11)), "image": [*values, None]})
    parquet.write_table(table, tmp_path / "train.parquet", row_group_size=4)
    classify_all(tmp_path / "train.parquet", tmp_path / "table", SETTINGS, column="image", workers=1, cache_folder=None)
    classify_all(source, tmp_path / "of-files", SETTINGS, workers=1, cache_folder=None)
    rows, of_files = rows_of(tmp_path / "table"), rows_of(tmp_path / "of-files")
    assert rows[10]["error"] == f"row 10 of {tmp_path}/train.parquet holds no bytes in the column 'image'"
    assert [row["path"] for row in rows[:2]] == {
        "struct": ["train.parquet#0/0000.png", "train.parquet#1/0001.png"],
    }.get(form, ["train.parquet#0", "train.parquet#1"])
    for row, of_file in zip(rows, of_files, strict=False):
        assert row["answer"] == of_file["answer"]
        assert row["probabilities"] == pytest.approx(of_file["probabilities"], abs=1e-6)


def test_a_column_of_other_values_is_refused_with_its_type(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow as pa

    parquet.write_table(pa.table({"path": [1, 2], "file": ["a", "b"]}), tmp_path / "list.parquet")
    with pytest.raises(InputError, match=r"column 'path' holds int64, not paths.*its columns are path, file"):
        read_input(str(tmp_path / "list.parquet"))
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"broken\.parquet cannot be read as Parquet"):
        read_input(str(tmp_path / "broken.parquet"))


def test_no_image_of_a_folder_is_read_through_a_link_that_leads_out(tmp_path):
    write_digits(tmp_path / "elsewhere", 2)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.png").symlink_to(tmp_path / "elsewhere" / "a" / "0000.png")
    how = Decoding(str(tmp_path / "in"), True, Preprocessing(24, 24))
    assert "leads out of the folder" in decoded("x.png", how).error
