"""The files in the wheel and in the source archive."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import requires, version
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def package_files() -> set[str]:
    """Return the files of the package, as paths from the repository's root."""
    found = (path for path in (ROOT / "rxollama").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(ROOT).as_posix() for path in found}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the source archive, and the wheel from it."""
    folder = tmp_path_factory.mktemp("dist")
    uv = os.environ.get("UV", "uv")
    subprocess.run([uv, "build", "--quiet", "--out-dir", str(folder), str(ROOT)], check=True, timeout=300)
    return folder


def test_the_wheel_holds_the_package(built: Path) -> None:
    """The wheel has every file of the package and its metadata, and nothing else."""
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = {name for name in wheel.namelist() if not name.endswith("/")}

    own = {name for name in names if not name.startswith("rxollama-")}
    assert package_files() == own


def test_the_source_archive_holds_the_package(built: Path) -> None:
    """The source archive has every file of the package, the project's file, README and LICENSE, and nothing else."""
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames() if not archive.getmember(name).isdir()}

    # Newer releases of the build backend add the original project file beside the normalised one.
    names.discard("pyproject.toml.orig")
    assert package_files() | {"LICENSE", "PKG-INFO", "README.md", "pyproject.toml"} == names


def test_the_version_is_one_fact() -> None:
    """The installed version is that of the project file."""
    assert f'version = "{version("rxollama")}"' in (ROOT / "pyproject.toml").read_text("utf-8")


def test_no_registry_is_named() -> None:
    """No tracked text file names a package registry's host, so that the project resolves with any registry."""
    tracked = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True, cwd=ROOT).stdout.split()
    hosts = ("pypi" + ".org", "python" + "hosted.org")

    assert "uv.lock" not in tracked
    assert [] == [
        name
        for name in tracked
        if (path := ROOT / name).is_file() and any(host in path.read_text("utf-8", "replace") for host in hosts)
    ]


@pytest.mark.parametrize("extra", ["cli", "testing"])
def test_only_the_extras_need_aiohttp(extra: str) -> None:
    """Aiohttp is installed with the extras that run a scripted server, and not otherwise."""
    needs = [line.partition(";") for line in requires("rxollama") or []]
    base = {name.strip() for name, _, condition in needs if "extra" not in condition}
    chosen = {name.strip() for name, _, condition in needs if f"extra == '{extra}'" in condition.replace('"', "'")}

    assert not any(name.startswith(("aiohttp", "httpx-aiohttp")) for name in base)
    assert any(name.startswith(("aiohttp", "rxollama[testing]")) for name in chosen)


@pytest.mark.parametrize(
    ("missing", "module", "told"),
    [
        ("aiohttp", "rxollama.testing", "rxollama.testing needs aiohttp: install it with pip install 'rxollama[test"),
        ("multidict", "rxollama.testing", "import of multidict halted"),
        ("aiohttp", "rxollama", ""),
        ("aiohttp", "rxollama._http", ""),
    ],
)
def test_without_aiohttp(missing: str, module: str, told: str) -> None:
    """Without aiohttp the library works, and its scripted server says what to install."""
    code = f"import sys; sys.modules[{missing!r}] = None; import {module}"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)

    assert told in done.stderr
    assert bool(told) == bool(done.returncode)
