"""What exported files are verified with: sentences of the test split, and whatever a user may send."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

TEST_SENTENCES = 64
GOLDEN_INPUTS = 50
RANDOM_INPUTS = 8

STRANGE = {
    "empty": b"",
    "one letter": b"a",
    "space": b" ",
    "spaces": b"      ",
    "newline": b"\n",
    "two lines": b"One line.\nAnother line.",
    "tab": b"a\tb",
    "carriage return": b"A line.\r\n",
    "punctuation": b"?!...",
    "digits": b"0123456789",
    "capitals": b"A MAN RIDES A BIKE.",
    "markup": b"<b>bold</b> &amp; 100%",
    "Latin with accents": "Ça coûte très cher, señor Müßiggänger.".encode(),
    "decomposed accents": "u\u0308ber e\u0301te\u0301".encode(),
    "Cyrillic": "Человек едет на велосипеде.".encode(),
    "Greek": "Ένας άντρας κάνει ποδήλατο.".encode(),
    "Han": "一个男人骑自行车。".encode(),
    "kana": "おとこのひとがじてんしゃにのる。".encode(),
    "Hangul": "남자가 자전거를 탄다.".encode(),
    "Arabic": "رجل يركب دراجة.".encode(),
    "Hebrew": "איש רוכב על אופניים.".encode(),
    "Devanagari": "एक आदमी साइकिल चलाता है।".encode(),
    "Thai": "ชายคนหนึ่งขี่จักรยาน".encode(),
    "emoji": "I like 🚲 and 🍰!".encode(),
    "emoji of several characters": "👩‍👩‍👧‍👦🏳️‍🌈".encode(),
    "byte order mark": "\ufeffA man.".encode(),
    "zero-width space": "A\u200bman.".encode(),
    "NUL": b"A\x00man.",
    "control characters": bytes(range(1, 32)),
    "special pieces by name": b"<pad><start><end>",
    "invalid UTF-8: a lone continuation byte": b"A \x80 man.",
    "invalid UTF-8: a character without its end": "fährt".encode()[:2],
    "invalid UTF-8: 0xFF": b"\xff\xfe\xff",
    "invalid UTF-8: Latin-1": "Ein Mann fährt Fahrrad.".encode("latin-1"),
    "invalid UTF-8: a surrogate": b"\xed\xa0\x80",
}


class Sentence(NamedTuple):
    """An input.

    Attributes:
        kind: what it stands for: "test", "random bytes" or a key of `STRANGE`.
        source: its bytes.
    """

    kind: str
    source: bytes


def verification_sentences(test: Sequence[str], max_source_bytes: int) -> list[Sentence]:
    """Returns what every exported file is run on: at least `GOLDEN_INPUTS` sentences, the same for the same arguments.

    Args:
        test: sources of the test split; the first `TEST_SENTENCES` are taken.
        max_source_bytes: sentences of just this length, and of more, are among the strange ones.
    """
    found = [Sentence("test", text.encode("utf-8", "surrogatepass")) for text in test[:TEST_SENTENCES]]
    found += [Sentence(kind, source) for kind, source in STRANGE.items()]
    words = (b"The man rides a red bike. " * (max_source_bytes // 26 + 2))[: max_source_bytes + 20]
    found += [
        Sentence("as long as fits", words[:max_source_bytes]),
        Sentence("a byte too long", words[: max_source_bytes + 1]),
        Sentence("too long", words),
        Sentence("too long, cut inside a character", ("ä" * max_source_bytes).encode()[1 : max_source_bytes + 10]),
    ]
    draw = np.random.default_rng(0)
    for _ in range(max(RANDOM_INPUTS, GOLDEN_INPUTS - len(found))):
        found.append(Sentence("random bytes", draw.bytes(int(draw.integers(1, min(64, max_source_bytes))))))
    return found
