"""Tools: functions that a model may call, described to it by their signatures, and run with checked arguments."""

from rxollama._public import publish
from rxollama.tools._approval import Approval, Approve, Denied
from rxollama.tools._execution import ToolExitError
from rxollama.tools._result import ResultText, ToolProgress, result_text
from rxollama.tools._tool import Tool, Tools, tools_of

__all__ = (
    "Approval",
    "Approve",
    "Denied",
    "ResultText",
    "Tool",
    "ToolExitError",
    "ToolProgress",
    "Tools",
    "result_text",
    "tools_of",
)

publish(globals())
