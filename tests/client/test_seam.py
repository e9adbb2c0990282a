"""The seam of a continued answer: whether the server goes on or begins over."""

from __future__ import annotations

import pytest
import reactivex
from heard import Heard, text_of
from hypothesis import given
from hypothesis import strategies as st
from reactivex import operators as rx

from rxollama import ChatChunk, Message, StreamError
from rxollama.client._seam import can_continue, watch_seam
from rxollama.messages import ChatResponse, Restart, ToolCall

SENT = "The sky is blue because of"
MARK = Restart("began over", 2)


def said(*texts: str) -> list[ChatChunk]:
    """Return chunks of content."""
    return [ChatChunk(message=Message("assistant", text)) for text in texts]


def through(chunks: list[ChatChunk], sent: str = SENT, error: Exception | None = None) -> Heard[ChatChunk]:
    """Return what passes the seam."""
    source = reactivex.from_iterable(chunks)
    if error is not None:
        source = source.pipe(rx.concat(reactivex.throw(error)))
    return Heard(watch_seam(source, sent, lambda: MARK))


@pytest.mark.parametrize(
    "texts",
    [
        [" light."],
        ["", " light."],
        ["The", "y scatter light."],
        ["The sky is bl", "ack."],
        ["\n", "The", " rest."],
        ["Light."],
    ],
)
def test_goes_on(texts: list[str]) -> None:
    """A text that differs from the beginning goes on, and nothing of it is lost."""
    assert through([*said(*texts), ChatChunk(done=True)]).wait().items == [*said(*texts), ChatChunk(done=True)]


@pytest.mark.parametrize(
    "texts",
    [
        ["The sky is blue now."],
        [*SENT, " light."],
        [" The", " sky", " is", " blue", " since"],
        ["", "The sky is blue because of light."],
    ],
)
def test_begins_over(texts: list[str]) -> None:
    """A text that has the beginning of what was sent is a new answer."""
    heard = through(said(*texts)).wait()
    assert [chunk.restart for chunk in heard.items] == [MARK] + [None] * (len(texts) - 1)
    assert text_of(heard.items) == "".join(texts)


def test_thinks_again() -> None:
    """A thought in front of the content is that of a new answer."""
    thought = ChatChunk(message=Message("assistant", "", "Hm."))
    heard = through([*said("", "The"), thought, *said(" end.")]).wait()
    assert [chunk.restart for chunk in heard.items] == [MARK, None, None, None]


@pytest.mark.parametrize("last", [ChatChunk(done=True), ChatChunk(message=Message(tool_calls=(ToolCall(),)))])
def test_ends_early(last: ChatChunk) -> None:
    """An answer that ends or calls a tool before it differs goes on."""
    heard = through([*said("The sky"), last]).wait()
    assert heard.items == [*said("The sky"), last]


@pytest.mark.parametrize("sent", ["1, 2, 1, 2, 1, 2, 1, 2, 1, 2,", "haha haha"])
def test_repeated_beginnings(sent: str) -> None:
    """A text that repeats its own beginning says nothing."""
    heard = through(said(sent, sent), sent).wait()
    assert [chunk.restart for chunk in heard.items] == [None, None] if sent[0] == "1" else [MARK, None]


def test_an_error_before_it_is_decided() -> None:
    """Chunks that are held back are not a part of the answer if the request fails."""
    error = StreamError("lost", partial=ChatResponse(message=Message("assistant", "The sky")))
    heard = through(said("The sky"), error=error).wait()
    assert (heard.items, heard.error, error.partial) == ([], error, None)


def test_an_error_afterwards() -> None:
    """Later, an error is passed on as it is."""
    error = StreamError("lost", partial=ChatResponse(message=Message("assistant", " light")))
    heard = through(said(" light"), error=error).wait()
    assert (text_of(heard.items), heard.error, error.partial is None) == (" light", error, False)
    assert through([], error=LookupError("x")).wait().items == []


@given(st.text("ab c\n", max_size=30), st.lists(st.text("ab c\n", max_size=4), max_size=12))
def test_nothing_is_lost(sent: str, texts: list[str]) -> None:
    """Whatever the texts are, all of them come out, and in order."""
    heard = through([*said(*texts), ChatChunk(done=True)], sent).wait()
    assert text_of(heard.items) == "".join(texts)
    assert all(chunk.restart is None for chunk in heard.items[1:])


@pytest.mark.parametrize(
    ("message", "can"),
    [
        (Message("assistant", "Blue"), True),
        (Message("assistant", "Blue", "Hm."), True),
        (Message("assistant", " It "), False),
        (Message("assistant", "", "Hm."), False),
        (Message("assistant", "Blue", tool_calls=(ToolCall(),)), False),
    ],
)
def test_can_continue(message: Message, can: bool) -> None:
    """Only content can be continued, and not after a call."""
    assert can_continue(message) is can
