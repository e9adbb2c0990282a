"""Tools of functions and of schemas, their arguments, and the functions that are refused."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec
import ollama
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta
from pydantic import BaseModel, Field
from tool_cases import Node, Order, Point, Tree, Unit

from rxollama._schema import Misfit
from rxollama.errors import InvalidValueError
from rxollama.messages import ChatRequest
from rxollama.tools import Tool, tools_of

if TYPE_CHECKING:
    from decimal import Decimal

GOOGLE = """Look up the weather.

For the next days,
at one place.

Args:
    city: The city's name,
        in English.
    days (int): How many days.

Returns:
    What it will be like.

"""
NUMPY = """Look up the weather.

For the next days,
at one place.

Parameters
----------
city : str
    The city's name,
    in English.
days : int
    How many days.

Returns
-------
str
    What it will be like.
"""
REST = """Look up the weather.

For the next days,
at one place.

:param city: The city's name,
    in English.
:param int days: How many days.
:returns: What it will be like.
"""
LINES = [
    *("Args:", "    city: x", "    city", "Parameters", "----------", "city : int", ":param city: x", ":param", ""),
    *("Returns:", "@param city: x", "Raises:", "  ", "Example::", ">>> city", ":returns", ":x y z city v: q"),
]
HERE = PurePosixPath("a/b")
RAW = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Look up the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string", "format": "city"}}},
    },
}


def get_weather(city: str, days: int = 3) -> str:
    """Look up the weather."""
    return f"{city}: {days} days of rain"


def properties_of(tool: Tool) -> dict[str, Any]:
    """Return the properties in a tool's schema."""
    found: dict[str, Any] = tool.schema["function"]["parameters"]["properties"]
    return found


class Weather:
    """A source of weather."""

    def __init__(self, unit: str = "°C") -> None:
        self.unit = unit

    def __call__(self, city: str) -> str:
        """Look it up."""
        return f"{city} in {self.unit}"

    def forecast(self, city: str) -> str:
        """Look into the future."""
        return f"{city} tomorrow in {self.unit}"

    @classmethod
    def units(cls, system: str) -> str:
        """List the units."""
        return f"{cls.__name__}: {system}"

    @staticmethod
    def cities(country: str) -> str:
        """List the cities."""
        return country


class Silent:
    """A tool without a description of its call."""

    async def __call__(self) -> None:  # noqa: D102 - That it says nothing is the case.
        pass


async def items_of(tool: Tool, given: Mapping[str, Any]) -> list[Any]:
    """Run a tool."""
    return [item async for item in tool.items(tool.arguments(given))]


@pytest.mark.parametrize("docstring", [GOOGLE, NUMPY, REST], ids=["Google", "NumPy", "reST"])
def test_docstrings(docstring: str) -> None:
    """The description stands before the sections of a docstring, and the parameters are described within."""

    def function(city: str, days: int) -> str:
        return city * days

    function.__doc__ = docstring
    tool = Tool(function)

    assert "Look up the weather.\n\nFor the next days,\nat one place." == tool.description
    assert "The city's name, in English." == properties_of(tool)["city"]["description"]
    assert "How many days." == properties_of(tool)["days"]["description"]


def test_several_at_once() -> None:
    """NumPy's style describes several parameters at once."""

    def function(one: int, two: int) -> int:
        return one + two

    function.__doc__ = "Add.\n\nParameters\n----------\none, two : int\n    What to add.\n"

    assert ["What to add."] * 2 == [one["description"] for one in properties_of(Tool(function)).values()]


@given(st.text() | st.lists(st.sampled_from(LINES)).map("\n".join))
def test_any_docstring(docstring: str) -> None:
    """No docstring makes a tool fail."""

    def function(city: str) -> str:
        return city

    function.__doc__ = docstring

    assert "string" == properties_of(Tool(function))["city"]["type"]


@pytest.mark.parametrize(
    ("docstring", "description"),
    [(None, ""), ("", ""), ("Only: this.", "Only: this."), ("Odd.\n\n:param int the very city: x", "Odd.")],
)
def test_odd_docstrings(docstring: str | None, description: str) -> None:
    """An odd docstring, or none, gives a description."""

    def function(city: str) -> str:
        return city

    function.__doc__ = docstring
    tool = Tool(function)

    assert tool.description.startswith(description)
    assert {"city": {"type": "string"}} == properties_of(tool)


CALLABLES: list[tuple[Callable[..., Any], str, str, list[str]]] = [
    (get_weather, "get_weather", "Look up the weather.", ["city", "days"]),
    (Weather().forecast, "forecast", "Look into the future.", ["city"]),
    (Weather.units, "units", "List the units.", ["system"]),
    (Weather.cities, "cities", "List the cities.", ["country"]),
    (vars(Weather)["cities"], "cities", "List the cities.", ["country"]),
    (functools.partial(get_weather, days=2), "get_weather", "Look up the weather.", ["city"]),
    (functools.partial(functools.partial(get_weather, "Oslo")), "get_weather", "Look up the weather.", ["days"]),
    (Point, "Point", "A place on earth.", ["latitude", "longitude"]),
    (len, "len", "Return the number of items in a container.", ["obj"]),
]


@pytest.mark.parametrize(("function", "name", "description", "parameters"), CALLABLES)
def test_callables(function: Callable[..., Any], name: str, description: str, parameters: list[str]) -> None:
    """A callable becomes a tool with its own name and docstring."""
    tool = Tool(function)

    assert (name, description) == (tool.name, tool.description)
    assert (name, description) == (tool.schema["function"]["name"], tool.schema["function"]["description"])
    assert parameters == list(properties_of(tool))
    assert tool.is_runnable
    assert f"Tool('{name}')" == repr(tool)


async def test_objects() -> None:
    """An object that can be called needs a name, and is described by its call, or else by its class."""
    assert "Look it up." == Tool(Weather(), name="weather").description
    assert "A tool without a description of its call." == Tool(Silent(), name="silent").description
    assert ["Oslo in °C"] == await items_of(Tool(Weather(), name="weather"), {"city": "Oslo"})
    assert [] == await items_of(Tool(Silent(), name="silent"), {})


async def test_bound_arguments() -> None:
    """A bound method and a partial add their own arguments."""
    assert ["Oslo tomorrow in K"] == await items_of(Tool(Weather("K").forecast), {"city": "Oslo"})
    assert ["Weather: si"] == await items_of(Tool(Weather.units), {"system": "si"})
    assert ["Oslo: 2 days of rain"] == await items_of(Tool(functools.partial(get_weather, days=2)), {"city": "Oslo"})
    assert ["Rome: 3 days of rain"] == await items_of(Tool(functools.partial(get_weather, "Rome")), {})
    assert [Point(1.0, 2.0)] == await items_of(Tool(Point), {"latitude": "1", "longitude": 2})


async def test_positional_only() -> None:
    """Positional-only parameters are passed in order, with defaults before later ones."""

    def function(first: int, second: int = 2, third: int = 3, /, fourth: int = 4, *, fifth: int = 5) -> list[int]:
        return [first, second, third, fourth, fifth]

    tool = Tool(function)

    assert [[1, 2, 3, 4, 5]] == await items_of(tool, {"first": 1})
    assert [[1, 2, 9, 4, 8]] == await items_of(tool, {"third": 9, "first": 1, "fifth": 8})
    with pytest.raises(TypeError, match="positional-only"):
        [item async for item in tool.items({"second": 1})]


async def test_decorated() -> None:
    """A decorator with `functools.wraps` keeps the signature."""

    @functools.wraps(get_weather)
    def wrapper(*args: Any, **kwargs: Any) -> str:
        return get_weather(*args, **kwargs).upper()

    assert ["city", "days"] == list(properties_of(Tool(wrapper)))
    assert ["OSLO: 1 DAYS OF RAIN"] == await items_of(Tool(wrapper), {"city": "Oslo", "days": 1})


def test_names() -> None:
    """`name=` and `description=` replace those of the function."""
    tool = Tool(lambda: None, name="weather.look-up_2", description="Look up.")

    assert ("weather.look-up_2", "Look up.") == (tool.name, tool.description)
    assert {"name": "weather.look-up_2", "description": "Look up."}.items() <= tool.schema["function"].items()


class Bare(msgspec.Struct):  # noqa: D101 - That it says nothing is the case, as below.
    amount: int


class BareModel(BaseModel):  # noqa: D101
    amount: int


@dataclass
class BareClass:  # noqa: D101
    amount: int


class BareTuple(NamedTuple):  # noqa: D101
    amount: int


@pytest.mark.parametrize("kind", [Bare, BareModel, BareClass, BareTuple])
def test_classes_without_docstrings(kind: Any) -> None:
    """An inherited or generated docstring of a class is not a description."""
    assert ("", ["amount"]) == (Tool(kind).description, list(properties_of(Tool(kind))))


@pytest.mark.parametrize(
    ("own", "description"),
    [
        (Meta(description="Its own."), "Its own."),
        (Field(description="A field."), "A field."),
        ("A text.", "A text."),
        (Meta(ge=1), "Of the docstring (at least 1)."),
        (Field(ge=1), "Of the docstring."),
        (object(), "Of the docstring."),
    ],
    ids=["Meta", "Field", "text", "no words", "no words of pydantic", "no description"],
)
def test_descriptions_in_place(own: Any, description: str) -> None:
    """An annotation describes a parameter, or else the docstring does."""

    def function(number: int) -> int:
        return number

    function.__annotations__["number"] = Annotated[int, own]
    function.__doc__ = "Take it.\n\nArgs:\n    number: Of the docstring."

    assert description == properties_of(Tool(function))["number"]["description"]


def test_inherited_names() -> None:
    """A class as a tool inherits fields whose hints are names of its base's module alone."""

    @dataclass
    class Inherits(Order):
        paid: bool = False

    assert ["number", "rows", "unit", "notes", "placed", "paid"] == list(properties_of(Tool(Inherits)))


def test_any_value() -> None:
    """A parameter without a hint accepts any value, and its schema has no type."""
    show: Any = lambda value, other=None: (value, other)  # noqa: E731 # pyright: ignore - No hints are the case.
    tool = Tool(show, name="show")

    assert {"value": {}, "other": {}} == properties_of(tool)
    assert {"value": [1, None], "other": None} == tool.arguments({"value": [1, None], "other": None})


def test_default_path() -> None:
    """A default may be a path."""

    def function(at: PurePosixPath = HERE) -> str:
        return str(at)

    assert {"at": {"type": "string", "description": 'a path, default "a/b"'}} == properties_of(Tool(function))


def test_defaults_beyond_json() -> None:
    """A default that JSON cannot express is left out."""

    def function(value: Any = object()) -> Any:  # noqa: B008 - One object is meant.
        return value

    assert {"value": {}} == properties_of(Tool(function))


def test_arguments() -> None:
    """Arguments become values of the declared types."""

    def function(at: Point, unit: Unit = Unit.CELSIUS, *, days: int | None = 1, tags: set[str] | None = None) -> None:
        """Accept these."""

    arguments = Tool(function).arguments

    given = {"at": {"latitude": "59.9"}, "unit": "fahrenheit", "days": "2"}
    assert {"at": Point(59.9), "unit": Unit.FAHRENHEIT, "days": 2} == arguments(given)
    # A null is left out where it means nothing, and kept where it means something.
    assert {"at": Point(1.0), "days": None} == arguments({"at": {"latitude": 1}, "unit": None, "days": None})


def test_lists_and_objects_as_texts() -> None:
    """A list or an object may be written as a str, unless the parameter expects a str."""

    def function(at: Point, numbers: list[int], note: str = "", either: list[str] | str = "") -> None:
        """Accept these."""

    arguments = Tool(function).arguments

    assert {"at": Point(59.9), "numbers": [1, 2], "note": "[1]", "either": "[2]"} == arguments(
        {"at": '{"latitude": 59.9}', "numbers": ' ["1", 2]', "note": "[1]", "either": "[2]"}
    )


@pytest.mark.parametrize(
    ("numbers", "reason"),
    [
        ("1, 2", "Expected `array`, got `str` - at `$.numbers`"),
        ("[1, 2", "Expected `array`, got `str` - at `$.numbers`"),
        ("[" * 100_000, "Expected `array`, got `str` - at `$.numbers`"),
        ('["a"]', "Expected `int`, got `str` - at `$.numbers[0]`"),
        ('{"a": 1}', "Expected `array`, got `object` - at `$.numbers`"),
        (["[1]"], "Expected `int`, got `str` - at `$.numbers[0]`"),
    ],
    ids=repr,
)
def test_texts_that_are_none(numbers: Any, reason: str) -> None:
    """A str that is not a fitting list or object is reported as a str."""

    def function(numbers: list[int]) -> int:
        return sum(numbers)

    with pytest.raises(Misfit) as caught:
        Tool(function).arguments({"numbers": numbers})

    assert reason == str(caught.value)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, "Object missing required field `city` - at `$`"),
        ({"city": None}, "Expected `str`, got `null` - at `$.city`"),
        ({"city": "Oslo", "days": "many"}, "Expected `int`, got `str` - at `$.days`"),
        ({"city": "Oslo", "unit": "K"}, "Object has the unknown field `unit`, known: `city`, `days` - at `$`"),
        ([], "Expected `object`, got `list` - at `$`"),
    ],
)
def test_misfits(given: Any, reason: str) -> None:
    """An argument that does not fit raises a `Misfit` with its path."""
    with pytest.raises(Misfit) as caught:
        Tool(get_weather).arguments(given)

    assert reason == str(caught.value)


def test_no_parameters() -> None:
    """A function may have no parameters."""
    tool = Tool(lambda: 1, name="one")

    assert {"type": "object", "properties": {}, "required": []} == tool.schema["function"]["parameters"]
    assert {} == tool.arguments({})
    with pytest.raises(Misfit, match="known: none"):
        tool.arguments({"a": 1})


class TestRaw:
    """A schema in Ollama's shape is sent unchanged."""

    async def test_without_run(self) -> None:
        """Without a function it cannot be run."""
        tool = Tool(RAW)

        assert RAW == tool.schema
        assert ("get_weather", "Look up the weather.", False) == (tool.name, tool.description, tool.is_runnable)
        assert {"city": 1} == tool.arguments({"city": 1})
        with pytest.raises(InvalidValueError, match="only has a schema"):
            tool.items({})

    async def test_with_run(self) -> None:
        """With a function it can, which gets the arguments unchanged."""
        tool = Tool(RAW, get_weather, name="weather", description="Look.")

        assert tool.is_runnable
        assert ("weather", "Look.") == (tool.name, tool.description)
        assert "get_weather" == Tool(RAW).name
        assert ["1: x days of rain"] == await items_of(tool, {"city": 1, "days": "x"})
        with pytest.raises(Misfit, match="Expected `object`, got `str`"):
            tool.arguments("text")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - A model might.

    def test_of_the_official_client(self) -> None:
        """A tool of the official client has that shape, too."""
        theirs = ollama.Tool.model_validate(RAW)

        assert "get_weather" == Tool(theirs).name
        assert theirs.model_dump(exclude_none=True) == Tool(theirs).schema

    def test_without_description(self) -> None:
        """A schema may have no description."""
        assert "" == Tool({"type": "function", "function": {"name": "a"}}).description


class TestTools:
    """A tool may be made of a tool."""

    async def test_renamed(self) -> None:
        """It has another name, and runs as before."""
        first = Tool(get_weather)
        tool = Tool(first, name="weather", description="Look.")

        assert ("weather", "Look.", "get_weather") == (tool.name, tool.description, first.name)
        assert ["Oslo: 1 days of rain"] == await items_of(tool, {"city": "Oslo", "days": "1"})

    async def test_with_run(self) -> None:
        """Another function gets the arguments unchanged."""
        tool = Tool(Tool(RAW), Weather())

        assert ["Oslo in °C"] == await items_of(tool, {"city": "Oslo"})


def hidden(amount: Decimal) -> Decimal:
    """A function with a hint that is not known at run time."""
    return amount


def half_hidden(amount: int) -> Decimal:
    """A function with such a hint for its result."""
    raise NotImplementedError(amount)


def test_hints_of_the_result() -> None:
    """The hint of the result does not have to be known at run time."""
    assert {"amount": {"type": "integer"}} == properties_of(Tool(half_hidden))


def takes_self(self: int) -> int:
    """Accept what only looks like an instance."""
    return self


@dataclass
class Holder:
    """A holder of a function."""

    function: Callable[[int], int]


def local() -> Callable[..., Any]:
    """Make a function with a hint that only this function knows."""

    class Inside:
        pass

    def function(value: Inside) -> Inside:
        return value

    return function


def any_positions(*values: int) -> int:
    """Accept any number of values."""
    return sum(values)


def any_names(city: str, **options: int) -> str:
    """Accept any names."""
    return f"{city} {options}"


def recursive(tree: Tree) -> str:
    """Accept a type that holds itself."""
    return tree.name


def recursive_model(node: Annotated[list[Node], Meta(description="Nodes.")]) -> int:
    """Accept a model that holds itself."""
    return len(node)


def callback(function: Callable[[int], int]) -> int:
    """Accept a value that JSON cannot express."""
    return function(1)


@pytest.mark.parametrize(
    ("function", "field", "reason"),
    [
        (lambda: None, "name", "expected a name of letters"),
        (Weather(), "name", "expected a name of letters"),
        (any_positions, "any_positions(*values: 'int')", "cannot use *values"),
        (any_names, "any_names(**options: 'int')", "cannot use **options"),
        (recursive, "recursive(tree)", "does not contain itself"),
        (recursive_model, "recursive_model(node)", "does not contain itself"),
        (callback, "callback(function)", "JSON Schema"),
        (hidden, "hidden(amount)", "name 'Decimal' is not defined"),
        (local(), "function(value)", "name 'Inside' is not defined"),
        (Weather.forecast, "forecast", "a method of an instance"),
        (dict, "dict", "a function with a signature"),
        (3, "function", "a function, a Tool, or a schema"),
        ("get_weather", "function", "a function, a Tool, or a schema"),
        ({}, "function", "{'type': 'function'"),
        ({"function": "x"}, "function", "{'type': 'function'"),
        ({"function": {"name": 1}}, "function", "{'type': 'function'"),
        ({"function": {"name": "get weather"}}, "name", "letters"),
    ],
)
def test_refused(function: Any, field: str, reason: str) -> None:
    """A function that a model could not call is refused, with the reason."""
    with pytest.raises(InvalidValueError) as caught:
        Tool(function)

    assert field == caught.value.field
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"name": "get weather"}, "name"),
        ({"name": "wetter_für_morgen"}, "name"),
        ({"name": ""}, "name"),
        ({"name": 1}, "name"),
        ({"description": 1}, "description"),
        ({"run": get_weather}, "run"),
    ],
)
def test_refused_arguments(arguments: dict[str, Any], field: str) -> None:
    """Names that servers do not take, and functions beside functions, are refused."""
    with pytest.raises(InvalidValueError) as caught:
        Tool(get_weather, **arguments)

    assert field == caught.value.field


def test_refused_run() -> None:
    """`run=` must be a function."""
    with pytest.raises(InvalidValueError, match=r"run: expected .*, got str"):
        Tool(RAW, "get_weather")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - On purpose.


class TestToolsOf:
    """`tools_of`."""

    def test_made(self) -> None:
        """Functions and schemas become tools, and tools stay what they are."""
        tool = Tool(Weather().forecast)

        made = tools_of([get_weather, tool, {"type": "function", "function": {"name": "raw"}}])

        assert ["get_weather", "forecast", "raw"] == [one.name for one in made]
        assert tool is made[1]
        assert () == tools_of(None) == tools_of([])

    def test_requests_take_them(self) -> None:
        """A request accepts their schemas."""
        request = ChatRequest(model="m", messages="Hi", tools=[one.schema for one in tools_of([get_weather])])

        assert request.tools == (Tool(get_weather).schema,)

    def test_names_are_unique(self) -> None:
        """Two of one name are refused, with both places."""
        with pytest.raises(InvalidValueError, match=r"tools\[2\]: expected .* tools\[0\] does not have") as caught:
            tools_of([get_weather, Weather().forecast, RAW])

        assert "tools[2]" == caught.value.field

    @pytest.mark.parametrize(
        ("tools", "message"),
        [
            (get_weather, r"tools: expected .*, got function"),
            (RAW, r"tools: expected .*, got dict"),
            ("get_weather", r"tools: expected .*, got str"),
            ([get_weather, 3], r"tools\[1\]: function: expected .*, got int"),
            ([get_weather, recursive], r"tools\[1\]: recursive\(tree\): expected .*, got 'Tree'"),
        ],
    )
    def test_refused(self, tools: Any, message: str) -> None:
        """A value that is not a tool is refused, with its index."""
        with pytest.raises(InvalidValueError, match=message):
            tools_of(tools)
