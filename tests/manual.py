"""A scheduler that a test drives by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from reactivex import abc
from reactivex.disposable import Disposable
from reactivex.scheduler.scheduler import Scheduler


class Manual(Scheduler):
    """
    A scheduler whose time and actions a test controls.

    Attributes:
        seconds: The time.
        actions: The actions that wait, with the seconds after which they were to be done.
        every: All actions, also those that were done or cancelled.
        meanwhile: What happens the next time that the time is read, if anything.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 10_000.0
        self.actions: list[tuple[float, Callable[[], object]]] = []
        self.every: list[Callable[[], object]] = []
        self.meanwhile: Callable[[], object] | None = None

    @property
    def now(self) -> datetime:
        """The time."""
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return datetime.fromtimestamp(self.seconds, UTC)

    def schedule(self, action: Any, state: Any = None) -> abc.DisposableBase:
        """Keep an action for now."""
        return self.schedule_relative(0, action, state)

    def schedule_relative(self, duetime: Any, action: Any, state: Any = None) -> abc.DisposableBase:
        """Keep an action."""

        def act() -> object:
            return action(self, state)

        entry = (duetime, act)
        self.actions.append(entry)
        self.every.append(act)

        def cancel() -> None:
            if entry in self.actions:
                self.actions.remove(entry)

        return Disposable(cancel)

    schedule_absolute = schedule_relative

    def run(self) -> None:
        """Do what waits. A test may call it within an action as well."""
        actions, self.actions = self.actions, []
        for _, action in actions:
            action()
