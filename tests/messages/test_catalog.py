"""The values of the other calls."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import msgspec
import pytest

from rxollama.messages import Embeddings, ModelCard, ModelDetails, ModelEntry, Progress, RunningModel


class TestProgress:
    """`Progress` holds the progress of a transfer."""

    @pytest.mark.parametrize(
        ("completed", "total", "fraction"),
        [(0, 0, None), (5, 0, None), (0, 10, 0.0), (5, 10, 0.5), (10, 10, 1.0), (11, 10, 1.0)],
    )
    def test_tells_the_fraction(self, completed: int, total: int, fraction: float | None) -> None:
        """The fraction is between 0 and 1, and unknown without a size."""
        assert fraction == Progress(status="pulling", completed=completed, total=total).fraction

    def test_is_1_after_success(self) -> None:
        """The server's last record of a layer may stand below its total, and success has no total at all."""
        assert Progress(status="success").fraction == 1.0

    def test_sizes_that_no_float_holds(self) -> None:
        """A layer is complete if more than its size is transferred, however much."""
        assert Progress(status="pulling", completed=10**400, total=1).fraction == 1.0
        assert Progress(status="pulling", completed=1, total=10**400).fraction == 0.0
        assert Progress(status="success", completed=9, total=10).fraction == 1.0


class TestCatalog:
    """The values read what a server sends, and can be copied."""

    @pytest.mark.parametrize(
        "value",
        [
            Progress(status="success"),
            Embeddings(model="all-minilm", embeddings=((0.5, -0.5),)),
            ModelDetails(family="llama"),
            ModelEntry(name="qwen3:8b", size=1),
            RunningModel(name="qwen3:8b", size_vram=1),
            ModelCard(capabilities=("completion",), model_info={"general.architecture": "llama"}),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_is_a_value(self, value: Any) -> None:
        """A value equals its copies, and survives JSON."""
        assert value == copy.deepcopy(value)
        assert value == pickle.loads(pickle.dumps(value))  # noqa: S301 - Our own bytes.
        assert value == msgspec.convert(msgspec.to_builtins(value), value.__class__)

    @pytest.mark.parametrize("kind", [Progress, Embeddings, ModelDetails, ModelEntry, RunningModel, ModelCard])
    def test_takes_an_answer_of_any_age(self, kind: Any) -> None:
        """A server may leave out any field, and send unknown ones."""
        assert kind() == msgspec.json.decode(b'{"of_tomorrow": 1}', type=kind)

    def test_shares_no_dict(self) -> None:
        """Two cards do not share a default dict."""
        assert ModelCard().model_info is not ModelCard().model_info
