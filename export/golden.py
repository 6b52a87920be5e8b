"""Golden answers: inputs with what each file must give for them, to test a port to another runtime with."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from keras_transformer.export.sentences import Sentence


def make_golden(note: str, sentences: Sequence[Sentence], answers: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Returns what `golden.json` holds: for each sentence its bytes and, for each precision, the answer to it.

    Args:
        note: how the answers are to be compared.
        sentences: the inputs.
        answers: of each file, as `Artifact.run` gives them.
    """
    return {
        "note": note,
        "inputs": [
            {
                "kind": sentence.kind,
                **in_golden(sentence.source),
                "answers": {precision: found[number].golden() for precision, found in answers.items()},
            }
            for number, sentence in enumerate(sentences)
        ],
    }


def golden_source(entry: Mapping[str, Any]) -> bytes:
    """Returns the bytes of an entry or of an answer."""
    return base64.b64decode(entry["base64"])


def in_golden(text: bytes) -> dict[str, str]:
    """Returns bytes as an entry holds them."""
    return {"text": text.decode("utf-8", "replace"), "base64": base64.b64encode(text).decode()}
