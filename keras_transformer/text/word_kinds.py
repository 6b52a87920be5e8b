"""What each Unicode code point is to the words of a text: the kinds of the rule "punctuation_unicode14".

The tables are those of Unicode 14.0 and stay so, whatever the Python that runs: a model is used by the rule that it was
trained by. Unicode's categories decide, with the exceptions below, for which Unicode's word boundaries
(https://unicode.org/reports/tr29/tr29-39.html, "MidLetter" and the like) and the white space of
https://www.unicode.org/Public/14.0.0/ucd/PropList.txt are the source.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np

SPACE, PLAIN, INNER, MARK, JOINS, GLUE = range(6)
# SPACE separates words. PLAIN is what words are made of. MARK is a word of its own; INNER is too, but between two that
# are PLAIN. JOINS belongs to what stands before it, GLUE to that and to the next; both are PLAIN where nothing does.

CODE_POINTS = 0x110000
BLOCK = 128

WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000\u200b" + "".join(map(chr, range(0x2000, 0x200B)))
# between letters or digits these are part of a word: apostrophes, hyphens, the en dash of ranges, middle dots of
# Catalan, Hebrew geresh and gershayim, Arabic separators of digits
INSIDE_WORDS = "\u2018\u2019\u2010\u2011\u2013\xb7\u2027\u05f3\u05f4\u055a\u066b\u066c"
SKIN_TONES = range(0x1F3FB, 0x1F400)  # modify the emoji before them, and are symbols (Sk) for Unicode
ZERO_WIDTH_JOINER = 0x200D  # makes one emoji of two

# code points from 0 on: how many are left out, then how many follow the first, if any, all hexadecimal
_MARKS = """  # categories P* and S*
    21+e a+6 1a+5 1a+3 22+8 1+1 1+3 2 1+2 2 3 17 1f 1ca+3 c+d 5+6 1 1+10 75 8 5+1 1 6e 8b d7+5 29+1 2+2 2e 1 2 2
    2c+1 11+9 b 1+2 4a+3 66 9 a 13+1 1+d e8+3 4+1 30+e 1f 29 db+1 a 81+1 6+1 1 78 79+1 7e 82+7 7c 7 4 ca 29 7a 4a f
    a+1 a5+16 2+5 14 1 1 1+3 47 38+7 1+5 1+c 6f+5 4e+1 5b 264+8 27+9 66 26c+1 2c+1 4e+2 47+1 9d+2 1+3 24+a 135 3+1
    98+21 1e+1 80+6 1+5 ac+10 9+a 7d+3 3b+4 3e+1 40+7 b 2e9 1+2 b+2 d+2 d+2 d+1 11+17 8+2e 1b+4 b+4 11+20 3f+1 1+3
    1+1 a 1+2 5+5 1 1 1 4 b+1 4+4 5+3 1 3a+1 4+296 19+a 51+4d 16+275 1e+3df 2+1f 1+68 e5+5 e+3 1+1 70 8f+2e 1+2d
    22+19 1+58 c+d5 1a+b 5+3 3+18 f 5+1 5+2 5b+1 3 5a 94+1 4+9 20+23 1c+1e b+1d 8 f+1f a+26 f+13f 19c0+3f 5690+36
    37+1 10d+2 63 a 73+5 8+16 9+1 67+1 9d+3 a+3 3a+3 56+1 28+2 1 31+1 2f 61+c 10+1 7c+3 17+2 64+1 10+1 69 e+1 7f
    4f3d 88+10 17b+11 7f 2c+3 10+9 16+22 1+12 1+3 95+e a+6 1a+5 1a+a 7a+6 1+6 d+1 102+2 34+8 39+10 2+2 1+c 3 2f+2c
    1a2 30 19e 2e7 1f+1 a6 1f 110+8 26 48 27+6 42+6 59+3 310 a7+4 2c+3 bd+6 6d+1 1+3 7e+3 30+1 4f+3 4 d 1+2 58+5 6b
    1a1+4 a+1 1 68 fa+16 69+2 1c+c 4c 82+3 fb 108+2 9b 5c+7 53+2 1+4 19e+4 2a+1 285+1 dc+1c d 470+4 b7c+1 3a7b+1 85
    41+8 4+1 351+3 147 4cb9 2 12b0+73 3c+f5 a+26 2+3b 5+2 16+1 7+1d 4+3c 15+41 3 ba+56 36a 19 1f 19 1f 19 1f 19 1f
    19 3c+1ff 37+3 32+7 1+d 1+6 6c3 1af 65e+1 34c 3 7d 1c1+1 10e+2b 4+63 c+e 2+e 1+e 1+24 17+a0 38+1c d+2b 4+8 7+1
    e+5 9a+3d7 5+f 3+c 3+73 c+58 7+b 4 f+b 4+37 8+9 6+27 8+1d 2+1 4e+153 c+d 2+4 3+4 3+6 9+1c 3+a 5+5 a+9 6+7 8+6
    9+92 1+36
"""
_JOINING = """  # categories M* and Cf
    ad 252+6f 113+6 107+2c 1 1+1 1+1 1 38+5 a+a 1 2e+14 10 65+7 1+5 2+1 1+3 21 1 1e+1a 5b+a 3a+8 9 18+3 1+8 1+2 1+4
    2b+2 34+1 6+7 2a+39 36+2 1+11 1+6 a+1 1d+2 38 1+6 2+1 2+2 9 a+1 1a 2+2 38 1+4 4+1 2+2 3 1e+1 3 b+2 38 1+7 1+2
    1+2 14+1 16+5 1+2 38 1+6 2+1 2+2 7+2 a+1 1e 3b+4 3+2 1+3 9 28+4 37 1+6 1+2 1+3 7+1 b+1 1d+2 38 1+6 1+2 1+3 7+1
    b+1 1c+3 37+1 1+6 1+2 1+3 9 a+1 1d+2 46 4+5 1 1+7 12+1 3d 2+6 c+7 62 2+8 b+5 4a+1 1b 1 1 4+1 31+13 1+1 5+a 1+23
    9 64+13 17+3 4+2 1+2 2+6 3+3 d+b 1 a+3 2bf+2 3b2+3 1c+2 1d+1 1e+1 40+1f 9 2d+4 75+1 22 76+b 4+b db+4 39+9 1+1c 2
    30+1e 31+4 2f+10 26+8 c+2 1e+c 38+d 30+13 98+2 1+14 4 6 2+2 c6+3f 20b+4 1a+4 31+4 1+9 60+20 bfe+2 8d 60+1f 22a+5
    69+1 75d4+3 1+9 20+1 50+1 110 3 4 17+4 4 53+1 32+11 1a+11 d 26+7 19+c 2c+3 2f+d 24 43+d c 8+1 2d+2 32 1+2 2+1
    5+1 1 29+4 5+1 ec+7 1+1 4f30 2e1+f 10+f cf f9+2 201 e2 95+4 686+2 1+1 5+3 28+2 4 a5+1 23d+3 183+1 99+a 31+3 7a+2
    35+e 29 2+1 a+3 2d+a 2 4 a 32+2 24+d 10+1 2c c+2 30+d 8+3 1+1 5c+b 6 a0+b 15+3 37+1 1+6 2+1 2+2 9 a+1 2+6 3+4
    c0+11 17 51+13 eb+6 2+8 1b+1 52+10 6a+c 65+e 100+e f5+5 1+1 2+3 1 1+1 8d+6 2+6 3 1c+9 28+6 1+3 8 9+a 2e+f 195+7
    1+7 52+15 1+d 7a+5 3 1+1 1+6 1 42+4 1+1 1+4 15b+3 1539+8 36b7+4 3b+6 418 1+36 7+3 51 b+1 4cab+1 1+3 125c+2d 2+16
    21e+4 3+15 2+6 1e+3 94+2 7bb+36 4+31 8 e 16+4 1+e 550+6 1+10 2+6 1+1 1+4 105+6 177 3d+3 5e0+6 6d+6 c16b6 1e+5f
    80+ef
"""


@functools.cache
def code_point_kinds() -> np.ndarray:
    """Returns the kind of every code point, uint8 `[CODE_POINTS]`."""
    kinds = np.full(CODE_POINTS, PLAIN, np.uint8)
    for table, kind in ((_MARKS, MARK), (_JOINING, JOINS)):
        for first, last in _ranges(table):
            kinds[first : last + 1] = kind
    kinds[:128][kinds[:128] == MARK] = INNER
    kinds[[ord(character) for character in INSIDE_WORDS]] = INNER
    kinds[SKIN_TONES] = JOINS
    kinds[ZERO_WIDTH_JOINER] = GLUE
    kinds[[ord(character) for character in WHITE_SPACE]] = SPACE
    return kinds


@functools.cache
def kind_blocks() -> tuple[np.ndarray, np.ndarray]:
    """Returns the same in two tables for a graph: of each `BLOCK` code points the number of their block, and blocks.

    Returns: uint8 `[CODE_POINTS / BLOCK]` and uint8 `[blocks * BLOCK]`.
    """
    blocks, numbers = np.unique(code_point_kinds().reshape(-1, BLOCK), axis=0, return_inverse=True)
    return numbers.reshape(-1).astype(np.uint8), blocks.reshape(-1)


def _ranges(table: str) -> Iterator[tuple[int, int]]:
    """Yields the first and the last code point of each range."""
    first = 0
    for entry in table.partition("\n")[2].split():
        gap, _, more = entry.partition("+")
        first += int(gap, 16)
        last = first + int(more or "0", 16)
        yield first, last
        first = last + 1
