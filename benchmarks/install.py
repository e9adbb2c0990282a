"""
How large is an installation, and how much CPU time does it take to import it and to ask once?

Both libraries are installed in fresh environments, with the newest dependencies that this project allows. Bytecode is
not counted. The CPU time is that of a whole process, less that of an interpreter that does nothing.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from _fast_server import WARM_UP, fast_server
from _harness import Aim, in_turn, main, print_table, spread

_ROOT = Path(__file__).parent.parent
_OURS, _THEIRS = "rxollama", "official client"
_IMPORT = {_OURS: "import rxollama", _THEIRS: "import ollama"}
_ASK = {
    _OURS: "import rxollama\nfor chunk in rxollama.Ollama({url!r}).chat({model!r}, 'x'): pass",
    _THEIRS: (
        "import ollama\n"
        "for part in ollama.Client({url!r}).chat({model!r}, [{{'role': 'user', 'content': 'x'}}], stream=True): pass"
    ),
}


class _Size(NamedTuple):
    distributions: int
    megabytes: float


def _uv(*args: str | Path) -> None:
    subprocess.run(["uv", *args, "--quiet"], cwd=_ROOT, check=True)


def _install(name: str, folder: Path) -> Path:
    """Install a library in a fresh environment, and return the environment's Python."""
    environment = folder / name.split(maxsplit=1)[0]
    _uv("venv", "--python", sys.executable, environment)
    if name == _OURS:
        _uv("build", "--wheel", "--out-dir", folder)
        (what,) = map(str, folder.glob("*.whl"))
    else:
        what = f"ollama=={version('ollama')}"
    python = environment / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    _uv("pip", "install", "--python", python, what)
    return python


def _size(python: Path) -> _Size:
    """Return the number and the size of what is installed."""
    (packages,) = python.parent.parent.rglob("site-packages")
    files = [file for file in packages.rglob("*") if file.is_file() and file.suffix != ".pyc"]
    ours = [file for file in files if not file.name.startswith("_virtualenv")]
    return _Size(len(list(packages.glob("*.dist-info"))), sum(file.stat().st_size for file in ours) / 1e6)


def _cpu_of(python: Path, code: str) -> float:
    """Return the milliseconds of CPU of a process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([python, "-I", "-c", code], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000


def _times(pythons: dict[str, Path], codes: dict[str, str], turns: int) -> dict[str, list[float]]:
    """Return the milliseconds of CPU of each library's code, in alternation. The first run writes the bytecode."""
    runs: dict[str, list[float]] = {name: [] for name in codes}
    for turn in range(turns + 1):
        for name in in_turn(codes, turn):
            used = _cpu_of(pythons[name], codes[name]) - _cpu_of(pythons[name], "pass")
            if turn:
                runs[name].append(used)
    return runs


def measure(smoke: bool) -> list[Aim]:
    """Measure both libraries, if they can be installed."""
    turns = 1 if smoke else 7
    with TemporaryDirectory() as folder, fast_server() as server:
        try:
            pythons = {name: _install(name, Path(folder)) for name in _IMPORT}
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"Not measured, because the libraries could not be installed: {error}", file=sys.stderr)
            print("Not measured, because the libraries could not be installed here.")
            return []
        sizes = {name: _size(python) for name, python in pythons.items()}
        imports = _times(pythons, _IMPORT, turns)
        asks = {name: code.format(url=server.url, model=WARM_UP.model()) for name, code in _ASK.items()}
        firsts = _times(pythons, asks, turns)
    rows = (
        (
            name,
            str(sizes[name].distributions),
            f"{sizes[name].megabytes:.1f}",
            spread(imports[name]).show(0),
            spread(firsts[name]).show(0),
        )
        for name in pythons
    )
    print_table(("", "distributions", "MB", "ms of CPU, import", "ms of CPU, import and first chat"), rows)
    return [
        Aim("installed size, by the official client", sizes[_OURS].megabytes / sizes[_THEIRS].megabytes, most=1),
        Aim("import, by the official client", spread(imports[_OURS]).median / spread(imports[_THEIRS]).median, most=1),
    ]


if __name__ == "__main__":
    main(measure, __doc__)
