from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def _contents(plugin):
    folder = REPOSITORY / plugin / "resnext"
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_both_plugins_carry_the_same_shared_package():
    infer, train = _contents("infer_torchvision_resnext"), _contents("train_torchvision_resnext")
    assert sorted(infer) == sorted(train)
    assert [name for name in infer if infer[name] != train[name]] == [], "run `make sync`"
