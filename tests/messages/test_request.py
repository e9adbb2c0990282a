"""Requests, and the errors for wrong fields."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypedDict

import msgspec
import ollama
import pydantic
import pytest

from rxollama._invalid_value import InvalidValueError
from rxollama.messages import ChatRequest, GenerateRequest, Message, ModelOptions, _model_options

_TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}},
}
_SECRET = "what nobody else shall read"  # noqa: S105 - It stands for a prompt.


def _chat(**fields: Any) -> ChatRequest:
    values: dict[str, Any] = {"model": "qwen3", "messages": "Hi", **fields}
    return ChatRequest(**values)


def _generate(**fields: Any) -> GenerateRequest:
    values: dict[str, Any] = {"model": "qwen3", **fields}
    return GenerateRequest(**values)


_RIGHT: list[tuple[str, Any]] = [
    ("model", "qwen3"),
    ("model", "hf.co/someone/model:Q4_K_M"),
    *[("stream", flag) for flag in (True, False)],
    *[(name, flag) for name in ("truncate", "shift", "logprobs", "debug_render_only") for flag in (None, True, False)],
    *[("think", think) for think in (None, True, False, "low", "medium", "high", "max")],
    *[("on_truncated", word) for word in (None, "warn", "raise", "ignore")],
    *[("format", shape) for shape in (None, "json", {}, {"type": "object"})],
    *[("keep_alive", wait) for wait in (None, 0, -1, 300, 1.5)],
    *[("keep_alive", wait) for wait in ("0", "-0", "5m", "1h30m", "-1m", "1.5h", ".5s", "5.s", "+2ms", "3µs", "3μs")],
    *[("keep_alive", wait) for wait in ("10ns", "10us", "05m")],
    ("options", None),
    ("options", {}),
    ("extra", None),
    ("extra", {}),
    ("extra", {"of_tomorrow": [1, {"a": None}], "mirostat": 1, "seed": 1}),
    ("options", {"seed": 1, "num_ctx": 8192.0, "num_predict": -1, "top_k": 40, "num_gpu": 0, "main_gpu": None}),
    ("options", {"temperature": 0, "top_p": 0.9, "min_p": 0.0, "repeat_penalty": 1.1}),
    ("options", {"use_mmap": True, "stop": ["a", "b"]}),
    ("options", {"use_mmap": None, "stop": []}),
]

_NO_NUMBERS: list[Any] = [True, [], float("nan"), float("inf"), float("-inf"), 10**400]

_WRONG: dict[tuple[str, str], list[Any]] = {
    ("model", "a model name"): ["", "  ", None, 1],
    ("stream", "a bool"): [None, 1, "yes"],
    ("on_truncated", "'warn', 'raise' or 'ignore'"): [True, 0, "", "Warn", ["warn"]],
    ("truncate", "a bool"): [0, 1, "yes"],
    ("shift", "a bool"): [0, 1, "yes"],
    ("logprobs", "a bool"): [0, 1, "yes"],
    ("debug_render_only", "a bool"): [0, 1, "yes"],
    ("think", "'low', 'medium', 'high' or 'max'"): ["", "xhigh", "High", 1, 0, {}, []],
    ("format", "'json', a JSON schema"): ["", "xml", "JSON", 1, [], ["json"], b"json", print],
    ("format", "a type that JSON Schema can describe"): [object, complex, list[complex], int | type],
    ("format", "JSON"): [{"type": object()}, {"title": "\ud800"}],
    ("keep_alive", "'5m'"): [
        *("300", "-1", "", "forever", "5 m", "5d", "5m0", "00", "m", ".s", "٣m", "5M", "1h-5m", "5m\n6m"),
        *(*_NO_NUMBERS, {}, b"5m"),
    ],
    ("options", "a dict of option names"): [[], "temperature=0", 1, [("seed", 1)]],
    ("extra", "a dict of option names"): [[], "temperature=0", 1],
    ("extra", "JSON"): [{"of_tomorrow": object()}, {"of_tomorrow": "\ud800"}],
    ("top_logprobs", "from 0 to 20"): [-1, 21, 1.0, True, "5"],
}

_WRONG_OPTIONS: dict[tuple[str, str], list[Any]] = {
    ("num_ctx", "an int"): ["8192", 1.5, *_NO_NUMBERS],
    **{
        (name, "an int"): ["1"]
        for name in ("seed", "top_k", "num_predict", "num_keep", "num_gpu", "main_gpu", "num_batch", "num_thread")
    },
    ("repeat_last_n", "an int"): ["1"],
    ("draft_num_predict", "an int"): ["1"],
    ("temperature", "a number"): ["0.8", *_NO_NUMBERS],
    **{
        (name, "a number"): ["1"]
        for name in ("top_p", "min_p", "typical_p", "repeat_penalty", "presence_penalty", "frequency_penalty")
    },
    ("use_mmap", "a bool"): [1, "yes"],
    ("stop", "a list of str"): ["END", [1], ["a", None], {"a": 1}, 1],
}


def _rows(table: dict[tuple[str, str], list[Any]]) -> list[tuple[str, Any, str]]:
    return [(field, wrong, allowed) for (field, allowed), several in table.items() for wrong in several]


class _Struct(msgspec.Struct):
    name: str


@dataclass
class _Plain:
    name: str


class _Named(TypedDict):
    name: str


class _Model(pydantic.BaseModel):
    name: str


_SCHEMA: dict[str, Any] = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


class TestFields:
    """Both kinds of request check the same fields in the same way."""

    @pytest.mark.parametrize("build", [_chat, _generate])
    @pytest.mark.parametrize(("field", "right"), _RIGHT)
    def test_takes_what_is_right(self, build: Any, field: str, right: Any) -> None:
        """A value that the server accepts is kept."""
        assert right == getattr(build(**{field: right}), field)

    @pytest.mark.parametrize("build", [_chat, _generate])
    @pytest.mark.parametrize(("field", "wrong", "allowed"), _rows(_WRONG))
    def test_refuses_what_is_wrong(self, build: Any, field: str, wrong: Any, allowed: str) -> None:
        """A value that the server would refuse is an error with the field, the value and what is allowed."""
        with pytest.raises(InvalidValueError, match=f"^{re.escape(field)}: ") as caught:
            build(**{field: wrong})

        error = caught.value
        assert field == error.field
        assert error.given in {repr(wrong), repr(wrong)[:80] + "…", "None" if wrong is None else type(wrong).__name__}
        assert allowed in error.allowed

    @pytest.mark.parametrize("build", [_chat, _generate])
    @pytest.mark.parametrize(("option", "wrong", "allowed"), _rows(_WRONG_OPTIONS))
    def test_refuses_wrong_options(self, build: Any, option: str, wrong: Any, allowed: str) -> None:
        """The error names an option of the wrong type, which the server answers with status 500."""
        with pytest.raises(InvalidValueError) as caught:
            build(options={option: wrong})

        assert (f"options.{option}", allowed) == (caught.value.field, caught.value.allowed)

    @pytest.mark.parametrize("build", [_chat, _generate])
    @pytest.mark.parametrize(
        ("name", "hint"),
        [
            ("temprature", "did you mean 'temperature'?"),
            ("num_context", "did you mean 'num_ctx'?"),
            ("Seed", "did you mean 'seed'?"),
            ("of_tomorrow", "if the server knows it, give it as extra="),
        ],
    )
    def test_refuses_unknown_options(self, build: Any, name: str, hint: str) -> None:
        """A server would ignore them. The error names the nearest one, or the way around."""
        with pytest.raises(InvalidValueError) as caught:
            build(options={"seed": 1, name: 0})

        error = f"options.{name}: expected an option that Ollama knows, got {name!r}: {hint}"
        assert str(caught.value) == error
        assert build(extra={name: 0}).extra == {name: 0}

    def test_refuses_options_of_old_servers(self) -> None:
        """No other option is suggested in their place."""
        with pytest.raises(InvalidValueError) as caught:
            _chat(options={"use_mlock": True})

        assert str(caught.value) == (
            "options.use_mlock: expected an option that Ollama still knows, got 'use_mlock': "
            "for an old server, give it as extra="
        )

    @pytest.mark.parametrize(("option", "wrong", "allowed"), _rows(_WRONG_OPTIONS))
    def test_checks_known_options_in_extra(self, option: str, wrong: Any, allowed: str) -> None:
        """The type of a known option is checked in both arguments."""
        with pytest.raises(InvalidValueError) as caught:
            _chat(extra={option: wrong})

        assert (caught.value.field, caught.value.allowed) == (f"extra.{option}", allowed)

    def test_takes_options_of_the_official_client(self) -> None:
        """Options may be a model of pydantic. Only the set fields count."""
        options = ollama.Options(temperature=0.5, stop=["END"])

        assert _chat(options=options).options == {"temperature": 0.5, "stop": ["END"]}
        with pytest.raises(InvalidValueError, match=r"^options.mirostat: "):
            _chat(options=ollama.Options(mirostat=1))

    def test_documents_every_option(self) -> None:
        """Every option has a docstring of its own, with its default."""
        source = inspect.getsource(_model_options)

        for name in ModelOptions.__annotations__:
            assert re.search(rf'^    {name}: .*\n    """[^"]+\."""$', source, re.MULTILINE), name

    def test_refuses_what_has_no_end(self) -> None:
        """A recursive dict is not JSON."""
        endless: dict[str, Any] = {}
        endless["again"] = endless

        with pytest.raises(InvalidValueError, match="JSON") as caught:
            _chat(format=endless)

        assert caught.value.field == "format"

    @pytest.mark.parametrize("build", [_chat, _generate])
    @pytest.mark.parametrize(
        ("kind", "schema"),
        [
            (_Struct, _SCHEMA | {"title": "_Struct"}),
            (_Plain, _SCHEMA | {"title": "_Plain"}),
            (_Named, _SCHEMA | {"title": "_Named"}),
            (dict[str, bool], {"type": "object", "additionalProperties": {"type": "boolean"}}),
            (list[int], {"type": "array", "items": {"type": "integer"}}),
            (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
            (Literal["a", "b"], {"enum": ["a", "b"]}),
        ],
    )
    def test_describes_types(self, build: Any, kind: Any, schema: dict[str, Any]) -> None:
        """A type becomes its schema, and the request stays a value."""
        request = build(format=kind)
        found = request.format.get("$defs", {}).get(schema.get("title"), request.format)

        assert schema == found
        assert request == build(format=request.format) == build(format=kind)
        assert request == copy.deepcopy(request) == pickle.loads(pickle.dumps(request))  # noqa: S301 - Our own bytes.

    def test_describes_models(self) -> None:
        """The schema of a model of pydantic is its own."""
        schema = _Model.model_json_schema()

        assert schema == _chat(format=_Model).format
        assert {"type": "array", "items": schema} == _chat(format=list[_Model]).format

    @pytest.mark.parametrize("argument", ["options", "extra"])
    def test_refuses_option_names_that_are_no_text(self, argument: str) -> None:
        """The name of an option must be a str."""
        with pytest.raises(InvalidValueError) as caught:
            _chat(**{argument: {1: 1}})

        assert (caught.value.field, caught.value.given) == (argument, "1")

    @pytest.mark.parametrize("count", [0, 1, 20])
    def test_takes_alternatives_with_logprobs(self, count: int) -> None:
        """Up to 20 alternatives are allowed with logprobs."""
        assert count == _chat(logprobs=True, top_logprobs=count).top_logprobs

    def test_refuses_alternatives_alone(self) -> None:
        """Without logprobs, the server would ignore them."""
        with pytest.raises(InvalidValueError, match="logprobs=True"):
            _chat(top_logprobs=3)

        assert _chat(top_logprobs=0).top_logprobs == 0

    @pytest.mark.parametrize(
        ("wait", "seconds"),
        [(timedelta(minutes=5), 300.0), (timedelta(0), 0.0), (timedelta(seconds=-1), -1.0), (" 5m ", "5m")],
    )
    def test_words_durations_as_the_server_does(self, wait: Any, seconds: float | str) -> None:
        """A timedelta becomes seconds, and a duration loses the spaces around it."""
        assert seconds == _chat(keep_alive=wait).keep_alive

    def test_keeps_dicts_of_its_own(self) -> None:
        """Any mapping is accepted, and a later change of it does not change the request."""
        options: dict[str, Any] = {"seed": 1, "stop": ["a"]}
        shape: dict[str, Any] = {"type": "object", "required": ["a"]}
        extra: dict[str, Any] = {"of_tomorrow": {"a": 1}}
        tool = copy.deepcopy(_TOOL)
        request = _chat(
            options=MappingProxyType(options),
            format=MappingProxyType(shape),
            extra=MappingProxyType(extra),
            tools=[MappingProxyType(tool)],
        )

        options["seed"] = 2
        options["stop"].append("b")
        shape["required"].append("b")
        extra["of_tomorrow"]["a"] = 2
        tool["function"]["name"] = "other"

        assert request.options == {"seed": 1, "stop": ["a"]}
        assert request.format == {"type": "object", "required": ["a"]}
        assert request.extra == {"of_tomorrow": {"a": 1}}
        assert request.tools == (_TOOL,)
        assert isinstance(request.options, dict)

    @pytest.mark.parametrize("request_", [_chat(tools=[_TOOL], think="low"), _generate(images=[b"hi"])])
    def test_is_a_value(self, request_: Any) -> None:
        """A request equals its copies, and its fields cannot be set."""
        assert request_ == copy.deepcopy(request_)
        assert request_ == pickle.loads(pickle.dumps(request_))  # noqa: S301 - Our own bytes.
        with pytest.raises(AttributeError):
            request_.model = "other"


class TestChatRequest:
    """`ChatRequest` reads messages and tools."""

    def test_reads_messages(self) -> None:
        """The field holds messages."""
        assert (Message.user("Hi"),) == _chat(messages="Hi").messages
        assert _chat(messages=[]).messages == ()

    def test_refuses_wrong_messages(self) -> None:
        """The error names the place of the wrong message."""
        with pytest.raises(InvalidValueError, match=r"^messages\[1\]"):
            _chat(messages=[{"role": "user"}, 1])

    @pytest.mark.parametrize("tools", [[_TOOL], (_TOOL,), iter([_TOOL])])
    def test_reads_tools(self, tools: Any) -> None:
        """Tools may be in any iterable."""
        assert _chat(tools=tools).tools == (_TOOL,)

    def test_reads_tools_of_the_official_client(self) -> None:
        """A tool may be a model of pydantic."""
        tool = ollama.Tool.model_validate(_TOOL)

        assert _chat(tools=[tool]).tools == (_TOOL,)

    def test_needs_no_tools(self) -> None:
        """Without tools there are none."""
        assert _chat().tools == _chat(tools=None).tools == ()

    @pytest.mark.parametrize("wrong", ["get_time", b"get_time", _TOOL, 1, print])
    def test_refuses_what_are_no_tools(self, wrong: Any) -> None:
        """One tool that is not in a list is refused."""
        with pytest.raises(InvalidValueError) as caught:
            _chat(tools=wrong)

        assert (caught.value.field, caught.value.allowed) == ("tools", "a list of tools in Ollama's shape")

    @pytest.mark.parametrize(
        "wrong",
        [None, "get_time", print, {}, {"name": "get_time"}, {"function": "get_time"}, {"function": {"name": 1}}],
    )
    def test_refuses_tools_of_another_shape(self, wrong: Any) -> None:
        """The error names the place of the wrong tool, and shows the shape."""
        with pytest.raises(InvalidValueError) as caught:
            _chat(tools=[_TOOL, wrong])

        assert ("tools[1]", repr(wrong)) == (caught.value.field, caught.value.given)
        assert "'function'" in caught.value.allowed

    def test_refuses_tools_that_are_no_json(self) -> None:
        """A tool must be JSON."""
        with pytest.raises(InvalidValueError, match="JSON"):
            _chat(tools=[{"function": {"name": "get_time", "parameters": object()}}])


class TestGenerateRequest:
    """`GenerateRequest` checks its texts and images."""

    @pytest.mark.parametrize(
        ("field", "right"),
        [
            ("prompt", ""),
            ("prompt", "Hi"),
            *[(name, text) for name in ("suffix", "system", "template") for text in (None, "", "text")],
            *[("raw", flag) for flag in (None, True, False)],
        ],
    )
    def test_takes_what_is_right(self, field: str, right: Any) -> None:
        """A value that the server accepts is kept."""
        assert right == getattr(_generate(**{field: right}), field)

    @pytest.mark.parametrize("wrong", [1, b"text", [_SECRET], {"text": _SECRET}])
    @pytest.mark.parametrize("field", ["prompt", "suffix", "system", "template"])
    def test_refuses_what_is_no_text(self, field: str, wrong: Any) -> None:
        """A text must be a str, and the error does not show it."""
        with pytest.raises(InvalidValueError) as caught:
            _generate(**{field: wrong})

        error = caught.value
        given = "None" if wrong is None else type(wrong).__name__
        assert (field, given, "a str") == (error.field, error.given, error.allowed)
        assert _SECRET not in str(error)

    def test_needs_a_prompt(self) -> None:
        """A prompt may be empty, but not None."""
        with pytest.raises(InvalidValueError, match=r"^prompt: "):
            _generate(prompt=None)

    @pytest.mark.parametrize("wrong", [0, 1, "yes"])
    def test_refuses_what_is_no_flag(self, wrong: Any) -> None:
        """`raw` must be a bool."""
        with pytest.raises(InvalidValueError, match=r"^raw: "):
            _generate(raw=wrong)

    @pytest.mark.parametrize("other", ["system", "template"])
    def test_refuses_raw_with_a_template(self, other: str) -> None:
        """A raw prompt excludes the others, and the error does not show them."""
        with pytest.raises(InvalidValueError, match=r"^raw: expected False beside ") as caught:
            _generate(**{"raw": True, other: _SECRET})

        assert _SECRET not in str(caught.value)

    def test_encodes_images(self, tmp_path: Path) -> None:
        """Images may be paths, bytes, base64 text and data URIs."""
        (tmp_path / "picture").write_bytes(b"hi")
        images = [tmp_path / "picture", b"hi", "aGk=", "data:image/png;base64,aGk="]

        assert _generate(images=images).images == ("aGk=", "aGk=", "aGk=", "aGk=")

    @pytest.mark.parametrize(
        "wrong",
        [None, 1, "aGk=", b"hi", Path("photo.jpeg"), ["photo.jpeg"], [Path("/nowhere/at/all.png")], [1]],
    )
    def test_refuses_wrong_images(self, wrong: Any) -> None:
        """Anything but a list of images is refused by name."""
        with pytest.raises(InvalidValueError) as caught:
            _generate(images=wrong)

        assert caught.value.field == "images"


class TestPrivacy:
    """The text of a message never appears in an error."""

    @pytest.mark.parametrize(
        "fields",
        [
            {"model": [{"role": "user", "content": _SECRET}]},
            {"model": Message.user(_SECRET)},
            {"messages": [[_SECRET]]},
            {"messages": {"content": _SECRET}},
            {"tools": _SECRET},
        ],
    )
    def test_shows_no_words(self, fields: dict[str, Any]) -> None:
        """Mixed-up arguments do not put the messages into a log."""
        with pytest.raises(InvalidValueError) as caught:
            _chat(**fields)

        assert _SECRET not in str(caught.value) + repr(vars(caught.value))
