"""Inline thinking is found however a chat is cut into chunks."""

from __future__ import annotations

import re
from collections import Counter
from itertools import groupby
from typing import Any, TypeAlias

import reactivex
from hypothesis import given
from hypothesis import strategies as st

from rxollama.messages import ChatChunk, ChatResponse, Function, Message, ToolCall
from rxollama.operators._extract import extract_thinking
from rxollama.operators._reduce import collect

CALL = ToolCall(Function("look"))


def says(content: str = "", thinking: str = "", *calls: ToolCall, **fields: Any) -> ChatChunk:
    """Return a chunk of the assistant."""
    return ChatChunk(message=Message("assistant", content, thinking, tool_calls=calls), **fields)


def received(chunks: list[ChatChunk], **options: Any) -> list[ChatChunk]:
    """Return what an operator emits for chunks that arrive at once."""
    found: list[ChatChunk] = []
    reactivex.from_iterable(chunks).pipe(extract_thinking(**options)).subscribe(found.append)
    return found


Word: TypeAlias = tuple[str, str]
TEXTS = st.lists(st.sampled_from(["<", "<think>", "</think>", "</", "think>", "a", " ", ">"]), max_size=6).map("".join)
WORDS = st.lists(
    st.tuples(st.just("content"), TEXTS)
    | st.tuples(st.just("thinking"), TEXTS)
    | st.sampled_from([("call", ""), ("done", ""), ("tool", "2 < 3"), ("content", "<think>b</think>")]),
    max_size=10,
)
MARKS = {"call", "done", "tool"}
OPTIONS = st.fixed_dictionaries({"inside": st.booleans(), "first_only": st.booleans()})


def chunk_of(word: Word) -> ChatChunk:
    """Return a chunk with one part of an answer."""
    kind, text = word
    if kind == "tool":
        return ChatChunk(message=Message("tool", text))
    if kind == "call":
        return says("", "", CALL)
    return says(**{kind: text}) if kind != "done" else says(done=True)


@st.composite
def regrouped(draw: st.DrawFn) -> tuple[list[ChatChunk], list[ChatChunk]]:
    """Draw a chat of whole parts, and the same chat with its parts cut and joined anywhere."""
    words = draw(WORDS)
    cut: list[ChatChunk] = []
    rank, ranks = 0, {"thinking": 1, "content": 2, "call": 3, "done": 4}
    for kind, text in words:
        at = draw(st.integers(0, len(text))) if kind in {"content", "thinking"} else len(text)
        for part in [text[:at], text[at:]] if at < len(text) else [text]:
            joins = 0 < rank <= ranks.get(kind, 0) and rank < ranks["done"] and draw(st.booleans())
            chunk = chunk_of((kind, part))
            cut[-1:] = [cut[-1] + chunk] if joins else [*cut[-1:], chunk]
            rank = ranks.get(kind, 0)
    return [chunk_of(word) for word in words], cut


def read(chunks: list[ChatChunk]) -> list[Word]:
    """Return the parts of chunks in reading order, with neighbours of the same kind joined."""
    words: list[Word] = []
    for chunk in chunks:
        message = chunk.message
        said = "tool" if message.role == "tool" else "content"
        words += [("thinking", message.thinking), (said, message.content)]
        words += [("call", call.name) for call in message.tool_calls]
        words += [("done", "!")] if chunk.done else []
    spoken = [word for word in words if word[1]]
    return [(kind, "".join(text for _, text in same)) for kind, same in groupby(spoken, lambda word: word[0])]


@given(regrouped(), OPTIONS)
def test_any_cut(chats: tuple[list[ChatChunk], list[ChatChunk]], options: dict[str, bool]) -> None:
    """However a chat is cut into chunks, the result has the same parts and the same response."""
    whole, cut = (received(chunks, **options) for chunks in chats)

    assert read(whole) == read(cut)
    assert responses(whole) == responses(cut)


def responses(chunks: list[ChatChunk]) -> list[ChatResponse]:
    """Return the response of chunks."""
    found: list[ChatResponse] = []
    reactivex.from_iterable(chunks).pipe(collect()).subscribe(found.append)
    return found


@given(regrouped())
def test_only_tags_go(chats: tuple[list[ChatChunk], list[ChatChunk]]) -> None:
    """Only whole tags are removed, and the rest stays between the same calls and ends."""
    before, after = read(chats[1]), read(received(chats[1]))

    letters = [Counter(text for word in words for text in word[1]) for words in (before, after)]
    gone = letters[0] - letters[1]
    assert letters[1] <= letters[0]
    assert gone == Counter("<think>" * gone["<"] + "/" * gone["/"])
    assert without_tag_letters(before) == without_tag_letters(after)


def without_tag_letters(words: list[Word]) -> str:
    """Return texts without the letters of tags, as tags may touch halves of tags, and other parts by name."""
    return "".join(text.upper() if kind in MARKS else re.sub("[</think>]", "", text) for kind, text in words)
