"""The README of an artifact folder: for the person who builds the app."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from string import Template
from typing import Any

from keras_transformer.export.snippets import ALIGN, SNIPPETS, STEPS
from keras_transformer.export.tasks import Task

TEXT = Template("""\
# $file_title

A model that $does: UTF-8 bytes in, UTF-8 bytes out. The tokenizer is inside, and every operator is one of TensorFlow
Lite's own, so that the `.tflite` files run on any LiteRT runtime (Android, iOS, C++, Python, web pages) as they are.

## Files

$files

## Score, size and speed

On $sentences sentences of the test split. $timing; $processor.

$results

Agreement: sentences on which a file's answer is Keras's, byte for byte, where Keras's is cut at
$max_target_bytes bytes too; the scores of Keras are those of its whole answers.

## The signature `$signature`

From text to text; batch 1, all shapes fixed.

$tensors

- **Empty source** (`text_length` 0): an empty answer of score 0 and status 0.
- **Long source**: give its first $max_source_bytes bytes and its whole `text_length`; it is answered as cut there, and
  `status` has 1. The model was trained on at most $trained_source_pieces pieces (a piece is a word or part of one): a
  source of more is answered too, and `status` has 8. Better split it into sentences.
- **Long answer**: at $max_target_pieces pieces the answer ends as it is, and `status` has 2. If it has more than
  $max_target_bytes bytes, it is cut where a character begins, and `status` has 4.
- **Malformed source** (no UTF-8, NUL bytes): never an error; every byte has a piece of its own. The answer will be of
  little use. An answer may itself be no valid UTF-8 where the source is strange: decode it leniently, as below.
- **Numbers out of range**: never an error, in any signature; the nearest in range is taken, and `status` has 16 for an
  id that is no piece, 32 for a negative length, and for a position, a seed or a temperature out of its range.

`golden.json` has inputs with the answers they must give, to test a port with.

## How to call it

$snippets
$more
## The SavedModel

Takes and gives string tensors of any batch size; `import tensorflow_text` before it is loaded.

```python
import tensorflow as tf
import tensorflow_text

model = tf.saved_model.load("saved_model").signatures["serving_default"]
print(model(text=tf.constant(["$example"]))["text"].numpy()[0].decode(errors="replace"))
```
""")

FILES = {
    "model.tflite": "float32",
    "model.int8.tflite": "weights in 8 bits",
    "saved_model/": "for TensorFlow and TensorFlow Serving",
    "manifest.json": "signatures, limits, versions, and the SHA-256 of every file",
    "golden.json": "inputs with the answers each file must give",
    "report.json": "the measurements below, with the differences from Keras",
}
EXAMPLE = "Hello."
OTHER_SIGNATURES = ("align", "encode", "decode_step", "detokenize")
SCORES = {"bleu": "BLEU", "chrf": "chrF", "exact_match": "exact match, %"}


def make_readme(manifest: Mapping[str, Any], report: Mapping[str, Any], task: Task, example: str = EXAMPLE) -> str:
    """Returns the README of a folder, from its manifest and report.

    Args:
        example: a source sentence for the examples.
    """
    files = {entry["file"] for entry in manifest["precisions"].values()}
    file = "model.tflite" if "model.tflite" in files else sorted(files)[0]
    kept = example if example.isascii() and not set("\"'\\$\n\r") & set(example) else EXAMPLE
    names = {**manifest["limits"], "signature": task.signature, "file": file, "example": kept}
    shown = [(name, what) for name, what in FILES.items() if not name.endswith(".tflite") or name in files]
    return TEXT.substitute(
        names,
        file_title=f"{task.name.capitalize()}, exported by keras-transformer",
        does=task.does,
        files=_table(["file", "what it is"], [[f"`{name}`", what] for name, what in shown]),
        sentences=f"{report['sentences']:,}",
        timing=report["timing"][0].upper() + report["timing"][1:],
        processor=report["machine"]["processor"],
        results=_results(report),
        tensors=_tensors(manifest["signatures"][task.signature]),
        snippets="\n".join(_snippets(names)),
        more="\n".join(_other_signatures(manifest, names)),
    )


def _results(report: Mapping[str, Any]) -> str:
    scores = [name for name in SCORES if name in report["results"]["keras"]]
    head = ["", *(SCORES[name] for name in scores), "agreement, %", "ms a sentence", "MB"]
    rows = [
        [
            "Keras" if name == "keras" else name,
            *(f"{found[score]:.2f}" for score in scores),
            f"{found['agreement_with_keras']:.2f}" if "agreement_with_keras" in found else "",
            "not measured" if found["ms_per_sentence"] is None else f"{found['ms_per_sentence']:.2f}",
            f"{found['file_bytes'] / 1e6:.2f}",
        ]
        for name, found in report["results"].items()
    ]
    return _table(head, rows)


def _tensors(signature: Mapping[str, Any]) -> str:
    rows = [
        [side.removesuffix("s"), f"`{name}`", spec["dtype"], str(spec["shape"]), spec["meaning"]]
        for side in ("inputs", "outputs")
        for name, spec in signature[side].items()
    ]
    return _table(["", "name", "type", "shape", "meaning"], rows)


def _snippets(names: Mapping[str, Any]) -> Iterator[str]:
    for language, (marker, code, note) in SNIPPETS.items():
        yield f"### {language}\n\n{note}\n\n```{marker}\n{Template(code).substitute(names).strip()}\n```\n"


def _other_signatures(manifest: Mapping[str, Any], names: Mapping[str, Any]) -> Iterator[str]:
    """What there is besides the signature from text to text."""
    for name, signature in manifest["signatures"].items():
        if name == manifest["signature"] or name in OTHER_SIGNATURES:
            continue
        count = signature["outputs"]["text"]["shape"][0]
        what = "drawn at random, by `seed` and `temperature`" if name == "sample" else "the best first"
        yield (
            f"## The signature `{name}`\n\nGives {count} answers, {what}: its outputs have {count} in the place of 1, "
            f"and its inputs are {', '.join(f'`{key}`' for key in signature['inputs'])}. An answer that does not exist "
            "is empty and has a score below -1e29.\n"
        )
    if "align" in manifest["signatures"]:
        yield (
            "## The signature `align`\n\nWhich words of the source each word of an answer looks at: the weights of the "
            f"model's cross-attention ({_heads(manifest['align_heads'])}), between pieces, with the byte at which each "
            "piece ends. The answer may be any text, such as one of several answers, or one that a person has mended. "
            "To show words, add up the weights of a source word's pieces, and take the mean over those of an answer's; "
            "a piece that begins with a space begins a word. A row shows where the model looked, which often is, but "
            "need not be, what a person would align.\n\n"
            f"{_tensors(manifest['signatures']['align'])}\n\n"
            f"```python\n{Template(ALIGN).substitute(names).strip()}\n```\n"
        )
    if "decode_step" in manifest["signatures"]:
        names = {**names, **manifest["special_ids"]}
        yield (
            "## Your own loop\n\nFor an app that shows the answer while it grows, or has a search of its own: `encode` "
            "once, `decode_step` for every piece with the caches of the step before, `detokenize` for the text so far. "
            "Each has a `status` like that of the others. Shapes and meanings of their tensors are in "
            "`manifest.json`.\n\n"
            f"```python\n{Template(STEPS).substitute(names).strip()}\n```\n"
        )


def _heads(heads: Sequence[Sequence[int]]) -> str:
    """Heads of one layer, in words."""
    layer, names = heads[0][0], [str(head) for _, head in heads]
    return f"decoder layer {layer}, mean of the heads {', '.join(names)}, both counted from 0"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
