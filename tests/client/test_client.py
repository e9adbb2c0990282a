"""The client: its construction, its arguments and its end."""

from __future__ import annotations

import asyncio
import gc
import inspect
import re
import threading
from collections.abc import Callable

import pytest
from heard import Heard, settle, text_of
from programs import Program

from rxollama import Ollama, run
from rxollama.errors import ClientClosedError
from rxollama.messages import ChatChunk, ChatOptions
from rxollama.testing import Reply, ScriptedOllama

WORDS = ["One", " two", " three"]


class TestMaking:
    """The construction of a client."""

    def test_default(self) -> None:
        """Without a host and without the variable, the server is on this machine."""
        assert Ollama().base_url == "http://127.0.0.1:11434"

    def test_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The variable is read at construction, and an argument overrides it."""
        monkeypatch.setenv("OLLAMA_HOST", "gpu-box:1234")
        ollama, other = Ollama(), Ollama("https://ollama.example/prefix/")
        monkeypatch.delenv("OLLAMA_HOST")
        assert [ollama.base_url, other.base_url] == ["http://gpu-box:1234", "https://ollama.example:443/prefix"]

    def test_prefix(self, server: ScriptedOllama) -> None:
        """A path prefix precedes every path."""
        with Ollama(server.url + "/proxy/ollama/") as ollama:
            Heard(ollama.version()).wait()
        assert server.requests[0].path == "/proxy/ollama/api/version"

    def test_repr(self) -> None:
        """The repr shows the server and no secret."""
        assert repr(Ollama("gpu-box", api_key="secret")) == "Ollama('http://gpu-box:11434')"


class TestArguments:
    """The arguments of the calls, as an editor shows them."""

    @pytest.mark.parametrize("name", ["chat", "generate", "converse", "embed", "create"])
    def test_documents_every_argument(self, name: str) -> None:
        """Each argument stands in the docstring of the call itself."""
        call = getattr(Ollama, name)
        docstring = inspect.getdoc(call) or ""
        arguments = docstring.split("Args:\n")[1].split("Returns:\n")[0]

        documented = re.findall(r"^    (\w+): ", arguments, re.MULTILINE)

        assert documented == [name for name in inspect.signature(call).parameters if name != "self"]

    def test_distinguishes_the_two_ways_of_tools(self) -> None:
        """Both calls say which of them describes functions, and which runs them."""
        for call in (Ollama.chat, Ollama.converse):
            docstring = inspect.getdoc(call) or ""

            assert "`chat(tools=)`" in docstring
            assert "`converse(tools=)` runs" in docstring

    def test_options_of_a_chat_are_its_arguments(self) -> None:
        """`ChatOptions` has every argument of a chat but these."""
        parameters = inspect.signature(Ollama.chat).parameters.keys()

        assert (
            parameters - {"self", "model", "messages", "tools", "debug_render_only"}
            == ChatOptions.__annotations__.keys()
        )


class TestClosing:
    """The end of a client."""

    def test_with(self, server: ScriptedOllama) -> None:
        """The end of a `with` closes the connections."""
        server.enqueue(Reply.answer(WORDS))
        with Ollama(server.url) as ollama:
            assert text_of(Heard(ollama.chat("m", "Hi")).wait().items) == "One two three"
            assert server.open_connections == 1
        server.wait_closed()

    async def test_async_with(self, server: ScriptedOllama) -> None:
        """The end of an `async with` closes the connections, and ends the streams with that error."""
        server.enqueue(Reply.answer(WORDS), Reply.answer(WORDS).stalled(1))
        async with Ollama(server.url) as ollama:
            assert (await ollama.chat("m", "Hi")).done
            heard = Heard(ollama.chat("m", "Hi"))
            await asyncio.to_thread(heard.wait_items, 1)
        assert isinstance(heard.error, ClientClosedError)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        await asyncio.to_thread(server.wait_closed)

    async def test_close_in_a_coroutine(self, server: ScriptedOllama) -> None:
        """`close` in a coroutine does not wait, and everything is closed soon after."""
        server.enqueue(Reply.answer(WORDS).stalled(1))
        ollama = Ollama(server.url)
        heard = Heard[ChatChunk]()
        over = asyncio.Event()
        ollama.chat("m", "Hi").subscribe(heard.on_next, lambda _: over.set())
        await asyncio.to_thread(heard.wait_items, 1)
        ollama.close()
        await over.wait()
        await asyncio.to_thread(server.wait_closed)

    def test_on_several_loops(self, server: ScriptedOllama) -> None:
        """`close` closes the connections of every running loop."""
        server.always(Reply.answer(WORDS))
        ollama = Ollama(server.url)
        asked, closed = threading.Event(), threading.Event()

        async def live() -> None:
            await ollama.chat("m", "Hi")
            asked.set()
            await asyncio.to_thread(closed.wait)

        living = threading.Thread(target=asyncio.run, args=(live(),))
        living.start()
        Heard(ollama.chat("m", "Hi")).wait()
        asked.wait()
        assert server.open_connections == 2
        ollama.close()
        server.wait_closed()
        closed.set()
        living.join()

    def test_dropped(self, server: ScriptedOllama) -> None:
        """A client that is garbage-collected closes its connections."""
        server.enqueue(Reply.answer(WORDS))
        Heard(Ollama(server.url).chat("m", "Hi")).wait()
        # The loop may still be in the last callback, which keeps the client.
        settle()
        gc.collect()
        server.wait_closed()


def test_dropped_client(start: Callable[..., Program], server: ScriptedOllama) -> None:
    """A client that nobody closed closes its connections when it is dropped, without a warning."""
    server.always(Reply.answer("Hello"))
    program = start(
        """
        import gc

        from rxollama import Ollama
        from rxollama import operators as op

        for _ in range(2):
            for text in Ollama(sys.argv[1]).chat("m", "Hi").pipe(op.content()):
                print(text)
            gc.collect()
        """,
        server.url,
    )
    assert (program.line(), program.line()) == ("Hello", "Hello")
    assert program.end() == ""


def test_dropped_client_closes(server: ScriptedOllama) -> None:
    """The connections of a dropped client close while the program goes on."""
    server.enqueue(Reply.answer("Hello"))
    assert run(Ollama(server.url).chat("m", "Hi")).message.content == "Hello"
    settle()
    gc.collect()
    server.wait_closed()
