"""Golden answers: inputs with what each file must give for them, to test a port to another runtime with."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from keras_transformer.export.artifact import RawAnswer
from keras_transformer.export.sentences import Sentence

NOTE = (
    "Give each input's first max_source_bytes bytes and, as text_length, all its bytes. A float32 file is "
    "to give these very bytes; an int8 file may round otherwise on another runtime and take another piece."
)


def make_golden(sentences: Sequence[Sentence], answers: Mapping[str, Sequence[RawAnswer]]) -> dict[str, Any]:
    """Returns what `golden.json` holds: for each sentence its bytes and, for each precision, the answer to it."""
    return {
        "note": NOTE,
        "inputs": [
            {
                "kind": sentence.kind,
                **_bytes(sentence.source),
                "answers": {
                    precision: {
                        **_bytes(found[number].text),
                        "score": round(found[number].score, 4),
                        "status": found[number].status,
                    }
                    for precision, found in answers.items()
                },
            }
            for number, sentence in enumerate(sentences)
        ],
    }


def golden_source(entry: Mapping[str, Any]) -> bytes:
    """Returns the bytes of an entry or of an answer."""
    return base64.b64decode(entry["base64"])


def _bytes(text: bytes) -> dict[str, str]:
    return {"text": text.decode("utf-8", "replace"), "base64": base64.b64encode(text).decode()}
