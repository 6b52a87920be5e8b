"""Several devices of one host, and several hosts.

On TensorFlow, several devices are a `tf.distribute.MirroredStrategy`: each has the model, computes a part of every
batch, and gradients are summed over all before the update. On JAX, devices and hosts are a
`keras.distribution.DataParallel`: one program for all, whose batches are spread over them.

The one module of the training that knows `tf.distribute` by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras

from keras_transformer.errors import UserError
from keras_transformer.training.config import TrainingConfig
from keras_transformer.training.hosts import are_several


@contextmanager
def on_devices(config: TrainingConfig) -> Iterator[None]:
    """Inside the block, models are made for, and trained on, as many devices as `config.devices` says.

    Raises:
        UserError: there are not so many; on TensorFlow, they are to scale the loss of mixed_float16 or to accumulate
            gradients.

    Example:
        ```python
        with on_devices(config):
            model = Seq2SeqTransformer(...)
            training_model = compile_for_training(model, config, TokenObjective())
        ```
    """
    names = chosen_devices(config)
    if len(names) == 1:
        yield
    elif keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.distribute.MirroredStrategy(names).scope():
            yield
    else:
        devices = keras.distribution.DataParallel(devices=names, auto_shard_dataset=False)
        with devices.scope():
            yield


def chosen_devices(config: TrainingConfig) -> list[str]:
    """Returns the names of the devices to train on, those of all hosts in their order."""
    by_host, backend = _devices_by_host(), keras.backend.backend()
    known = min(by_host, key=len)
    count = len(known) if config.devices == "all" else config.devices
    if count > 1 and backend not in ("tensorflow", "jax"):
        raise UserError(f"training.devices is {config.devices}, expected 1 on the {backend} backend")
    if count > len(known):
        raise UserError(f"training.devices is {count}, but this host has {len(known)}: {', '.join(known)}")
    if count > 1 and backend == "tensorflow" and config.dtype_policy == "mixed_float16":
        # Keras's LossScaleOptimizer looks for overflow on the first device alone
        raise UserError(
            f"training.dtype_policy is mixed_float16, which needs training.devices 1 on TensorFlow, not {count}; "
            "use mixed_bfloat16, or KERAS_BACKEND=jax"
        )
    if count > 1 and backend == "tensorflow" and config.accumulate > 1:
        # Keras decides in a branch of the graph, where devices cannot be brought together
        raise UserError(
            f"training.accumulate is {config.accumulate}, which needs training.devices 1 on TensorFlow, not {count}; "
            "use accumulate 1, or KERAS_BACKEND=jax"
        )
    return [name for devices in by_host for name in devices[:count]]


def _devices_by_host() -> list[list[str]]:
    """Returns the names of the devices of each host: GPUs where there are any, else CPUs."""
    if not are_several():
        return [keras.distribution.list_devices()]
    import jax

    devices = jax.devices()
    hosts = range(jax.process_count())
    return [[f"{device.platform}:{device.id}" for device in devices if device.process_index == host] for host in hosts]


def strategy_of(model: keras.Model) -> Any:
    """Returns the `tf.distribute` strategy of several devices that a model was made under; None if there is none."""
    strategy = getattr(model, "distribute_strategy", None)
    return strategy if strategy is not None and strategy.num_replicas_in_sync > 1 else None


def is_mirrored() -> bool:
    """Returns whether this is computed on several devices by a `tf.distribute` strategy, each for itself."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return bool(tf.distribute.has_strategy())


def summed(tensors: Sequence[Any]) -> list[Any]:
    """Returns the sums of tensors over all devices, on each of them. Only where `is_mirrored`."""
    import tensorflow as tf

    return list(tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, list(tensors)))


def update_mirrored(update: Callable[..., None], variables: Sequence[Any], *arguments: Sequence[Any]) -> None:
    """Calls `update(i, variable, *arguments of it)` for each variable's copy on every device. Only where `is_mirrored`.

    Args:
        update: may assign to the variable, and to others that stand on the same devices.
        variables: Keras variables.
        arguments: each a list of tensors, one for each variable.
    """
    import tensorflow as tf

    def on_all(strategy: Any, *arguments: Sequence[Any]) -> None:
        for i, (variable, *own) in enumerate(zip(variables, *arguments, strict=True)):
            strategy.extended.update(variable.value, _numbered(update, i), args=tuple(own), group=False)

    tf.distribute.get_replica_context().merge_call(on_all, args=arguments)


def _numbered(update: Callable[..., None], i: int) -> Callable[..., None]:
    return lambda variable, *arguments: update(i, variable, *arguments)
