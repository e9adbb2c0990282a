"""Generated good answers, with all the repetition that good answers have."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from random import Random

__all__ = ("good_answers",)

_WORDS = (
    *("the", "server", "answers", "and", "a", "client", "reads", "each", "part", "of", "it", "as", "soon", "comes"),
    *("so", "nobody", "waits", "for", "whole", "texts", "while", "models", "write", "them", "token", "by", "in", "an"),
    *("order", "that", "only", "they", "know", "until", "last", "one", "ends", "message"),
)
_SIGNS = "我们今天去公园看花然后回家吃饭因为天气很好所以大家都很高兴"


def _prose(random: Random) -> str:
    return " ".join(random.choices(_WORDS, k=random.randint(50, 1500))).capitalize() + "."


def _table(random: Random) -> str:
    row = random.choice(["| 0 | 0 | 0 |", "| yes | no | |", "| Monday | open | 09:00 |", "|---|---|---|"])
    return "| a | b | c |\n|---|---|---|\n" + f"{row}\n" * random.randint(1, 150)


def _rule(random: Random) -> str:
    return "Title\n" + random.choice(["-", "=", " ", "- ", "* ", "_", "~ ", "#"]) * random.randint(1, 8000)


def _numbers(random: Random) -> str:
    number = random.choice([0, 1, -1, 0.0, 255, None])
    return json.dumps([number] * random.randint(1, 2700))


def _matrix(random: Random) -> str:
    return json.dumps({"rows": [[0] * random.randint(1, 60)] * random.randint(1, 28)}, indent=random.choice([None, 2]))


def _counted(random: Random) -> str:
    start, count = random.randint(0, 999), random.randint(1, 400)
    return "\n".join(f"{number}. The item with the number {number}" for number in range(start, start + count))


def _code(random: Random) -> str:
    line = random.choice(
        ["    pass\n", "        }\n", "<td></td>\n", "    x += 1\n", "nop\n", "\n", "    await step()\n"]
    )
    return f"```python\ndef main():\n{line * random.randint(1, 180)}```\n"


def _poem(random: Random) -> str:
    refrain = "Row, row, row your boat,\nGently down the stream,\nMerrily, merrily, merrily, merrily,\n"
    return "\n".join(
        f"{random.choice(_WORDS)} {random.choice(_WORDS)}\n{refrain}" for _ in range(random.randint(2, 40))
    )


def _base64(random: Random) -> str:
    return b64encode(random.randbytes(300) + bytes(random.randint(1, 10_000)) + random.randbytes(300)).decode()


def _laughter(random: Random) -> str:
    return random.choice(["ha ", "la ", "ja", "no, ", "哈", "o"]) * random.randint(1, 2000) + "!"


def _lines(random: Random) -> str:
    return "I must not talk in class.\n" * random.randint(1, 150)


def _log(random: Random) -> str:
    return "\n".join(
        f"12:00:{n % 60:02} GET /health 200 {random.randint(1, 9)} ms" for n in range(random.randint(1, 200))
    )


def _drawing(random: Random) -> str:
    width = random.randint(2, 60)
    return "+" + "-" * width + "+\n" + ("|" + " " * width + "|\n") * random.randint(1, 120) + "+" + "-" * width + "+\n"


def _signs(random: Random) -> str:
    return "。".join("".join(random.choices(_SIGNS, k=random.randint(3, 30))) for _ in range(random.randint(1, 100)))


def _hexadecimal(random: Random) -> str:
    return "\n".join(f"{place:08x}  " + "00 " * 16 for place in range(0, 16 * random.randint(1, 200), 16))


_KINDS: tuple[Callable[[Random], str], ...] = (
    *(_prose, _table, _rule, _numbers, _matrix, _counted, _code, _poem),
    *(_base64, _laughter, _lines, _log, _drawing, _signs, _hexadecimal),
)


def good_answers(count: int) -> Iterator[str]:
    """
    Generate good answers, the same ones each time.

    Args:
        count: How many.
    """
    random = Random(10)  # noqa: S311 - Nothing is secret here.
    for place in range(count):
        kinds = [_KINDS[place % len(_KINDS)], *random.choices(_KINDS, k=random.randint(0, 2))]
        yield "\n\n".join(kind(random) for kind in kinds)
