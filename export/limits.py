"""What an exported file can take and give, and how it says that something did not fit."""

from __future__ import annotations

from dataclasses import dataclass

from keras_transformer.errors import refuse_unless

# Bits of the output `status`.
SOURCE_CUT = 1  # text_length was more than max_source_bytes
TARGET_UNFINISHED = 2  # the answer reached its limit of pieces without an end
TARGET_CUT = 4  # the answer was cut at max_target_bytes
SOURCE_LONG = 8  # the source has more pieces than the model was trained on
ID_HELD = 16  # an id that is no piece was held to the nearest one
NUMBER_HELD = 32  # a length, position, seed or temperature out of its range was held to it

SMALLEST = 8  # bytes; room for a character of four bytes and for what precedes it
LARGEST = 2**20  # bytes; a file has tables and caches for as many pieces


@dataclass(frozen=True)
class Limits:
    """Sizes of an exported file's tensors, and what else goes into it.

    Args:
        max_source_bytes: UTF-8 bytes of a source.
        max_target_bytes: UTF-8 bytes of an answer.
        one_size: whether every text is searched in the full size, rather than in the smallest of three that has room
            for it: takes half the memory, and more time for a short text.
        with_steps: whether to add the signatures for an app with a loop of its own: encode, decode_step, detokenize.
        max_source_pieces: pieces of a source that are read, the rest is left out; none means as many as there are
            bytes, which are enough for any.
        align_heads: (layer, head) pairs of the cross-attention that the signature align averages, see
            `generation.chosen_heads`; none means no such signature.

    Raises:
        UserError: one of them is too small to be of use.
    """

    max_source_bytes: int = 256
    max_target_bytes: int = 512
    one_size: bool = False
    with_steps: bool = True
    max_source_pieces: int | None = None
    align_heads: tuple[tuple[int, int], ...] | None = None

    def __post_init__(self) -> None:
        for name in ("max_source_bytes", "max_target_bytes"):
            check_room(name, getattr(self, name))

    @property
    def source_places(self) -> int:
        """Room for the pieces of a source."""
        return min(self.max_source_bytes, self.max_source_pieces or self.max_source_bytes)


def check_room(name: str, size: int) -> None:
    """Raises UserError if so many bytes are no room for a text; `name` is that of the option."""
    refuse_unless(SMALLEST <= size <= LARGEST, name, size, f"{SMALLEST} to {LARGEST}")


def cut_at_character(text: bytes, room: int) -> bytes:
    """Returns the first `room` bytes or up to three less, so that no UTF-8 character is cut in two.

    Bytes that are no UTF-8 are cut at `room`.

    Example:
        ```python
        cut_at_character("Zug fährt".encode(), 6)  # b"Zug f"
        ```
    """
    if len(text) <= room:
        return text
    begins = [end for end in range(max(room - 3, 1), room + 1) if text[end] & 0xC0 != 0x80]
    return text[: max(begins, default=room)]
