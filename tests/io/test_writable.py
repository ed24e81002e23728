import os
import stat

import pytest
from builders import refused

from hra_cli.io.writable import check_file


def test_what_can_be_written_is_not_made(tmp_path):
    (tmp_path / "there.json").write_text("kept")
    check_file(tmp_path / "there.json")
    check_file(tmp_path / "new" / "below" / "a.json")
    assert [path.name for path in tmp_path.iterdir()] == ["there.json"]
    assert (tmp_path / "there.json").read_text() == "kept"


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("folder", "is a folder; give the name of a file"),
        ("file/below", "Not a directory"),
        ("loop/below", "Not a directory|Too many levels"),
        ("x" * 300, "File name too long"),
        ("x" * 250, "File name too long"),  # under its temporary name
        ("new/" * 2000 + "x", "File name too long"),
        ("pipe", "which would be replaced"),
    ],
)
def test_a_file_that_cannot_be_written(tmp_path, path, why):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("kept")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    with refused(why, tmp_path / path):
        check_file(tmp_path / path)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_read_only(tmp_path):
    (tmp_path / "folder").mkdir(mode=0o500)
    with refused("nothing can be written into"):
        check_file(tmp_path / "folder" / "a.json")
