"""Contenders that train with Keras, and the matrix product that they are measured against.

Each function here returns a turn, see `train_worker.py`. The first step of a turn, before which `fit` prepares itself,
is not in its time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import keras
import numpy as np
from train_cases import PAD_ID, Case, full_batches, over_and_over
from train_worker import Moment, Turn

from keras_transformer import data, training
from keras_transformer._memory import keep_memory
from keras_transformer.data.feed import feed
from keras_transformer.models import Seq2SeqTransformer

NO_END = 1_000_000  # steps of an epoch: the clock ends it
PEAK_SIZE = 4096


class Clock(keras.callbacks.Callback):
    """Ends a fit after some seconds, and keeps the times at which steps ended."""

    def __init__(self, seconds: float):
        super().__init__()
        self.seconds = seconds
        self.ends: list[Moment] = []

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self.ends.append(Moment.now())
        if len(self.ends) > 1 and self.ends[-1].wall - self.ends[0].wall >= self.seconds:
            self.model.stop_training = True

    def turn(self, amount: float) -> Turn:
        """Returns what was done since the end of the first step."""
        return self.ends[0].turn(self.ends[-1], amount)


class OurTurn:
    """Trains as `keras-transformer train translation` does: its loss, optimizer, feed and `fit`.

    Args:
        case: model and training.
        batches: gives the batches from a step on, without end.
    """

    def __init__(self, case: Case, batches: Callable[[int], Iterator[Any]]):
        keep_memory()  # as the command line does
        keras.utils.set_random_seed(0)
        model = Seq2SeqTransformer(case.vocabulary_size, **case.model_arguments(), dtype=case.policy)
        config = case.training_config()
        self.model = training.compile_for_training(model, config, training.TokenObjective(config.label_smoothing))
        self.batches = batches
        self.about: dict[str, Any] = {}
        self.step = 0

    def __call__(self, seconds: float) -> Turn:
        tokens: list[int] = []  # of each step

        def counted() -> Iterator[Any]:
            for inputs, labels in self.batches(self.step):
                tokens.append(int(np.count_nonzero(labels != PAD_ID)))
                yield inputs, labels

        clock, source = Clock(seconds), feed(counted)
        tokens.clear()  # the feed looked at a batch
        self.model.fit(source, steps_per_epoch=NO_END, callbacks=[clock], verbose=0, shuffle=False)
        made = len(clock.ends)
        self.step += made
        return clock.turn(sum(tokens[1:made]))


def ours(case: Case) -> OurTurn:
    """Our model on full batches."""
    batches = full_batches(case)
    return OurTurn(case, partial(over_and_over, batches))


def ours_on_store(case: Case, store: str) -> OurTurn:
    """Our model on the batches of a folder of tokenised pairs, as a run has it."""
    ids: dict[str, Any] = {"start_id": 1, "end_id": 2, "pad_id": PAD_ID}
    config = case.training_config()
    assert config.batch_tokens != "auto"
    multiple = config.length_multiple or data.default_length_multiple()
    batches = data.Seq2SeqBatches(
        data.TokenStore(store), config.batch_tokens, config.seed, **ids, length_multiple=multiple
    )
    turn = OurTurn(case, batches.from_step)
    turn.about = {"padding_share": batches.padding_share, "batches": batches.batches_per_epoch}
    return turn


def keras_hub(case: Case, jit: bool) -> Callable[[float], Turn]:
    """KerasHub's layers in `fit`, from a `tf.data` pipeline without autotuning.

    The same model, but for learned positions. Its training does less: no label smoothing, which Keras's sparse loss
    has not, no clipping, no averaging, and no metric but the loss.
    """
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(case.policy)
    model = _keras_hub_model(case)
    model.compile(
        optimizer=keras.optimizers.Adam(1e-4, beta_2=0.98, epsilon=1e-9),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=jit,
    )
    inputs, labels = zip(*full_batches(case), strict=True)
    columns = {name: np.stack([one[name] for one in inputs]) for name in inputs[0]}
    options = tf.data.Options()
    options.autotune.enabled = False
    dataset = tf.data.Dataset.from_tensor_slices((columns, np.stack(labels))).repeat().prefetch(4).with_options(options)

    def turn(seconds: float) -> Turn:
        clock = Clock(seconds)
        model.fit(dataset, steps_per_epoch=NO_END, callbacks=[clock], verbose=0, shuffle=False)
        return clock.turn((len(clock.ends) - 1) * labels[0].size)

    return turn


def _keras_hub_model(case: Case) -> keras.Model:
    from keras_hub.layers import TokenAndPositionEmbedding, TransformerDecoder, TransformerEncoder

    sizes = case.model_arguments()
    dropout = sizes["dropout"]
    block = {"intermediate_dim": sizes["intermediate_dim"], "num_heads": sizes["num_heads"], "dropout": dropout}
    embedding = TokenAndPositionEmbedding(case.vocabulary_size, case.length, sizes["hidden_dim"], mask_zero=True)
    source = keras.Input((case.length,), dtype="int32", name="source_ids")
    target = keras.Input((case.length,), dtype="int32", name="target_ids")
    x = keras.layers.Dropout(dropout)(embedding(source))
    for _ in range(sizes["num_encoder_layers"]):
        x = TransformerEncoder(**block)(x)
    y = keras.layers.Dropout(dropout)(embedding(target))
    for _ in range(sizes["num_decoder_layers"]):
        y = TransformerDecoder(**block)(y, x)
    model = keras.Model({"source_ids": source, "target_ids": target}, embedding.token_embedding(y, reverse=True))
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.MultiHeadAttention):
            # the blocks have one rate for everything; ours leaves attention weights alone, and so it is faster
            layer._dropout = sizes["attention_dropout"]
    return model


def peak(case: Case) -> Callable[[float], Turn]:
    """A large square matrix product in TensorFlow, in the precision of the policy: floating-point operations."""
    import tensorflow as tf

    dtype = keras.dtype_policies.get(case.policy).compute_dtype
    one, other = (tf.cast(tf.random.normal((PEAK_SIZE, PEAK_SIZE)), dtype) for _ in range(2))
    multiply = tf.function(lambda: tf.reduce_max(tf.matmul(one, other)))

    def turn(seconds: float) -> Turn:
        made: list[Turn] = []
        while sum(one.seconds for one in made) < seconds:
            start = Moment.now()
            multiply().numpy()
            made.append(start.turn(Moment.now(), 2 * PEAK_SIZE**3))
        return min(made)

    return turn
