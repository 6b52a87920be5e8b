"""From a run directory to a model folder of CTranslate2, for serving from a machine.

Read `export_ctranslate2` first: it is the table of contents. `CTranslate2Model` runs such folders.

CTranslate2 (https://github.com/OpenNMT/CTranslate2) can express all that `Seq2SeqTransformer` can be today. Positions,
whether sines or learned, are written as a table, since CTranslate2's own sines begin at position 1.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops

import keras_transformer
from keras_transformer._files import write_json
from keras_transformer.errors import UserError
from keras_transformer.export.checks import ExportError
from keras_transformer.export.ctranslate2_model import CTranslate2Model, import_ctranslate2, spelled_vocabulary
from keras_transformer.export.progress import Steps
from keras_transformer.export.target import check_target, new_folder
from keras_transformer.export.task import Task
from keras_transformer.export.tasks import read_task
from keras_transformer.export.text_task import TextTask
from keras_transformer.export.verify import differences, keras_answers
from keras_transformer.export.verify_folder import MANIFEST, digest
from keras_transformer.generation import SearchOptions, TextToText, load
from keras_transformer.models import Seq2SeqTransformer
from keras_transformer.text.byte_pieces import SPECIAL_PIECES
from keras_transformer.training.run_directory import RunDirectory

FORMAT = "keras-transformer ctranslate2 1"
LIBRARIES = ("ctranslate2", "keras", "numpy")
TEST_LIMIT = 1000
LEAST_AGREEMENT = 99.5  # percent

ACTIVATIONS = {"relu": "RELU", "gelu": "GELUTanh", "swiglu": "SWISH"}
EXPRESSIBLE = {"activation": ACTIVATIONS, "normalization": ("layer_norm", "rms_norm"), "positions": ("sine", "learned")}

README = """\
# {title}, exported by keras-transformer for CTranslate2

A model that {does}. Its weights are float32; `compute_type="int8"` quantises them as they are loaded.
On {sentences} sentences of the test split its float32 greedy answers are Keras's, byte for byte, on {agreement} %.

```python
from keras_transformer.export.ctranslate2_model import CTranslate2Model  # pip install '.[ctranslate2]'

model = CTranslate2Model(".", compute_type="int8", threads=1)
print(model.predict([{example!r}]))
print(model.generate([{example!r}], beam=4, n_best=4))
```

From other programs: spell the source's pieces as in `shared_vocabulary.json` (one character a byte, as GPT-2 does), add
no start and no end, and set `max_decoding_length={max_target_pieces}`, `min_decoding_length=0`, `length_penalty=0`.
"""


def export_ctranslate2(
    run: str | os.PathLike[str], output: str | os.PathLike[str], force: bool = False
) -> dict[str, Any]:
    """Makes a model folder of a run for CTranslate2, verified against Keras, and returns its manifest.

    The folder has CTranslate2's `model.bin`, `config.json` and `shared_vocabulary.json`, the tokenizer, a README and
    `manifest.json`. It appears when all is done and well; an interruption or a failed check leaves nothing.

    Args:
        run: the run's directory.
        output: folder to make.
        force: whether to replace an artifact folder that stands at `output`.

    Raises:
        UserError: CTranslate2 is not installed, the run cannot be used or not be expressed, or `output` exists.
        ExportError: fewer than 99.5 % of the answers to the test split (its first 1,000 sentences) are Keras's or ties.

    Example:
        ```python
        export_ctranslate2("runs/mine", "dist/mine")["verification"]["agreement_with_keras"]
        ```
    """
    output, steps = Path(output), Steps()
    import_ctranslate2()
    check_target(output, force)
    directory = RunDirectory(run)
    directory.check_trained()
    task, _ = read_task(directory)
    if not isinstance(task, TextTask):
        raise UserError(f"CTranslate2 runs models that write text, which those of {task.name} do not")
    predictor = load(run)
    sources = [source for source, _ in directory.read_examples("test")[:TEST_LIMIT]]
    with new_folder(output, force) as folder:
        with steps.step("conversion to CTranslate2"):
            save_ctranslate2(predictor, folder)
            predictor.tokenizer.save(folder)
        verification = verify(predictor, CTranslate2Model(folder), sources, steps)
        check_agreement(verification)
        manifest = make_manifest(predictor, task, verification)
        (folder / "README.md").write_text(make_readme(manifest, task, sources[0]), encoding="utf-8")
        manifest["files"] = _files(folder)
        write_json(folder / MANIFEST, manifest)
    steps.say(f"{output} is ready: {verification['agreement_with_keras']} % of the answers are Keras's")
    return manifest


def save_ctranslate2(predictor: TextToText, folder: str | os.PathLike[str]) -> None:
    """Writes `model.bin` (float32), `config.json` and `shared_vocabulary.json` into a folder, made if it is missing.

    Raises:
        UserError: CTranslate2 is not installed, or the model has something that it cannot express.

    Example:
        ```python
        predictor = keras_transformer.load("runs/mine")
        save_ctranslate2(predictor, "ct2")
        CTranslate2Model("ct2", predictor.tokenizer).predict(["A man rides a bike."])
        ```
    """
    import_ctranslate2()
    model = predictor.model
    check_expressible(model)
    spec = _make_spec(model)
    embeddings = _array(model.token_embedding.embeddings)
    length = max(model.max_length, predictor.max_source_length, predictor.max_target_length)

    encoder, decoder = spec.encoder, spec.decoder
    encoder.embeddings[0].weight = decoder.embeddings.weight = decoder.projection.weight = embeddings  # stored once
    encoder.position_encodings.encodings = _position_table(model.source_positions, length, model.hidden_dim)
    decoder.position_encodings.encodings = _position_table(model.target_positions, length, model.hidden_dim)
    for stack, blocks, norm in (
        (encoder, model.encoder_blocks, model.encoder_norm),
        (decoder, model.decoder_blocks, model.decoder_norm),
    ):
        for layer, block in zip(stack.layer, blocks, strict=True):
            _set_block(layer, block)
        if norm is not None:
            _set_norm(stack.layer_norm, norm)

    vocabulary = spelled_vocabulary(predictor.tokenizer)
    spec.register_source_vocabulary(vocabulary)
    spec.register_target_vocabulary(vocabulary)
    _set_config(spec.config, model, length, predictor.max_target_length)
    spec.validate()
    spec.optimize()  # equal weights become one
    Path(folder).mkdir(parents=True, exist_ok=True)
    spec.save(str(folder))


def check_expressible(model: Any) -> None:
    """Raises UserError if a model is none that CTranslate2's `TransformerSpec` can express."""
    if not isinstance(model, Seq2SeqTransformer):
        raise UserError(f"no CTranslate2 form for the model {type(model).__name__}, only for Seq2SeqTransformer")
    for name, known in EXPRESSIBLE.items():
        value = getattr(model, name)
        if value not in known:
            raise UserError(f"CTranslate2 has no form for {name} {value!r} of this model, only for {', '.join(known)}")
    for name, what in (("copy", "copying from the source"), ("attention_window", "a window of attention")):
        if getattr(model, name):
            raise UserError(f"CTranslate2 has no form for {what}, which this model has; export it to .tflite instead")


def verify(
    predictor: TextToText, model: CTranslate2Model, sources: Sequence[str], steps: Steps, beam: int = 1
) -> dict[str, Any]:
    """Compares a folder's answers with Keras's, byte for byte.

    Args:
        predictor: the loaded run.
        model: the folder made of it.
        sources: texts.
        steps: told of the progress.
        beam: hypotheses kept at every step, without a length penalty: the two have different ones.

    Returns: `sentences`, `agreement_with_keras` (percent of equal answers), `largest_score_difference` (of equal
        answers), `ties` and `differences`, each with `index`, `source`, `keras`, `file` and `why`: "tie" (Keras itself
        is undecided, by less than `verify.TIE`, between its own piece and the one that CTranslate2 takes) or "other".

    Raises:
        UserError: there are no texts.
    """
    if not sources:
        raise UserError("there are no sentences to verify with: the test split is empty")
    given = [source.encode("utf-8", "surrogatepass") for source in sources]
    with steps.step(f"CTranslate2 on {len(given):,} sentences"):
        found = [answers[0] for answers in model.run(given, beam=beam)]
    expected = keras_answers(predictor, given, SearchOptions(beam=beam), steps, "Keras on the same")
    unlike = differences(predictor, given, expected, found, sys.maxsize, search=SearchOptions(beam=beam))
    scores = [
        abs(ours.score - theirs.score) for ours, theirs in zip(expected, found, strict=True) if ours.text == theirs.text
    ]
    reasons = ["tie" if difference.pop("tie") else "other" for difference in unlike]
    return {
        "sentences": len(given),
        "agreement_with_keras": round(100 * (1 - len(unlike) / len(given)), 2),
        "largest_score_difference": round(max(scores, default=0.0), 6),
        "ties": reasons.count("tie"),
        "differences": [{**difference, "why": why} for difference, why in zip(unlike, reasons, strict=True)],
    }


def check_agreement(verification: dict[str, Any]) -> None:
    """Raises ExportError if too many answers are not Keras's, ties apart."""
    others = [difference for difference in verification["differences"] if difference["why"] == "other"]
    agreement = 100 * (1 - len(others) / verification["sentences"])
    if agreement < LEAST_AGREEMENT:
        first = others[0]
        raise ExportError(
            f"CTranslate2 gives Keras's answer to {agreement:.1f} % of {verification['sentences']} test sentences, "
            f"expected {LEAST_AGREEMENT} % or more; to {first['source']!r:.80} it gives {first['file']!r:.80} where "
            f"Keras has {first['keras']!r:.80}"
        )


def make_manifest(predictor: TextToText, task: Task, verification: dict[str, Any]) -> dict[str, Any]:
    """Returns the manifest of a folder, without the list of its files."""
    tokenizer = predictor.tokenizer
    return {
        "format": FORMAT,
        "task": task.name,
        "limits": {
            "max_target_pieces": predictor.max_target_length,
            "trained_source_pieces": predictor.max_source_length,
        },
        "vocabulary_size": tokenizer.vocabulary_size,
        "special_ids": {"pad": tokenizer.pad_id, "start": tokenizer.start_id, "end": tokenizer.end_id},
        "weights": predictor.model.count_params(),
        "verification": verification,
        "versions": {
            "keras-transformer": keras_transformer.__version__,
            **{name: importlib.metadata.version(name) for name in LIBRARIES},
        },
    }


def make_readme(manifest: dict[str, Any], task: Task, example: str) -> str:
    """Returns the README of a folder; `example` is a source sentence."""
    verification = manifest["verification"]
    return README.format(
        title=task.name.capitalize(),
        does=task.does,
        sentences=f"{verification['sentences']:,}",
        agreement=verification["agreement_with_keras"],
        example=example,
        **manifest["limits"],
    )


def _make_spec(model: Seq2SeqTransformer) -> Any:
    """Returns a specification of the model's form, without weights."""
    from ctranslate2.specs import common_spec, transformer_spec

    form = {
        "pre_norm": model.normalize_first,
        "activation": getattr(common_spec.Activation, ACTIVATIONS[model.activation]),
        "ffn_glu": model.activation == "swiglu",
        "rms_norm": model.normalization == "rms_norm",
        "num_heads_kv": model.num_key_value_heads,
    }
    return transformer_spec.TransformerSpec(
        transformer_spec.TransformerEncoderSpec(model.num_encoder_layers, model.num_heads, **form),
        transformer_spec.TransformerDecoderSpec(model.num_decoder_layers, model.num_heads, **form),
    )


def _set_config(config: Any, model: Seq2SeqTransformer, max_source_pieces: int, max_target_pieces: int) -> None:
    pad, start, end = SPECIAL_PIECES
    config.unk_token = pad  # CTranslate2 must have one; every byte is a piece, so that it never stands for anything
    config.bos_token = config.decoder_start_token = start
    config.eos_token = end
    config.layer_norm_epsilon = model.layer_norm_epsilon
    config.add_attribute("max_source_pieces", max_source_pieces)  # these two are for CTranslate2Model
    config.add_attribute("max_target_pieces", max_target_pieces)


def _set_block(layer: Any, block: Any) -> None:
    _set_attention(layer.self_attention, block.self_attention, block.self_attention_norm)
    if hasattr(layer, "attention"):
        _set_attention(layer.attention, block.cross_attention, block.cross_attention_norm)
    _set_feed_forward(layer.ffn, block.feed_forward, block.feed_forward_norm)


def _set_attention(spec: Any, attention: Any, norm: Any) -> None:
    inputs = [attention.query_key_value] if attention.is_self_attention else [attention.query, attention.key_value]
    for linear, dense in zip(spec.linear, [*inputs, attention.output_projection], strict=True):
        _set_linear(linear, *_kernel_and_bias(dense))
    _set_norm(spec.layer_norm, norm)


def _set_feed_forward(spec: Any, feed_forward: Any, norm: Any) -> None:
    kernel, bias = _kernel_and_bias(feed_forward.expand)
    if feed_forward.activation == "swiglu":  # one kernel here, two there
        half = feed_forward.intermediate_dim
        _set_linear(spec.linear_0, kernel[:, :half], None if bias is None else bias[:half])
        _set_linear(spec.linear_0_noact, kernel[:, half:], None if bias is None else bias[half:])
    else:
        _set_linear(spec.linear_0, kernel, bias)
    _set_linear(spec.linear_1, *_kernel_and_bias(feed_forward.contract))
    _set_norm(spec.layer_norm, norm)


def _set_linear(spec: Any, kernel: np.ndarray, bias: np.ndarray | None) -> None:
    spec.weight = np.ascontiguousarray(kernel.T)
    if bias is not None:
        spec.bias = bias


def _set_norm(spec: Any, norm: Any) -> None:
    if hasattr(spec, "beta"):
        spec.gamma, spec.beta = _array(norm.gamma), _array(norm.beta)
    else:
        spec.gamma = _array(norm.scale)


def _kernel_and_bias(dense: Any) -> tuple[np.ndarray, np.ndarray | None]:
    return _array(dense.kernel), _array(dense.bias) if dense.use_bias else None


def _position_table(positions: Any, length: int, width: int) -> np.ndarray:
    """Returns what a layer of positions adds, `[length, width]`."""
    return _array(positions(ops.zeros((1, length, width)))[0])


def _array(weights: Any) -> np.ndarray:
    return np.ascontiguousarray(ops.convert_to_numpy(weights), np.float32)


def _files(folder: Path) -> dict[str, Any]:
    return {
        path.name: {"bytes": path.stat().st_size, "sha256": digest(path)}
        for path in sorted(folder.iterdir())
        if path.name != MANIFEST
    }
