import subprocess
import sys

import pytest

from train_torchvision_resnext.__main__ import COMMANDS, main


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    assert f"usage: python -m train_torchvision_resnext {command} " in capsys.readouterr().out


def test_help_lists_the_commands(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    printed = capsys.readouterr().out
    assert all(f"{command:{max(map(len, COMMANDS))}}  {purpose}" in printed for command, purpose in COMMANDS.items())


def test_what_is_no_command_is_a_dataset(tmp_path, capsys):
    assert main([str(tmp_path / "missing"), "--set", "device=cpu", f"output_folder={tmp_path}"]) == 1
    assert "missing' is not a folder" in capsys.readouterr().err


@pytest.mark.parametrize("form", [["train_torchvision_resnext", "compare"], ["train_torchvision_resnext.compare"]])
def test_compare_has_two_forms(form, tmp_path):
    command = [sys.executable, "-m", *form, str(tmp_path), str(tmp_path)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 1
    assert "validation.csv is no table of answers" in finished.stderr
