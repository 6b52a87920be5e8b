"""Golden answers: inputs with what each file must give for them, to test a port to another runtime with."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from keras_transformer.export.sentences import Sentence
from keras_transformer.export.verify_folder import where

REFERENCE = "float32"
NOTE = (
    "base64 has the bytes of an input, and of an answer; text shows them, where they are no UTF-8 with a mark in their "
    "place. rules: on the processor, with the LiteRT of made_on, at least this share of the answers must be the "
    "same, elsewhere share_elsewhere; numbers may be off by the tolerance, absolute and relative. verify.py does this."
)
TIES = 0.02  # float32 answers that may hang on the last digit of a number, which is another one on another processor
SLACK, MOST = 0.05, 0.9
EXACT, ROUNDED = 1e-3, 0.1  # tolerances of numbers: of a float32 file, and of a quantised one


def make_golden(
    note: str, sentences: Sequence[Sentence], answers: Mapping[str, Sequence[Any]], kept: Sequence[str]
) -> dict[str, Any]:
    """Returns what `golden.json` holds: for each sentence its bytes and, for each precision, the answer to it.

    Args:
        note: how a task's answers are to be compared.
        sentences: the inputs.
        answers: of each file, as `Artifact.run` gives them; those of float32 must be there.
        kept: the precisions that the folder has.
    """
    return {
        "note": f"{note} {NOTE}",
        "made_on": where(),
        "rules": {precision: rule(answers, precision) for precision in kept},
        "inputs": [
            {
                "kind": sentence.kind,
                **in_golden(sentence.source),
                "answers": {precision: answers[precision][number].golden() for precision in kept},
            }
            for number, sentence in enumerate(sentences)
        ],
    }


def rule(answers: Mapping[str, Sequence[Any]], precision: str) -> dict[str, float]:
    """Returns how many of a precision's golden answers a file must give: all of float32, but for ties.

    A quantised file rounds otherwise on another processor, and its answers differ there as they differ from float32's,
    but less: so of them it must give as large a share as quantising left the same, less a slack, anywhere.

    Example:
        ```python
        rule(answers, "int8")  # {"share": 0.83, "share_elsewhere": 0.83, "tolerance": 0.1}
        ```
    """
    if precision == REFERENCE:
        return {"share": 1.0, "share_elsewhere": 1 - TIES, "tolerance": EXACT}
    pairs = list(zip(answers[precision], answers[REFERENCE], strict=True))
    same = sum(answer.is_golden(reference.golden(), ROUNDED) for answer, reference in pairs) / len(pairs)
    share = round(max(0.0, min(same - SLACK, MOST)), 4)
    return {"share": share, "share_elsewhere": share, "tolerance": ROUNDED}


def golden_source(entry: Mapping[str, Any]) -> bytes:
    """Returns the bytes of an entry or of an answer."""
    return base64.b64decode(entry["base64"])


def in_golden(text: bytes) -> dict[str, str]:
    """Returns bytes as an entry holds them."""
    return {"text": text.decode("utf-8", "replace"), "base64": base64.b64encode(text).decode()}
