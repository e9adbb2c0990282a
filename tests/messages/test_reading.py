"""The reading of a meter."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from rxollama.messages import MeterPhase, MeterReading, Metrics


def test_nothing_known() -> None:
    """The repr of an empty reading shows only its phase."""
    assert repr(MeterReading(phase="waiting")) == "MeterReading(phase='waiting')"


def test_characters() -> None:
    """The characters of thinking and content are summed."""
    assert MeterReading(phase="answering", content_length=3, thinking_length=4).character_count == 7


def test_frozen() -> None:
    """The fields of a reading cannot be set."""
    reading = MeterReading(phase="waiting")

    with pytest.raises(AttributeError):
        reading.phase = "done"  # type: ignore[misc] # That is what is refused.


@pytest.mark.parametrize("phase", get_args(MeterPhase))
def test_json(phase: MeterPhase) -> None:
    """A reading survives JSON."""
    reading = MeterReading(phase=phase, chunks_per_second=2.5, metrics=Metrics(eval_count=3))

    assert msgspec.json.decode(msgspec.json.encode(reading), type=MeterReading) == reading
