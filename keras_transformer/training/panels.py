"""What TensorBoard shows of a training besides its curves: attention, weights and how they move, embeddings, a profile.

Shapes: h heads, s source length, t target length, v vocabulary size, w width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml
from keras import ops

from keras_transformer.text.byte_pieces import FIRST_BYTE_ID, FIRST_LEARNED_ID, BytePieceTokenizer
from keras_transformer.training.attention_picture import attention_picture, legible
from keras_transformer.training.tensorboard import TensorBoardLog, gradients

if TYPE_CHECKING:
    from keras_transformer.training.panels_config import TensorBoardConfig
    from keras_transformer.training.run_directory import RunDirectory

MAX_PIECES = 40  # of a sentence whose attention is drawn
MAX_VALUES = 65_536  # of a variable that a histogram is made of
MAX_POINTS = 10_000  # of the projector: the first pieces are the commonest
BUCKETS = 40
NOT_COMPARED = ("run", "resume", "task")  # what the dashboard of hyper-parameters leaves out


class Panels:
    """Writes the panels of one training.

    Args:
        log: where to.
        config: which panels.
        training_model: a `TrainingModel`.
        run: its `tokenizer/` gives pieces their names, its `config.yaml` the hyper-parameters; what is not there is
            not shown.
        batches: gives the training batches from a step on, for the gradient of one of them.
        every: steps between evaluations.
        last: the step after which the training ends, with an evaluation of its own.

    Example:
        ```python
        panels = Panels(log, config.tensorboard, training_model, run, batches.from_step, every=500, last=config.steps)
        panels.at_start(step=0)
        panels.at_step(1)  # after every step
        panels.at_evaluation(500, samples)
        panels.close()
        ```
    """

    def __init__(
        self,
        log: TensorBoardLog,
        config: TensorBoardConfig,
        training_model: Any,
        run: RunDirectory,
        batches: Callable[[int], Iterator[Any]],
        every: int,
        last: int = 0,
    ):
        self.log = log
        self.config = config
        self.training_model = training_model
        self.run = run
        self.batches = batches
        self.every = every
        self.last = last
        self.tokenizer = BytePieceTokenizer.load(run.tokenizer) if run.tokenizer.exists() else None
        self.profiled = config.profiled()
        self.before: tuple[int, list[np.ndarray]] | None = None  # a step, and some values of every variable before it

    def at_start(self, step: int) -> None:
        """Writes the hyper-parameters; `step` is how many steps were made before."""
        if self.run.config.exists():
            content = yaml.safe_load(self.run.config.read_text(encoding="utf-8"))
            self.log.hyper_parameters(hyper_parameters(content), str(self.run.path))
        self._prepare(step + 1)

    def at_step(self, step: int) -> None:
        """To be called after every step, with the weights that are trained, not their averages."""
        if step == self.profiled[1]:
            self.log.stop_profile()
        if self.before is not None and self.before[0] == step:
            self._histograms(step, self.before[1])
            self.before = None
        self._prepare(step + 1)

    def at_evaluation(self, step: int, samples: list[tuple[str, str, str]]) -> None:
        """To be called with the weights that are evaluated, and with sentences (source, reference, output)."""
        if self.tokenizer is None or not self.log.is_open:
            return
        for number, (source, reference, _) in enumerate(samples[: self.config.attention_maps], 1):
            self._attention(number, source, reference, step)
        if self.config.projector:
            self._embeddings()

    def close(self) -> None:
        """Ends a profile that was still being recorded."""
        self.log.stop_profile()

    def _prepare(self, step: int) -> None:
        """What has to be done before a step."""
        if step == self.profiled[0]:
            self.log.start_profile()
        if self.config.histograms and (step % self.every == 0 or step == self.last) and self.log.is_open:
            self.before = step, [some_values(variable) for variable in self._variables()]

    def _attention(self, number: int, source: str, reference: str, step: int) -> None:
        tokenizer, model = self.tokenizer, self.training_model.model
        if tokenizer is None or not hasattr(model, "attention_maps"):
            return
        sources = tokenizer.encode(source)[:MAX_PIECES]
        if len(sources) and not hasattr(model, "decoder_blocks"):
            maps = model.attention_maps(sources[None])["encoder"]
            pieces = tokenizer.pieces_as_text(ops.convert_to_numpy(model.read_ids(sources[None]))[0])
            png, size = attention_picture(ops.convert_to_numpy(maps[0]), pieces, pieces)
            self.log.image(f"attention/text_{number}", png, size, step)
            return
        targets = np.concatenate([[tokenizer.start_id], tokenizer.encode(reference), [tokenizer.end_id]])
        targets = targets[: MAX_PIECES + 1].astype(np.int32)
        if not len(sources):
            return
        maps = self.training_model.model.attention_maps(sources[None], targets[None, :-1])
        pieces, read, written = (tokenizer.pieces_as_text(ids) for ids in (sources, targets[:-1], targets[1:]))
        for name, rows, columns in (
            ("encoder", pieces, pieces),
            ("decoder", read, read),
            ("cross", written, pieces),  # a row is what the model writes there, having looked where the row says
        ):
            png, size = attention_picture(ops.convert_to_numpy(maps[name][0]), rows, columns)
            self.log.image(f"attention/sentence_{number}/{name}", png, size, step)

    def _variables(self) -> list[Any]:
        getattr(self.training_model, "jax_state_sync", lambda: None)()  # on JAX, variables lag behind inside `fit`
        return list(self.training_model.model.trainable_variables)

    def _histograms(self, step: int, values_before: list[np.ndarray]) -> None:
        """Writes what the variables are, their gradients, and how far the last step moved them."""
        variables = self._variables()
        inputs, labels = next(self.batches(step - 1))
        found = gradients(self.training_model, inputs, labels)
        ratios = []
        for variable, before, gradient in zip(variables, values_before, found, strict=True):
            name = variable.path
            after = some_values(variable)
            self._histogram(f"weights/{name}", after, step)
            if gradient is not None:
                self._histogram(f"gradients/{name}", some_values(gradient), step)
            ratio = update_ratio(before, after)
            self._histogram(f"update_ratio/{name}", ratio, step)
            if len(variable.shape) > 1 and len(ratio):
                ratios.append(float(np.sqrt(np.mean(np.square(10.0**ratio)) * len(ratio) / len(after))))
        if ratios:
            self.log.scalars({"train/update_ratio": float(np.median(ratios))}, step)

    def _histogram(self, name: str, values: np.ndarray, step: int) -> None:
        values = values[np.isfinite(values)]
        if len(values):
            # in float32 there may be no room for so many edges between values that are nearly the same
            counts, edges = np.histogram(values.astype(np.float64), BUCKETS)
            self.log.histogram(name, edges, counts, step)

    def _embeddings(self) -> None:
        tokenizer = self.tokenizer
        if tokenizer is None:
            return
        vectors = ops.convert_to_numpy(self.training_model.model.token_embedding.embeddings)[:MAX_POINTS]
        self.log.projector("pieces", vectors, piece_table(tokenizer, len(vectors)))


def hyper_parameters(config: dict[str, Any], prefix: str = "") -> dict[str, bool | float | str]:
    """Returns a config as names and values that the dashboard takes: `{"model.hidden_dim": 128, ...}`."""
    found: dict[str, bool | float | str] = {}
    for name, value in config.items():
        if isinstance(value, dict):
            found.update(hyper_parameters(value, f"{prefix}{name}."))
        elif f"{prefix}{name}" not in NOT_COMPARED and not prefix.startswith("training.tensorboard."):
            shown = "none" if value is None else str(value)
            found[f"{prefix}{name}"] = value if isinstance(value, (bool, int, float)) else shown
    return found


def some_values(variable: Any) -> np.ndarray:
    """Returns up to `MAX_VALUES` values of a tensor, evenly spaced, as float32: always the same ones."""
    flat = ops.reshape(variable, (-1,))
    return np.array(ops.convert_to_numpy(flat[:: -(-flat.shape[0] // MAX_VALUES)]), np.float32)


def update_ratio(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Returns log10 of |update| / root mean square of the weights, for every value that moved.

    About -3 is usual for the matrices of a network that learns well; near 0 the rate is too high, below -5 little
    happens.
    """
    scale = float(np.sqrt(np.mean(np.square(before))))
    moved = np.abs(after - before)
    return np.log10(moved[moved > 0] / scale) if scale > 0 else np.zeros(0, np.float32)


def piece_table(tokenizer: BytePieceTokenizer, count: int) -> str:
    """Returns the labels of the first pieces, tab-separated: piece, kind (special, byte or learned), bytes."""
    lines = ["piece\tkind\tbytes"]
    for id, text in enumerate(tokenizer.pieces_as_text(range(count))):
        kind = "special" if id < FIRST_BYTE_ID else "byte" if id < FIRST_LEARNED_ID else "learned"
        lines.append(f"{legible(text)}\t{kind}\t{len(tokenizer.pieces[id])}")
    return "\n".join(lines) + "\n"
