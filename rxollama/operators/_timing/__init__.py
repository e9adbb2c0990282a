"""Time: clocks, one timer, and the engine under the pacing operators."""

__all__ = ()
