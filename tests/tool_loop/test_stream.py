"""A conversation as a stream of deltas: what `run`, `await` and loops make of it."""

from __future__ import annotations

from typing import Any

import pytest
from heard import text_of
from talks import calls, done

from rxollama import ChatChunk, Message, Ollama, Stream, iterate, run
from rxollama import operators as op
from rxollama.errors import ToolFailedError, TooManyRoundsError
from rxollama.testing import Reply, ScriptedOllama
from rxollama.tools import Tool, ToolProgress


def test_kind(ollama: Ollama) -> None:
    """Its items are known to be chunks that add up."""
    talk = ollama.converse("m", "Go")

    assert isinstance(talk, Stream)
    assert (talk.items, talk.deltas) == (ChatChunk, True)


def test_run(ollama: Ollama, server: ScriptedOllama) -> None:
    """`run` gives the final message with its thinking and metrics, without earlier rounds."""
    server.enqueue(
        calls(("f", {}), content="Let me see."), Reply.answer(["It is", " done."], thinking=["So", " it is."])
    )
    final = run(ollama.converse("m", "Go", tools=[done()]))

    assert final.message == Message.assistant("It is done.", thinking="So it is.")
    assert final.done
    assert final.metrics is not None
    assert final.metrics.eval_count > 0


def test_run_equals_the_last_message(ollama: Ollama, server: ScriptedOllama) -> None:
    """The final message is the one that `collect` has last."""
    server.always(
        lambda seen: calls(("f", {})) if len(seen.json["messages"]) < 4 else Reply.answer(["Do", "ne."], thinking="Hm")
    )
    talk = ollama.converse("m", "Go", tools=[done()])

    assert run(talk).message == run(talk.pipe(op.collect())).message


async def test_await(server: ScriptedOllama) -> None:
    """`await` gives the same."""
    server.enqueue(calls(("f", {}), content="Let me see."), Reply.answer(["It is", " done."]))
    async with Ollama(server.url) as ollama:
        final = await ollama.converse("m", "Go", tools=[done()])

    assert final.message == Message.assistant("It is done.")
    assert final.done


def test_thinking_that_reopens(ollama: Ollama, server: ScriptedOllama) -> None:
    """Thinking that comes after content belongs to the same message."""
    records: list[dict[str, Any]] = [
        {"message": {"role": "assistant", "content": "", "thinking": "Hm"}},
        {"message": {"role": "assistant", "content": "It is"}},
        {"message": {"role": "assistant", "content": "", "thinking": " wait"}},
        {"message": {"role": "assistant", "content": " done."}},
        {"done": True},
    ]
    server.enqueue(calls(("f", {})), Reply.records(records))

    assert run(ollama.converse("m", "Go", tools=[done()])).message == Message.assistant(
        "It is done.", thinking="Hm wait"
    )


def test_progress(ollama: Ollama, server: ScriptedOllama) -> None:
    """A loop finds the latest progress of a tool, which is not part of any message."""
    server.enqueue(calls(("f", {})), Reply.answer("Done."))

    def f() -> object:
        return iter([ToolProgress("a half"), ToolProgress("more"), "found"])

    talk = ollama.converse("m", "Go", tools=[f])
    chunks = list(talk)

    assert [chunk.tool_progress for chunk in chunks if chunk.tool_progress][-1] == "more"
    assert [chunk.message.content for chunk in chunks if chunk.message.role == "tool" and chunk.done] == ["found"]
    assert text_of(chunks) == "foundDone."
    server.enqueue(calls(("f", {})), Reply.answer("Done."))
    assert run(talk).message == Message.assistant("Done.")


def test_progress_comes_last(ollama: Ollama, server: ScriptedOllama) -> None:
    """An empty final answer is the final message, not the tool's result before it."""
    server.enqueue(calls(("f", {})), Reply.answer(""))

    def f() -> object:
        return iter([ToolProgress("a half"), "found"])

    final = run(ollama.converse("m", "Go", tools=[f]))
    assert final.message == Message.assistant("")
    assert final.done


def test_for(ollama: Ollama, server: ScriptedOllama) -> None:
    """A plain `for` has the text of all assistant messages."""
    server.enqueue(calls(("f", {}), content="Let me see. "), Reply.answer(["It is", " done."]))
    texts = list(ollama.converse("m", "Go", tools=[done()]).pipe(op.content()))

    assert "".join(texts) == "Let me see. It is done."


async def test_async_for(server: ScriptedOllama) -> None:
    """An `async for` has the same."""
    server.enqueue(calls(("f", {}), content="Let me see. "), Reply.answer(["It is", " done."]))
    async with Ollama(server.url) as ollama:
        texts = [text async for text in ollama.converse("m", "Go", tools=[done()]).pipe(op.content())]

    assert "".join(texts) == "Let me see. It is done."


def test_whole_text(ollama: Ollama, server: ScriptedOllama) -> None:
    """`run` of the text is all of it."""
    server.enqueue(calls(("f", {}), content="Let me see. "), Reply.answer(["It is", " done."]))

    assert run(ollama.converse("m", "Go", tools=[done()]).pipe(op.content())) == "Let me see. It is done."


def test_slow_loop(ollama: Ollama, server: ScriptedOllama) -> None:
    """A loop that is slower than the conversation finds sums of one message each, and loses nothing."""
    server.enqueue(calls(("f", {}), content="Let me see."), Reply.answer(["It", " is", " done."]))
    chunks: list[ChatChunk] = []
    for chunk in iterate(ollama.converse("m", "Go", tools=[done()])):
        chunks.append(chunk)
        server.wait_for(2)[-1].wait_finished()

    assert text_of(chunks) == "Let me see.doneIt is done."
    assert {chunk.message.role for chunk in chunks} == {"assistant", "tool"}
    assert all(chunk.message.content in {"", "done"} for chunk in chunks if chunk.message.role == "tool")


def test_too_many_rounds(ollama: Ollama, server: ScriptedOllama) -> None:
    """The round limit is an error of `run`, with the host and the messages of all rounds."""
    server.always(calls(("f", {}), content="Again."))

    with pytest.raises(TooManyRoundsError) as caught:
        run(ollama.converse("m", "Go", tools=[done()], max_rounds=2))

    assert caught.value.host == server.url
    assert caught.value.partial is not None
    assert [message.content for message in caught.value.partial.messages] == ["Again.", "done", "Again."]


def test_raised(ollama: Ollama, server: ScriptedOllama) -> None:
    """An error of `raise_on=` is one of `run` as well."""
    server.enqueue(calls(("f", {}), content="Let me see."))

    def fail() -> None:
        raise LookupError("mine")

    with pytest.raises(ToolFailedError) as caught:
        run(ollama.converse("m", "Go", tools=[Tool(fail, name="f")], raise_on=ToolFailedError))

    assert isinstance(caught.value.__cause__, LookupError)
    assert server.url in str(caught.value)


def test_nothing_at_all(ollama: Ollama, server: ScriptedOllama) -> None:
    """The text of an empty answer is ""."""
    server.enqueue(Reply.answer(""))

    assert run(ollama.converse("m", "Go").pipe(op.content())) == ""
