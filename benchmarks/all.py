"""
Run all benchmarks, one after another, and print their results as Markdown.

It takes under six minutes on two cores, which other programs should leave alone. `--write` puts the results into
`benchmarks/README.md`.

Run it:

    uv run python benchmarks/all.py [--smoke] [--write]
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from argparse import ArgumentParser
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from _harness import AIM

_HERE = Path(__file__).parent
_README = _HERE / "README.md"
_QUESTIONS = (
    "burst",
    "paced",
    "short_chats",
    "latency",
    "cancel_latency",
    "operators",
    "sharing",
    "reductions",
    "bridges",
    "memory",
    "install",
    "partial_json",
    "pool_routing",
)
_MARK = "<!-- Everything below is written by `all.py --write`. -->\n"
_LIBRARIES = ("ollama", "reactivex", "httpx", "msgspec", "orjson")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _machine() -> str:
    """Describe the machine and the versions."""
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores of {_processor() or 'an unknown processor'}, "
        f"{platform.system()}, Python {platform.python_version()}, {libraries}. "
        f"The load average at the start was {load}."
    )


def _run(question: str, *, smoke: bool) -> str:
    """Run one benchmark, and return what it printed."""
    command = [sys.executable, str(_HERE / f"{question}.py"), *(["--smoke"] if smoke else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"{question}.py failed:\n{done.stdout}")
    return f"## {question.replace('_', ' ').capitalize()} (`{question}.py`)\n\n{done.stdout.strip()}\n"


def main() -> None:
    """Run the benchmarks."""
    parser = ArgumentParser(description="Run all benchmarks, and print their results as Markdown.")
    parser.add_argument("--smoke", action="store_true", help="run briefly, to check that everything works")
    parser.add_argument("--write", action="store_true", help="put the results into benchmarks/README.md")
    options = parser.parse_args()
    began, machine, sections = time.monotonic(), _machine(), list[str]()
    print(f"{machine}\n")
    for question in _QUESTIONS:
        started = time.monotonic()
        sections.append(_run(question, smoke=options.smoke))
        print(sections[-1], flush=True)
        print(f"{question}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    took = f"All benchmarks together took {time.monotonic() - began:.0f} s."
    print(took)
    if options.write:
        text = "\n".join(sections)
        aims = "\n".join(line for line in text.splitlines() if line.startswith(f"- {AIM}"))
        kept = _README.read_text("utf-8").partition(_MARK)[0]
        _README.write_text(f"{kept}{_MARK}\n{machine} {took}\n\n## Aims\n\n{aims}\n\n{text}", "utf-8")


if __name__ == "__main__":
    main()
