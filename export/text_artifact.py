"""Runs a file that takes and gives text: strings in, strings out, with NumPy and ai-edge-litert alone."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_transformer.export.artifact import Artifact, warn
from keras_transformer.export.golden import golden_source, in_golden
from keras_transformer.export.limits import SOURCE_CUT, SOURCE_LONG, TARGET_CUT, TARGET_UNFINISHED, cut_at_character
from keras_transformer.generation.alignment import Alignment, align_words
from keras_transformer.generation.options import SearchOptions

START_ID, END_ID = 1, 2  # as BytePieceTokenizer has them
NO_ANSWER = -1e29  # the score of an answer that a search did not find is below this
WARNINGS = {
    SOURCE_LONG: "has more pieces than the model was trained on: the answer may be poor",
    TARGET_UNFINISHED: "has an answer that reached its limit of pieces without an end",
    TARGET_CUT: "has an answer that was cut for want of room",
}


class Answer(NamedTuple):
    """What a file answers to one text.

    Attributes:
        text: the answer.
        score: what answers are ordered by: the log-probability, with the penalties of the search if there are any.
        status: 0, or the sum of 1 (the source was cut), 2 (the answer reached its limit of pieces without an end),
            4 (the answer was cut at `max_target_bytes`) and 8 (the source has more pieces than the model was trained
            on). What else a file can say does not happen here, where inputs are checked before.
    """

    text: str
    score: float
    status: int


class RawAnswer(NamedTuple):
    """The same in bytes."""

    text: bytes
    score: float
    status: int

    @property
    def numbers(self) -> list[float]:
        """What must be finite."""
        return [self.score]

    def golden(self) -> dict[str, Any]:
        """Returns the answer as `golden.json` holds it."""
        return {**in_golden(self.text), "score": round(self.score, 4), "status": self.status}

    def is_golden(self, entry: Mapping[str, Any], tolerance: float = 0.0) -> bool:
        """Returns whether an entry of `golden.json` is this answer; bytes have no tolerance."""
        return self.text == golden_source(entry)


class TextArtifact(Artifact):
    """A `.tflite` file that takes and gives text. One interpreter serves all calls: use one a thread.

    Attributes:
        max_target_bytes: room for an answer. For the others see `Artifact`.

    Example:
        ```python
        translator = open_artifact("dist/mine", "int8")
        translator.predict(["A man rides a bike."])  # ["Ein Mann fährt Fahrrad."]
        ```
    """

    def __init__(self, path: str | os.PathLike[str], num_threads: int = 1, interpreter: Any = None) -> None:
        super().__init__(path, num_threads, interpreter)
        outputs = self._runner(self.signature).get_output_details()
        self.max_target_bytes = int(outputs["text"]["shape"][1])

    @classmethod
    def main_signature(cls, signatures: Mapping[str, Mapping[str, Sequence[str]]]) -> str | None:
        """Returns the signature from text to text: the one with these inputs and outputs that is no n-best."""
        for name, sides in signatures.items():
            takes, gives = (set(sides[side]) for side in ("inputs", "outputs"))
            if takes == {"text", "text_length"} and {"text", "status"} <= gives and "_n_best" not in name:
                return name
        return None

    def predict(self, texts: Sequence[str], cut: bool = False) -> list[str]:
        """Returns an answer to each text; see `generate`."""
        return [answer.text for answer in self.generate(texts, cut=cut)]

    def generate(self, texts: Sequence[str], cut: bool = False) -> list[Answer]:
        """Returns an answer with score and status to each text, in order. An empty text has an empty answer.

        A text of more than `max_source_bytes` is cut there, before the character that does not fit: the file has no
        room for more. That, and whatever else `status` says, is a `UserWarning`.

        Args:
            texts: strings.
            cut: taken for likeness with a model of a run directory, which could answer longer texts; changes nothing.
        """
        return [answers[0] for answers in self._generate(texts, self.signature, {})]

    def generate_n_best(self, texts: Sequence[str]) -> list[list[Answer]]:
        """Returns the N best answers to each text, or fewer where there are no more; of a file exported with N.

        Raises:
            UserError: the file was exported without.
        """
        return self._generate(texts, f"{self.signature}_n_best", {})

    def sample(self, texts: Sequence[str], seed: int = 0, temperature: float = 1.0) -> list[list[Answer]]:
        """Returns N answers to each text, drawn at random; of a file exported with samples. A seed repeats.

        Raises:
            UserError: the file was exported without, or a number is out of its range; see `SearchOptions`.
        """
        SearchOptions(samples=1, seed=seed, temperature=temperature)  # raises if they are out of their range
        draw = {"seed": np.array([seed], np.int32), "temperature": np.array([temperature], np.float32)}
        return self._generate(texts, "sample", draw)

    def align(self, text: str, answer: str) -> Alignment:
        """Returns where the model looks in a text for each word of an answer; of a file exported with alignments.

        What does not fit into the file is cut off, text and answer each before the character that does not fit.

        Raises:
            UserError: the file was exported without, or a text is empty.
        """
        runner = self._runner("align")
        source = cut_at_character(text.encode("utf-8", "surrogatepass"), self.max_source_bytes)
        target = cut_at_character(answer.encode("utf-8", "surrogatepass"), self.max_target_bytes)
        padded = np.zeros((1, self.max_target_bytes), np.uint8)
        padded[0, : len(target)] = np.frombuffer(target, np.uint8)
        found = runner(**self._source(source), answer=padded, answer_length=np.array([len(target)], np.int32))
        pieces = [
            _pieces(content, found[f"{side}_ends"][0, : found[f"{side}_pieces"][0]])
            for side, content in (("text", source), ("answer", target))
        ]
        return align_words(found["weights"][0, : len(pieces[1]), : len(pieces[0])], *pieces)

    def count(self, signature: str) -> int:
        """Returns how many answers a signature gives to one text.

        Raises:
            UserError: the file was exported without it.
        """
        return int(self._runner(signature).get_output_details()["text"]["shape"][0])

    def stream(self, text: str) -> Iterator[str]:
        """Yields the answer as it grows, a piece at a time: greedy search in Python over `encode` and `decode_step`.

        What an app does that shows an answer while it is made, or that has a search of its own.

        Example:
            ```python
            for text in open_artifact("dist/mine").stream("A man rides a bike."):
                print(text)
            ```
        """
        step, detokenize = self._runner("decode_step"), self._runner("detokenize")
        memory = self._runner("encode")(**self._source(text.encode("utf-8", "surrogatepass")))
        del memory["status"]
        if memory.pop("pieces")[0] == 0:
            return
        state = {
            name: np.zeros(spec["shape"], spec["dtype"])
            for name, spec in step.get_input_details().items()
            if name.startswith("cache_")
        }
        ids = np.zeros(detokenize.get_input_details()["ids"]["shape"], np.int32)
        last = START_ID
        for index in range(ids.shape[1]):
            position = {"ids": np.array([last], np.int32), "index": np.array([index], np.int32)}
            state = step(**position, **memory, **state)
            del state["status"]
            last = int(state.pop("logits")[0].argmax())
            if last == END_ID:
                return
            ids[0, index] = last
            found = detokenize(ids=ids, length=np.array([index + 1], np.int32))
            yield found["text"][0, : found["text_length"][0]].tobytes().decode("utf-8", "replace")

    def run(self, source: bytes) -> RawAnswer:
        """Calls the file once: the first `max_source_bytes` of any bytes, with their number before any cut."""
        return self._run(source, self.signature, {})[0]

    def _generate(self, texts: Sequence[str], signature: str, more: Mapping[str, np.ndarray]) -> list[list[Answer]]:
        if isinstance(texts, str):
            raise TypeError("predict and generate take a list of strings; received one string")
        return [self._answers(number, text, signature, more) for number, text in enumerate(texts, 1)]

    def _answers(self, number: int, text: str, signature: str, more: Mapping[str, np.ndarray]) -> list[Answer]:
        source, is_cut = self._fitting(number, text)
        found = [raw for raw in self._run(source, signature, more) if raw.score > NO_ANSWER]
        found = found if source else found[:1]  # an empty text has one empty answer, as in Keras
        for flag, meaning in WARNINGS.items():
            if any(raw.status & flag for raw in found):
                warn(f"text {number} {meaning}")
        return [
            Answer(raw.text.decode("utf-8", "replace"), raw.score, raw.status | (SOURCE_CUT if is_cut else 0))
            for raw in found
        ]

    def _run(self, source: bytes, signature: str, more: Mapping[str, np.ndarray]) -> list[RawAnswer]:
        found = self._runner(signature)(**self._source(source), **more)
        return [
            RawAnswer(text[:length].tobytes(), float(score), int(status))
            for text, length, score, status in zip(
                *(found[name] for name in ("text", "text_length", "score", "status")), strict=True
            )
        ]


def _pieces(text: bytes, ends: Sequence[int]) -> list[bytes]:
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]
