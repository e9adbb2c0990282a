"""The memory of waits and its file."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from heard import PATIENCE, Heard
from msgspec import json
from programs import Program

from rxollama import Ollama, run
from rxollama import operators as op
from rxollama._wire import encode_chat
from rxollama.client import WaitEstimates
from rxollama.client._sent_request import read_sent
from rxollama.errors import InvalidValueError
from rxollama.messages import ChatChunk, ChatRequest
from rxollama.testing import Reply, ScriptedOllama

Start = Callable[..., Program]

HOST = "http://gpu:11434"
SECOND = 1_000_000_000
WHOLE: dict[str, Any] = {"rxollama": "wait estimates", "version": 1, "waits": []}
SENT = read_sent(encode_chat(ChatRequest(model="m", messages="A secret.")))


def learn(estimates: WaitEstimates, model: str = "m:latest", load: int = 3) -> None:
    """Let a memory learn a load of some seconds."""
    estimates.book.learn((HOST, model), SENT, ChatChunk(done=True, load_duration=load * SECOND), 0.0)


def loads(path: Path) -> dict[str, float | None]:
    """Return the loads in a file by model."""
    return {model: wait.load for (_, model), wait in WaitEstimates(path).book.known().items()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a file that does not exist."""
    return tmp_path / "waits.json"


class TestMemory:
    """The memory without a file."""

    def test_own(self) -> None:
        """It has no file, and saving does nothing."""
        estimates = WaitEstimates()
        learn(estimates)
        estimates.save()
        estimates.close()
        assert (estimates.path, repr(estimates)) == (None, "WaitEstimates()")
        assert len(estimates.book.known()) == 1

    def test_shared(self, server: ScriptedOllama) -> None:
        """Clients of one memory learn from each other, and others do not."""
        estimates = WaitEstimates()
        server.always(Reply.answer("Hi.", first=0.6, load_duration=SECOND // 2))
        run(Ollama(server.url, wait_estimates=estimates).chat("m", "Hi"))
        server.always(Reply.answer("Hi.").stalled(0))
        expected: list[bool] = []
        for client in (Ollama(server.url, wait_estimates=estimates), Ollama(server.url)):
            heard = Heard(client.chat("m", "Hi").pipe(op.meter(0.05))).wait_items(5)
            expected.append(heard.items[-1].expected is not None)
            heard.dispose()
        assert expected == [True, False]

    @pytest.mark.parametrize("wrong", ["waits.json", 1, {}])
    def test_wrong(self, wrong: Any) -> None:
        """A client accepts nothing else."""
        with pytest.raises(InvalidValueError, match="wait_estimates"):
            Ollama(wait_estimates=wrong)


class TestFile:
    """The file."""

    @pytest.mark.parametrize("as_text", [True, False])
    def test_kept(self, path: Path, as_text: bool) -> None:
        """The next process finds what was learned, under its host and model."""
        estimates = WaitEstimates(str(path) if as_text else path)
        learn(estimates, "m:latest", 3)
        learn(estimates, "n:8b", 4)
        estimates.close()
        assert loads(path) == {"m:latest": 3.0, "n:8b": 4.0}
        assert WaitEstimates(path).book.known() == estimates.book.known()
        assert (estimates.path, repr(estimates)) == (path, f"WaitEstimates({str(path)!r})")

    def test_a_client(self, server: ScriptedOllama, path: Path) -> None:
        """A client that closes leaves a file without a text and a key in it."""
        server.always(Reply.answer("An answer.", first=0.6, load_duration=SECOND // 2))
        with Ollama(server.url, api_key="topsecret", wait_estimates=WaitEstimates(path)) as client:
            run(client.chat("m", "A question?"))
        content = path.read_text()
        assert loads(path) == {"m:latest": 0.5}
        assert not [word for word in ("question", "answer", "topsecret") if word in content]

    async def test_a_client_of_a_loop(self, server: ScriptedOllama, path: Path) -> None:
        """A client that is closed in a coroutine has written the file."""
        server.always(Reply.answer("An answer.", first=0.6, load_duration=SECOND // 2))
        async with Ollama(server.url, wait_estimates=WaitEstimates(path)) as client:
            await client.chat("m", "A question?")
        assert loads(path) == {"m:latest": 0.5}

    async def test_close_on_a_loop(self, path: Path) -> None:
        """Closing on a loop does not wait."""
        estimates = WaitEstimates(path)
        learn(estimates)
        estimates.close()
        await estimates.aclose()
        assert loads(path) == {"m:latest": 3.0}

    def test_close_twice(self, path: Path) -> None:
        """Closing writes what was learned after the first writing, once."""
        estimates = WaitEstimates(path)
        learn(estimates, "m:latest")
        learn(estimates, "n:latest")
        asyncio.run(estimates.aclose())
        assert loads(path) == {"m:latest": 3.0, "n:latest": 3.0}
        path.unlink()
        asyncio.run(estimates.aclose())
        assert not path.exists()

    def test_seldom(self, path: Path) -> None:
        """The file is written at once, then every five seconds at most, and at the end."""
        saved: list[float] = []

        class Counting(WaitEstimates):
            """A memory that counts."""

            def save(self) -> None:
                """Count."""
                saved.append(monotonic())
                super().save()

        began = monotonic()
        estimates = Counting(path)
        for number in range(200):
            learn(estimates, load=number + 1)
        estimates.close()
        assert 1 <= len(saved) <= 2 + (monotonic() - began) / 5.0
        assert loads(path) == {"m:latest": estimates.book.known()[HOST, "m:latest"].load}

    def test_save(self, path: Path) -> None:
        """Saving writes the file now."""
        estimates = WaitEstimates(path)
        estimates.save()
        assert loads(path) == {}

    def test_link(self, path: Path, tmp_path: Path) -> None:
        """The file that a link leads to is replaced."""
        path.symlink_to(tmp_path / "target.json")
        estimates = WaitEstimates(path)
        learn(estimates)
        estimates.close()
        assert path.is_symlink()
        assert loads(tmp_path / "target.json") == {"m:latest": 3.0}

    def test_two_writers(self, path: Path) -> None:
        """The last of two writers wins, and the file is whole at every moment."""
        memories = [WaitEstimates(path), WaitEstimates(path)]
        for number, estimates in enumerate(memories):
            learn(estimates, f"m{number}:latest")
            estimates.close()

        def write(estimates: WaitEstimates) -> None:
            for _ in range(20):
                estimates.save()

        threads = [threading.Thread(target=write, args=(estimates,)) for estimates in memories]
        for thread in threads:
            thread.start()
        for _ in range(50):
            assert len(loads(path)) == 1
        for thread in threads:
            thread.join()
        assert [entry.name for entry in path.parent.iterdir()] == ["waits.json"]

    def test_killed(self, path: Path, start: Start) -> None:
        """A process that is killed while it writes leaves a whole file."""
        for _ in range(3):
            program = start(
                """
                from rxollama.client import WaitEstimates

                estimates = WaitEstimates(sys.argv[1])
                estimates.save()
                print("written", flush=True)
                while True:
                    estimates.save()
                """,
                str(path),
            )
            assert program.line() == "written"
            program.send(signal.SIGTERM)
            program.status()
            assert loads(path) == {}

    def test_exit(self, server: ScriptedOllama, path: Path, start: Start) -> None:
        """A program that ends while the file is written waits for it."""
        server.always(Reply.answer("An answer.", first=0.6, load_duration=SECOND // 2))
        program = start(
            """
            import threading, time
            from rxollama import Ollama
            from rxollama.client import WaitEstimates

            class Slow(WaitEstimates):
                def save(self):
                    writing.set()
                    threading.main_thread().join()
                    time.sleep(0.1)  # The interpreter would be gone by then.
                    super().save()

            writing = threading.Event()
            Ollama(sys.argv[1], wait_estimates=Slow(sys.argv[2])).chat("m", "Hello").subscribe()
            writing.wait(10)
            """,
            server.url,
            str(path),
        )
        program.end()
        assert loads(path) == {"m:latest": 0.5}


class TestRefused:
    """Files that are not read."""

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"{",
            b"\xff",
            b"[]",
            b"{}",
            b"[" * 100_000,
            json.encode({**WHOLE, "rxollama": "conversation"}),
            json.encode({**WHOLE, "version": "1"}),
            json.encode({**WHOLE, "more": 1}),
            json.encode({**WHOLE, "waits": [{"host": "", "model": "m", "wait": {"load": -1}}]}),
            json.encode({**WHOLE, "waits": [{"host": "", "model": "m", "wait": {"loud": 1}}]}),
            b'{"rxollama":"wait estimates","version":1,"waits":[{"host":"","model":"m","wait":{"load":1e999}}]}',
        ],
    )
    def test_foreign(self, path: Path, content: bytes) -> None:
        """A file that is broken, or something else, is refused and left as it is."""
        path.write_bytes(content)
        with pytest.raises(InvalidValueError, match="path: expected a file that WaitEstimates wrote") as caught:
            WaitEstimates(path)
        assert str(path) in str(caught.value)
        assert path.read_bytes() == content

    def test_newer(self, path: Path) -> None:
        """A file of a newer version is refused in these words."""
        path.write_bytes(json.encode({**WHOLE, "version": 2, "more": 1}))
        with pytest.raises(InvalidValueError, match="got a file of the newer version 2 in"):
            WaitEstimates(path)

    @pytest.mark.parametrize("wrong", ["", "a\0b", 1, b"waits.json", ["a"]])
    def test_wrong_path(self, wrong: Any) -> None:
        """A path names a file."""
        with pytest.raises(InvalidValueError, match="path: "):
            WaitEstimates(wrong)

    def test_directory(self, tmp_path: Path) -> None:
        """A file that cannot be read is an error of the system's."""
        with pytest.raises(OSError, match=str(tmp_path)):
            WaitEstimates(tmp_path)


class TestNotWritten:
    """Files that cannot be written."""

    def test_no_directory(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """A failure is reported once, and everything goes on in memory."""
        estimates = WaitEstimates(tmp_path / "none" / "waits.json")
        for load in (3, 4, 5):
            learn(estimates, load=load)
            estimates.close()
        [entry] = caplog.records
        assert entry.getMessage().startswith("the wait estimates cannot be saved in ")
        assert len(estimates.book.known()) == 1
        with pytest.raises(FileNotFoundError):
            estimates.save()

    def test_no_thread(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where no thread can be started, as at the end of a program, it is written at once."""

        def start(_: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        estimates = WaitEstimates(path)
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", start)
            learn(estimates)
        assert loads(path) == {"m:latest": 3.0}

    async def test_change_while_it_writes(self, path: Path) -> None:
        """An answer that ends while the file is written is written at the end."""
        written, release = threading.Event(), threading.Event()

        class Slow(WaitEstimates):
            """A memory whose first save takes its time."""

            def save(self) -> None:
                """Save, and wait."""
                super().save()
                written.set()
                assert release.wait(PATIENCE)

        estimates = Slow(path)
        learn(estimates, "m:latest")
        assert await asyncio.to_thread(written.wait, PATIENCE)
        learn(estimates, "n:latest")
        estimates.close()
        release.set()
        await estimates.aclose()
        assert loads(path) == {"m:latest": 3.0, "n:latest": 3.0}
