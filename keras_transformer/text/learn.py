"""Learning a vocabulary of byte pieces from text, by byte-level BPE."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from keras_transformer.errors import UserError
from keras_transformer.text.byte_pieces import FIRST_BYTE_ID, FIRST_LEARNED_ID, MAX_PIECE_BYTES, BytePieceTokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

DEFAULT_VOCABULARY_SIZE = 8000
LARGEST_VOCABULARY = 1_000_000  # the trainer takes room for all of it before it begins
LONGEST_WORD = 512  # characters that are learned from as one: the time that a word takes is quadratic in them
LONG_WORD = re.compile(rf"(\S{{{LONGEST_WORD}}})")


def learn_pieces(texts: Iterable[str], vocabulary_size: int | None = None) -> BytePieceTokenizer:
    """Learns pieces from texts by byte-level BPE; the same texts always give the same pieces in the same order.

    Pairs that occur twice or more are merged, the most frequent first, inside words as GPT-2 splits them (a word
    takes the space before it along). The merges are then forgotten: the tokenizer matches greedily.

    Args:
        texts: the lines to learn from, gone through once.
        vocabulary_size: the number of ids, the 3 special ids and the 256 bytes included. None: as many as the text
            gives, up to `DEFAULT_VOCABULARY_SIZE` (8,000).

    Raises:
        UserError: there is no text, or it gives fewer ids than were asked for, or fewer than 260 were asked for,
            or more than 1,000,000.

    Example:
        ```python
        tokenizer = learn_pieces(["Ein Mann fährt Rad.", "Ein Mann liest."])
        ```

    Reference: Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units" (2016),
    https://arxiv.org/abs/1508.07909.
    """
    if vocabulary_size is not None and vocabulary_size <= FIRST_LEARNED_ID:
        raise UserError(
            f"vocabulary_size {vocabulary_size} is too small: {FIRST_BYTE_ID} special ids and the 256 bytes take "
            f"{FIRST_LEARNED_ID}; set it to {FIRST_LEARNED_ID + 1} or more"
        )
    if vocabulary_size is not None and vocabulary_size > LARGEST_VOCABULARY:
        raise UserError(f"vocabulary_size {vocabulary_size} is too large: {LARGEST_VOCABULARY:,} is the most")
    learned = _pieces(train_bpe(texts, DEFAULT_VOCABULARY_SIZE if vocabulary_size is None else vocabulary_size))
    tokenizer = BytePieceTokenizer(learned)
    given = tokenizer.vocabulary_size
    if vocabulary_size is not None and given < vocabulary_size:
        mend = f"set it to {given} or less, or leave it out" if learned else "leave it out"
        raise UserError(
            f"vocabulary_size {vocabulary_size} is more than the text gives: {given} pieces at most; {mend}"
        )
    return tokenizer


def train_bpe(texts: Iterable[str], vocabulary_size: int) -> Tokenizer:
    """Returns the byte-level BPE tokenizer that the pieces are taken from; `vocabulary_size` as in `learn_pieces`."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size - FIRST_BYTE_ID,
        min_frequency=2,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=MAX_PIECE_BYTES + 1,  # the trainer keeps tokens shorter than this
        show_progress=False,
    )
    bpe.train_from_iterator(_sound(texts), trainer)
    return bpe


def _pieces(bpe: Tokenizer) -> list[bytes]:
    """Returns the pieces of two bytes or more, in the order in which they were merged."""
    byte_of = {character: byte for byte, character in enumerate(_byte_characters())}
    by_id = sorted(bpe.get_vocab().items(), key=lambda item: item[1])
    return [bytes(byte_of[character] for character in token) for token, _ in by_id if len(token) > 1]


def _sound(texts: Iterable[str]) -> Iterator[str]:
    """Passes the texts on, lone surrogates replaced (the trainer cannot take them), cut inside very long words.

    Refuses to end without text.
    """
    empty = True
    for text in texts:
        empty = empty and not text
        sound = text.encode("utf-8", "replace").decode("utf-8")
        if len(sound) <= LONGEST_WORD:
            yield sound
        else:
            yield from filter(None, LONG_WORD.split(sound))
    if empty:
        raise UserError("there is no text to learn a vocabulary from: every line is empty")


def _byte_characters() -> str:
    """Returns the 256 characters by which byte-level BPE (GPT-2) writes the bytes, in the order of the bytes.

    Printable Latin-1 stands for itself; the other bytes, in order, are U+0100 and up.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return "".join(chr(byte if byte in printable else next(others)) for byte in range(256))
