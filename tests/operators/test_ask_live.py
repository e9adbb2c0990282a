"""Prompts to a real server: from another thread than the answers', from within answers, and what the server sees."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import reactivex
from faults_cases import closed_at_once
from heard import Heard, text_of
from reactivex import Observable
from reactivex import operators as rx
from reactivex.scheduler import EventLoopScheduler
from reactivex.subject import Subject

from rxollama import ChatChunk, Conversation, Ollama, aiterate
from rxollama import operators as op
from rxollama.errors import ServerFailureError
from rxollama.operators._ask import Policy
from rxollama.testing import Reply, ScriptedOllama, SeenRequest

POLICIES: tuple[Policy, ...] = ("switch", "queue", "ignore", "parallel")
HALF = Reply.answer(["Hel", "lo"]).stalled(1)


def said(seen: SeenRequest) -> list[str]:
    """Return the contents of a request's messages."""
    return [message["content"] for message in seen.json["messages"]]


@pytest.fixture
def conversation(ollama: Ollama) -> Conversation:
    """Return a new conversation."""
    return Conversation(ollama, "m")


@pytest.fixture
def prompts() -> Subject[str]:
    """Return a stream of prompts, which come from the test's thread while answers live on another."""
    return Subject()


def test_switch_closes_the_request(server: ScriptedOllama, conversation: Conversation, prompts: Subject[str]) -> None:
    """With `switch` the server sees the old request closed at once, and nothing more of it comes."""
    heard: Heard[ChatChunk] = Heard(prompts.pipe(op.ask(conversation.send)))
    server.enqueue(HALF, Reply.answer("New."))
    prompts.on_next("one")
    heard.wait_items(1)
    prompts.on_next("two")
    closed_at_once(server.requests[0])
    heard.wait_items(3)
    heard.dispose()

    assert text_of(heard.items) == "HelNew."


@pytest.mark.parametrize(("keep", "history"), [(False, ["two"]), (True, ["one", "Hel", "two"])])
def test_switch_and_the_history(
    server: ScriptedOllama, ollama: Ollama, prompts: Subject[str], keep: bool, history: list[str]
) -> None:
    """With `switch` the new request knows of the old answer what the conversation keeps of it."""
    conversation = Conversation(ollama, "m", keep_unfinished=keep)
    heard: Heard[ChatChunk] = Heard(prompts.pipe(op.ask(conversation.send)))
    server.enqueue(HALF, Reply.answer("New."))
    prompts.on_next("one")
    heard.wait_items(1)
    prompts.on_next("two")
    prompts.on_completed()

    assert heard.wait().completed
    assert said(server.requests[1]) == history
    assert [message.content for message in conversation.messages] == [*history, "New."]


def test_queue_waits(server: ScriptedOllama, conversation: Conversation, prompts: Subject[str]) -> None:
    """With `queue` the next request is made after the answer before it, and knows of it; the old one is not closed."""
    server.enqueue(Reply.answer("One.", first=0.1), Reply.answer("Two."))
    heard: Heard[ChatChunk] = Heard(prompts.pipe(op.ask(conversation.send, "queue")))
    prompts.on_next("1")
    prompts.on_next("2")
    prompts.on_completed()

    assert text_of(heard.wait().items) == "One.Two."
    first, second = server.requests
    first.wait_finished()
    assert first.left_at is None
    assert said(second) == ["1", "One.", "2"]


def test_ignore_drops(server: ScriptedOllama, conversation: Conversation, prompts: Subject[str]) -> None:
    """With `ignore` a prompt is not sent while another is answered, whose request goes on; afterwards one is again."""
    heard: Heard[ChatChunk] = Heard(prompts.pipe(op.ask(conversation.send, "ignore")))
    server.enqueue(HALF, Reply.answer("Three."))
    prompts.on_next("1")
    heard.wait_items(1)
    prompts.on_next("2")
    assert server.requests[0].left_at is None
    heard.dispose()
    again: Heard[ChatChunk] = Heard(prompts.pipe(op.ask(conversation.send, "ignore")))
    prompts.on_next("3")
    again.wait_items(2)
    again.dispose()

    assert [said(seen) for seen in server.requests] == [["1"], ["3"]]


def test_ignore_ends_with_the_answer(server: ScriptedOllama, conversation: Conversation, prompts: Subject[str]) -> None:
    """With `ignore` the next prompt is taken from the end of an answer on, which `finally_action` tells."""
    free: Subject[None] = Subject()
    ready = Heard(free)

    def send(prompt: str) -> Observable[ChatChunk]:
        return conversation.send(prompt).pipe(rx.finally_action(lambda: free.on_next(None)))

    heard: Heard[ChatChunk] = Heard(prompts.pipe(op.ask(send, "ignore")))
    server.enqueue(Reply.answer("One."), Reply.answer("Two."))
    prompts.on_next("1")
    ready.wait_items(1)
    prompts.on_next("2")
    ready.wait_items(2)
    heard.dispose()

    assert said(server.requests[1]) == ["1", "One.", "2"]


def test_parallel_answers_all(server: ScriptedOllama, conversation: Conversation, prompts: Subject[str]) -> None:
    """With `parallel` the requests run at the same time, and each answer joins the history when it is whole."""
    server.enqueue(Reply.answer(["Sl", "ow."], gap=1.0), Reply.answer("Fast."))
    heard: Heard[ChatChunk] = Heard(prompts.pipe(op.ask(conversation.send, "parallel")))
    prompts.on_next("1")
    server.wait_for(1)
    prompts.on_next("2")
    prompts.on_completed()
    heard.wait()
    first, second = server.requests

    assert second.received_at < first.wait_finished()
    assert said(second) == ["2"]
    assert [message.content for message in conversation.messages] == ["2", "Fast.", "1", "Slow."]


@pytest.mark.parametrize("policy", POLICIES)
def test_prompt_from_within(
    server: ScriptedOllama, conversation: Conversation, prompts: Subject[str], policy: Policy
) -> None:
    """A prompt from within the last chunk of an answer finds the answer in the history."""
    server.always(Reply.answer("Yes."))

    def each(chunk: ChatChunk) -> None:
        if chunk.done and len(server.requests) == 1:
            prompts.on_next("More?")
            prompts.on_completed()

    heard: Heard[ChatChunk] = Heard(prompts.pipe(op.ask(conversation.send, policy)), each)
    prompts.on_next("One?")
    heard.wait()

    again = [] if policy == "ignore" else [["One?", "Yes.", "More?"]]
    assert [said(seen) for seen in server.requests[1:]] == again


@pytest.mark.parametrize("policy", POLICIES)
def test_an_answer_fails(
    server: ScriptedOllama, conversation: Conversation, prompts: Subject[str], policy: Policy
) -> None:
    """The error of an answer ends the stream."""
    server.enqueue(Reply.error(500, {"error": "out of memory"}))
    heard: Heard[ChatChunk] = Heard(prompts.pipe(op.ask(conversation.send, policy)))
    prompts.on_next("1")

    assert isinstance(heard.failure, ServerFailureError)
    assert not prompts.observers


@pytest.mark.parametrize("policy", POLICIES)
def test_going_on_after_a_failure(
    server: ScriptedOllama, conversation: Conversation, prompts: Subject[str], policy: Policy
) -> None:
    """An answer that catches its own error lets the prompts go on."""
    shown: list[Exception] = []
    free: Subject[None] = Subject()
    ready = Heard(free)

    def show(error: Exception, _: object) -> Observable[ChatChunk]:
        shown.append(error)
        return reactivex.empty()

    def send(prompt: str) -> Observable[ChatChunk]:
        return conversation.send(prompt).pipe(rx.catch(show), rx.finally_action(lambda: free.on_next(None)))

    server.enqueue(Reply.error(500, {"error": "out of memory"}), Reply.answer("Two."))
    heard: Heard[ChatChunk] = Heard(prompts.pipe(op.ask(send, policy)))
    prompts.on_next("1")
    ready.wait_items(1)
    prompts.on_next("2")
    heard.wait_items(2)
    heard.dispose()

    assert isinstance(shown[0], ServerFailureError)
    assert text_of(heard.items) == "Two."
    assert said(server.requests[1]) == ["2"]


@pytest.mark.parametrize("policy", POLICIES)
def test_disposed(server: ScriptedOllama, conversation: Conversation, prompts: Subject[str], policy: Policy) -> None:
    """Disposing closes every request."""
    server.always(HALF)
    heard: Heard[ChatChunk] = Heard(prompts.pipe(op.ask(conversation.send, policy)))
    prompts.on_next("1")
    prompts.on_next("2")
    heard.wait_items(1)
    sent = server.wait_for(2 if policy == "parallel" else 1)
    heard.dispose()

    assert all(seen.wait_left() for seen in sent)


@pytest.mark.parametrize("policy", POLICIES)
def test_the_prompts_end_first(
    server: ScriptedOllama, conversation: Conversation, prompts: Subject[str], policy: Policy
) -> None:
    """When the prompts are over, the answer that runs is still told to its end."""
    server.enqueue(Reply.answer(["a", "b"], gap=0.05))
    heard: Heard[ChatChunk] = Heard(prompts.pipe(op.ask(conversation.send, policy)))
    prompts.on_next("1")
    prompts.on_completed()

    assert text_of(heard.wait().items) == "ab"
    assert heard.completed


def test_two_loops(server: ScriptedOllama, conversation: Conversation, prompts: Subject[str]) -> None:
    """Answers on two loops, one of a coroutine's and the background's, never speak at the same time."""
    server.always(Reply.answer([str(number) for number in range(200)]))
    speaking = [0]

    def each(_: ChatChunk) -> None:
        speaking[0] += 1
        assert speaking[0] == 1
        speaking[0] -= 1

    heard: Heard[ChatChunk] = Heard(prompts.pipe(op.ask(conversation.send, "parallel")), each)

    async def prompt() -> None:
        prompts.on_next("here")
        await asyncio.to_thread(prompts.on_next, "there")
        prompts.on_completed()
        await asyncio.to_thread(heard.wait)

    asyncio.run(prompt())

    assert heard.completed
    assert len(heard.items) == 2 * 201


def test_prompts_of_a_desktop(server: ScriptedOllama, conversation: Conversation, desktop: EventLoopScheduler) -> None:
    """Prompts from a desktop's thread and updates on it make no deadlock."""
    server.always(Reply.answer("Yes, it is so."))
    prompts: Subject[str] = Subject()
    texts = prompts.pipe(op.ask(conversation.send, "queue"), op.content(), op.coalesce(0.01, scheduler=desktop))
    heard = Heard(texts)

    def prompt(*_: Any) -> None:
        prompts.on_next("One?")
        prompts.on_next("Two?")
        prompts.on_completed()

    desktop.schedule(prompt)

    assert "".join(heard.wait().items) == 2 * "Yes, it is so."
    assert heard.threads == {"desktop"}


async def test_in_asyncio(server: ScriptedOllama) -> None:
    """In a coroutine prompts and answers live on its loop."""
    server.always(Reply.answer("Yes."))
    async with Ollama(server.url) as ollama:
        prompts: Subject[str] = Subject()
        texts = aiterate(prompts.pipe(op.ask(Conversation(ollama, "m").send, "queue"), op.content()))
        waiting = asyncio.ensure_future(anext(texts))
        await asyncio.sleep(0)
        prompts.on_next("One?")
        assert await waiting == "Yes."
        await texts.aclose()
