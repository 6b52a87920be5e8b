"""Learning a vocabulary: what comes out, and what the text or the size asked for must be."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from keras_transformer.errors import UserError
from keras_transformer.text import DEFAULT_VOCABULARY_SIZE, BytePieceTokenizer, learn_pieces
from keras_transformer.text.byte_pieces import MAX_PIECE_BYTES


def numbered(words: int) -> list[str]:
    """Lines from which some thousands of pieces can be learned."""
    return [f"the {number * 7919 % 99991} men number {number * 104729 % 9973}" for number in range(words)] * 2


def test_the_most_frequent_pairs_are_merged_first_and_keep_the_space_before_them() -> None:
    # " low" three times, "low" at the start; nothing else occurs twice.
    assert learn_pieces(["low low low low"]).pieces[259:] == [b"lo", b"low", b" low"]
    assert learn_pieces(["aaabdaaabac"]).pieces[259:] == [b"aa", b"ab", b"aaab"]  # Wikipedia's example of BPE


def test_pieces_may_hold_parts_of_characters_in_any_script(tokenizer: BytePieceTokenizer, sentences: list[str]) -> None:
    learned = tokenizer.pieces[259:]
    assert b" junge" in learned
    assert " молодых".encode() in learned
    assert b"\xe3\x81" in learned  # the first two bytes of most hiragana
    for line in sentences:
        assert len(tokenizer.encode(line)) < len(line.encode()) / 2


def test_learning_twice_gives_the_same_pieces_in_the_same_order() -> None:
    code = (
        "from keras_transformer.text import learn_pieces\n"
        "lines = [f'the {n * 7919 % 991} men number {n * 104729 % 997}' for n in range(3000)]\n"
        "print(hash(b'\\xff'.join(learn_pieces(lines, 1000).pieces)))"
    )
    environments = [{"PYTHONHASHSEED": "0", "RAYON_NUM_THREADS": threads} for threads in ("1", "2", "2")]
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, env=environment, timeout=60
        ).stdout
        for environment in environments
    }
    assert len(outputs) == 1


def test_an_explicit_size_is_met_exactly() -> None:
    tokenizer = BytePieceTokenizer.learn(numbered(2000), 700)
    assert tokenizer.vocabulary_size == 700
    assert learn_pieces(numbered(2000), 260).vocabulary_size == 260


def test_no_size_means_as_the_text_allows_up_to_the_default() -> None:
    assert learn_pieces(["aba", "aba"]).pieces[259:] == [b"ab", b"aba"]
    assert learn_pieces(["abc"]).vocabulary_size == 259  # nothing occurs twice: bytes alone
    assert DEFAULT_VOCABULARY_SIZE == 8000
    assert learn_pieces(numbered(12000)).vocabulary_size == DEFAULT_VOCABULARY_SIZE


def test_more_than_the_text_gives_is_refused_with_the_most_it_gives() -> None:
    lines = numbered(100)
    most = learn_pieces(lines).vocabulary_size
    assert 300 < most < 8000
    message = (
        f"vocabulary_size 8000 is more than the text gives: {most} pieces at most; set it to {most} or less, "
        "or leave it out"
    )
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        learn_pieces(lines, 8000)
    assert learn_pieces(lines, most).vocabulary_size == most
    with pytest.raises(UserError, match=r"more than the text gives: 259 pieces at most; leave it out$"):
        learn_pieces(["abc"], 300)


@pytest.mark.parametrize("size", [-1, 0, 259])
def test_a_size_without_room_for_a_piece_is_refused(size: int) -> None:
    message = f"vocabulary_size {size} is too small: 3 special ids and the 256 bytes take 259; set it to 260 or more"
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        learn_pieces(["aba"], size)


def test_a_size_that_no_memory_holds_is_refused() -> None:
    with pytest.raises(UserError, match=r"^vocabulary_size 1000000000000 is too large: 1,000,000 is the most$"):
        learn_pieces(["a b a b"], 10**12)


@pytest.mark.parametrize("texts", [[], ["", ""]])
def test_no_text_is_refused(texts: list[str]) -> None:
    with pytest.raises(UserError, match=r"^there is no text to learn a vocabulary from: every line is empty$"):
        learn_pieces(texts)


def test_pieces_are_no_longer_than_a_tokenizer_allows() -> None:
    tokenizer = learn_pieces(["x" * 200 + " " + "Донаудампфшиффартсгезелльшафт"] * 5)
    assert tokenizer.max_piece_bytes == MAX_PIECE_BYTES
    assert len(tokenizer.encode("x" * 48)) == 2


def test_a_word_of_any_length_is_learned_from_in_parts() -> None:
    """The time that a word takes is quadratic: 300 kB took a minute, and Ctrl-C waited for it."""
    draw = random.Random(0)
    word = "".join(draw.choice("abcdefgh") for _ in range(1_000_000))
    start = time.perf_counter()
    assert learn_pieces([f"a {word} b"], 1000).vocabulary_size == 1000
    assert time.perf_counter() - start < 30
    sentence = " ".join(f"{n * 7919 % 991}" for n in range(3000))  # long, but not in one word
    assert learn_pieces([sentence, sentence]).pieces == learn_pieces(re.findall(r" ?\d+", sentence) * 2).pieces


def test_texts_are_read_once_and_quietly(capfd: pytest.CaptureFixture[str]) -> None:
    def lines() -> Iterator[str]:
        yield from ["ein Mann\n", "ein Mann\x00", "ein \ud800Mann", ""]

    assert b" Mann" in learn_pieces(lines()).pieces
    assert capfd.readouterr() == ("", "")
