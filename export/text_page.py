"""What the README of an artifact folder says of a model from text to text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from string import Template
from typing import Any

from keras_transformer.export.readme import tensors
from keras_transformer.export.snippets import ALIGN, SNIPPETS, STEPS
from keras_transformer.export.task import Page

ABOUT = """
A model that $does: UTF-8 bytes in, UTF-8 bytes out. The tokenizer is inside, and every operator is one of TensorFlow
Lite's own, so that the `.tflite` files run on any LiteRT runtime (Android, iOS, C++, Python, web pages) as they are.
"""

GOLDEN = (
    "Give each input's first max_source_bytes bytes and, as text_length, all its bytes. An answer is the same if its "
    "bytes and its status are; a quantised file may round otherwise on another runtime and take another piece."
)

AGREEMENT = """
Agreement: sentences on which a file's answer is Keras's, and float32's, byte for byte, where Keras's is cut at
$max_target_bytes bytes too; the scores of Keras are those of its whole answers.
"""

CASES = """
- **Empty source** (`text_length` 0): an empty answer of score 0 and status 0.
- **Long source**: give its first $max_source_bytes bytes and its whole `text_length`; it is answered as cut there, and
  `status` has 1. The model was trained on at most $trained_source_pieces pieces (a piece is a word or part of one): a
  source of more is $more_pieces, and `status` has 8. $long_source
- **Long answer**: at $max_target_pieces pieces the answer ends as it is, and `status` has 2. If it has more than
  $max_target_bytes bytes, it is cut before the character that does not fit, and `status` has 4: cutting never leaves a
  part of a character. Bytes that are no UTF-8 are cut at the limit.
- **Malformed source** (no UTF-8, NUL bytes): never an error; every byte has a piece of its own. The answer will be of
  little use. Since single bytes are pieces, an answer may itself be no valid UTF-8 where the source is strange, or end
  inside a character if it reached its limit of pieces there: decode it leniently, as below.
- **Numbers out of range**: never an error, in any signature; the nearest in range is taken, and `status` has 16 for an
  id that is no piece, 32 for a negative length, and for a position, a seed or a temperature out of its range.
"""

SAVED_MODEL = """
Takes and gives string tensors of any batch size.
It has one operator that TensorFlow does not have itself, tensorflow-text's tokenizer: `import tensorflow_text` before
it is loaded, or, without that package's Python, load its library with
`tf.load_op_library(".../tensorflow_text/python/ops/_fast_wordpiece_tokenizer.so")`. TensorFlow Serving has it built in.

```python
import tensorflow as tf
import tensorflow_text

model = tf.saved_model.load("saved_model").signatures["serving_default"]
print(model(text=tf.constant(["$example"]))["text"].numpy()[0].decode(errors="replace"))
```

From a shell:

```sh
python -c 'import tensorflow_text; from tensorflow.python.tools.saved_model_cli import main; main()' \\
  run --dir saved_model --tag_set serve --signature_def $signature --input_exprs 'text=["$example"]'
```
"""

WITH_SECTIONS = ("align", "encode", "decode_step", "detokenize")


def other_signatures(manifest: Mapping[str, Any], names: Mapping[str, Any]) -> Iterator[str]:
    """Yields sections about what there is besides the signature from text to text."""
    for name, signature in manifest["signatures"].items():
        if name == manifest["signature"] or name in WITH_SECTIONS:
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
            f"{tensors(manifest['signatures']['align'])}\n\n"
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


PAGE = Page(
    about=ABOUT,
    golden=GOLDEN,
    agreement=AGREEMENT,
    signature="From text to text; batch 1, all shapes fixed.",
    cases=CASES,
    snippets=SNIPPETS,
    saved_model=SAVED_MODEL,
    more=other_signatures,
)
