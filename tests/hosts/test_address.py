"""The rules of `OLLAMA_HOST`."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxollama._hosts import base_url
from rxollama.errors import InvalidValueError

_HOSTS = [
    ("", "http://127.0.0.1:11434"),
    ("   ", "http://127.0.0.1:11434"),
    ("1.2.3.4", "http://1.2.3.4:11434"),
    ("example.com", "http://example.com:11434"),
    ("example.com.", "http://example.com.:11434"),
    ("localhost:1234", "http://localhost:1234"),
    ("gpu_box-2", "http://gpu_box-2:11434"),
    ("bücher.example", "http://bücher.example:11434"),
    (":1234", "http://127.0.0.1:1234"),
    ("h:00080", "http://h:80"),
    ("h:65535", "http://h:65535"),
    ("http://h", "http://h:80"),
    ("https://h", "https://h:443"),
    ("http://h:8080", "http://h:8080"),
    ("https://h/ollama", "https://h:443/ollama"),
    ("https://h/ollama/v2/", "https://h:443/ollama/v2"),
    ("https://h/", "https://h:443"),
    ("h/prefix", "http://h:11434/prefix"),
    ("http://", "http://127.0.0.1:80"),
    ("::1", "http://[::1]:11434"),
    ("[::1]", "http://[::1]:11434"),
    ("[::1]:1337", "http://[::1]:1337"),
    ("https://[2001:DB8::1]/x", "https://[2001:db8::1]:443/x"),
    ("fe80::1%eth0", "http://[fe80::1%eth0]:11434"),
    ("ollama.com", "https://ollama.com:443"),
    ("ollama.com/api", "https://ollama.com:443/api"),
    ("https://ollama.com", "https://ollama.com:443"),
    ("ollama.com:8080", "http://ollama.com:8080"),
    ("api.ollama.com", "http://api.ollama.com:11434"),
    (' "1.2.3.4" ', "http://1.2.3.4:11434"),
    ("' h:1 '", "http://h:1"),
    ("0.0.0.0", "http://127.0.0.1:11434"),  # noqa: S104 - Nothing is bound here.
    ("http://0.0.0.0:8080", "http://127.0.0.1:8080"),
    ("[::]", "http://[::1]:11434"),
    ("::", "http://[::1]:11434"),
    ("[0:0::0]:9", "http://[::1]:9"),
    ("HTTP://H", "http://H:11434"),
    ("HTTPS://h", "https://h:11434"),
    ("Https://h:8", "https://h:8"),
    ("http://h?key=secret", "http://h:80"),
    ("http://h/p?key=secret#part", "http://h:80/p"),
    ("h#part", "http://h:11434"),
    ("h?next=http://other", "http://h:11434"),
    ("http://h/@scope", "http://h:80/@scope"),
]

_NONSENSE = [
    *(":66000", ":65536", ":abc", ":0", "h:0", "h:-1", "h:+80", "h: 80", "h:", ":", "h:1:2", "h:80\u0663"),
    *("h:" + "9" * 5000, "http:/h", "http://http://h", "localhost::1234", "[::1]:x"),
    *("ftp://h", "ws://h", "://h", "unix:///tmp/socket", "file:///x"),
    *("a b", "h\x00", "http://h\r\nX: y", "http://h/a b", "http://h/a\x00", "-h", "a..b", ".", "..", ".h", "*", "h\\x"),
    *("[", "]", "[::1", "[zzz]", "[1::2::3]", "[]", "[]:80", "h]", "%41", "h,b", "h=b"),
    *("//h:80", "/path", "http:///path"),
    *("11434", "0", "1.2.3", "256.1.1.1", "1.2.3.4.5", "a.1", "0x7f.1"),
]


@pytest.mark.parametrize(("host", "url"), _HOSTS)
def test_host(host: str, url: str) -> None:
    """A host is read as Ollama's own tools read it, and as an address that can be connected to."""
    assert url == base_url(host)


@pytest.mark.parametrize(("host", "url"), _HOSTS)
def test_host_from_the_environment(monkeypatch: pytest.MonkeyPatch, host: str, url: str) -> None:
    """The variable accepts the same forms."""
    monkeypatch.setenv("OLLAMA_HOST", host)

    assert url == base_url()


def test_no_host_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a host and the variable, the local server is used."""
    monkeypatch.delenv("OLLAMA_HOST", raising=False)

    assert "http://127.0.0.1:11434" == base_url()


def test_host_that_is_given_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that is passed takes precedence over the variable, even if it is empty."""
    monkeypatch.setenv("OLLAMA_HOST", "other")

    assert "http://h:11434" == base_url("h")
    assert "http://127.0.0.1:11434" == base_url("")


@pytest.mark.parametrize("host", _NONSENSE)
def test_nonsense(host: str) -> None:
    """A text that is not a host, or has a port that cannot be connected to, is refused."""
    with pytest.raises(InvalidValueError, match=r"^host: expected .*, got ") as refused:
        base_url(host)

    assert "host" == refused.value.field


@pytest.mark.parametrize(
    ("host", "hint"),
    [("h:0", "port"), ("ftp://h", "scheme"), ("a b", "host name"), ("u@h", "an API key"), ("h/a b", "without spaces")],
)
def test_refusal_says_what_is_allowed(host: str, hint: str) -> None:
    """The error says what was expected."""
    with pytest.raises(InvalidValueError) as refused:
        base_url(host)

    assert hint in refused.value.allowed


def test_refusal_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error for the variable's value names the variable."""
    monkeypatch.setenv("OLLAMA_HOST", "h:99999")

    with pytest.raises(InvalidValueError, match=r"^OLLAMA_HOST: expected .*, got 'h:99999'$"):
        base_url()


_SECRETS = [
    "http://user:secret@h",
    "user:secret@h:80",
    "http://user:sec/secret@h",
    "http://secret@h",
    "http://user:secret@",
    "http://h:port?key=secret",
    "http://h:port#secret",
    "u:secret%40127.0.0.1",
    "u%3Asecret%40127.0.0.1",
    "u:secret%2540127.0.0.1",
    "secret%40127.0.0.1",
    "u:secret\uff20127.0.0.1",
    "secret\uff20127.0.0.1",
    "u\uff1asecret\uff20127.0.0.1",
    "u:secret\ufe6b127.0.0.1",
    "http://u:secret\uff20127.0.0.1:80/x",
    "u:secret",
    "http://u:secret",
    "ftp://u:secret",
    "http:u:secret",
    "u:secret\\@h",
    "u:secret at h",
    "u:secret\t@h",
    "[u:secret]",
    "h:80:secret",
    "u:12/secret@h",
    "http://u:12/34/secret@h/x",
]


@pytest.mark.parametrize("host", _SECRETS)
def test_secrets_are_not_shown(host: str) -> None:
    """A refused host that may hold credentials or a key is not shown, in whatever spelling."""
    with pytest.raises(InvalidValueError) as refused:
        base_url(host)

    link: BaseException | None = refused.value
    while link is not None:
        assert "secret" not in str(link)
        link = link.__cause__ or link.__context__
    assert "secret" not in refused.value.given


_SEPARATORS = ("%40", "%2540", "\uff20", "\ufe6b", "@", ":", "%3A", "\uff1a", "\\", "!", "?", "#", " ", "")


@given(
    user=st.sampled_from(["u:", "u%3A", "u\uff1a", ""]),
    separators=st.lists(st.sampled_from(_SEPARATORS), min_size=1, max_size=4),
    host=st.sampled_from(["@127.0.0.1", "%40h", "\uff20[::1]", "\ufe6bh:80/x"]),
)
def test_no_spelling_shows_a_password(user: str, separators: list[str], host: str) -> None:
    """However a password is separated from its user and its host, a refusal does not show it."""
    with pytest.raises(InvalidValueError) as refused:
        base_url(f"http://{user}secret{''.join(separators)}{host}")

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "host",
    [
        *("h:99999", "localhost:0", "http://h:-1", "h:", "a..b", ".h", "-h", "1.2.3", "256.1.1.1", "a b", "h/a b"),
        *("ftp://h", "localhost::1234", "[::1", "1::2::3", "http:/h", "unix:///tmp/socket", "h:+80"),
    ],
)
def test_mistakes_are_shown(host: str) -> None:
    """A refused host in which nothing can be a password is shown."""
    with pytest.raises(InvalidValueError) as refused:
        base_url(host)

    assert refused.value.given == repr(host)


@pytest.mark.parametrize("host", [11434, b"localhost", ["h"], httpx.URL("http://h")])
def test_other_types(host: Any) -> None:
    """Other types are refused."""
    with pytest.raises(InvalidValueError, match=r"^host: expected a str .*, got \w+$"):
        base_url(host)


@given(host=st.text(max_size=12) | st.text(alphabet="http:/[].@?#%h1 0", max_size=16))
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_host_or_refused(host: str) -> None:
    """Any text is refused, or gives a URL that gives itself."""
    try:
        url = base_url(host)
    except InvalidValueError:
        return

    assert url == base_url(url)
    assert url.startswith(("http://", "https://"))
