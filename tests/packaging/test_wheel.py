"""A built wheel works where nothing of this repository is."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from hra_cli import __version__

ROOT = Path(__file__).parents[2]


def run(*command, cwd):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(part) for part in command]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from the sources without a package index: hatchling is in the lane's lock file."""
    folder = tmp_path_factory.mktemp("wheel")
    offline = ["--no-build-isolation", "--no-deps", "--no-index", "--quiet"]
    run(sys.executable, "-m", "pip", "wheel", *offline, "--wheel-dir", folder, ROOT, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory) -> Path:
    """A new virtual environment with the wheel in it.

    What hra needs it borrows from the running environment, since torch alone is gigabytes: a .pth file names that
    one's site-packages. Python follows no .pth file in a folder that is found in this way, so the editable install
    of these sources, which is such a file, is not seen.
    """
    folder = tmp_path_factory.mktemp("installed") / "env"
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    offline = ["--no-deps", "--no-index", "--quiet"]
    run(sys.executable, "-m", "pip", "--python", python, "install", *offline, wheel, cwd=folder)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    (site_packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def test_the_wheel_has_the_package_with_its_types_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert wheel.name == f"hra_cli-{__version__}-py3-none-any.whl"
    assert "hra_cli/py.typed" in names
    sources = {str(file.relative_to(ROOT)) for file in (ROOT / "hra_cli").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == sources
    assert {Path(name).parts[0] for name in names} == {"hra_cli", f"hra_cli-{__version__}.dist-info"}


def test_the_installed_package_is_the_wheels(environment):
    where = run(environment / "bin" / "python", "-c", "import hra_cli; print(hra_cli.__file__)", cwd=environment)
    assert Path(where.strip()).is_relative_to(environment)


def test_the_installed_command_says_its_version(environment):
    assert run(environment / "bin" / "hra", "--version", cwd=environment) == f"hra {__version__}\n"


def test_the_installed_command_computes_growth(environment):
    """The paper's model: width 1536, H = 64, 128 linear heads, 12.8 M parameters in all."""
    growth = run(environment / "bin" / "hra", "info", "--growth", cwd=environment)
    assert "12,877,952" in growth
