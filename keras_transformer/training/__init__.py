"""Training: loss, optimizer, the trainer and what it leaves on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_transformer._lazy import lazy_exports

if TYPE_CHECKING:
    from keras_transformer.training.batch_size import fitting_batch_tokens as fitting_batch_tokens
    from keras_transformer.training.config import EncoderConfig as EncoderConfig
    from keras_transformer.training.config import ModelConfig as ModelConfig
    from keras_transformer.training.config import TrainingConfig as TrainingConfig
    from keras_transformer.training.device import check_device as check_device
    from keras_transformer.training.distribution import on_devices as on_devices
    from keras_transformer.training.hosts import first_then_others as first_then_others
    from keras_transformer.training.hosts import together as together
    from keras_transformer.training.label_objective import LabelObjective as LabelObjective
    from keras_transformer.training.losses import linear_cross_entropy as linear_cross_entropy
    from keras_transformer.training.model import TrainingModel as TrainingModel
    from keras_transformer.training.objective import Objective as Objective
    from keras_transformer.training.objective import Sums as Sums
    from keras_transformer.training.objective import TokenObjective as TokenObjective
    from keras_transformer.training.optimizers import Adam as Adam
    from keras_transformer.training.optimizers import check_undecayed as check_undecayed
    from keras_transformer.training.optimizers import freeze as freeze
    from keras_transformer.training.range_test import RangeTest as RangeTest
    from keras_transformer.training.range_test import find_learning_rate as find_learning_rate
    from keras_transformer.training.run_directory import RunDirectory as RunDirectory
    from keras_transformer.training.schedules import InverseSquareRoot as InverseSquareRoot
    from keras_transformer.training.sweep import Sweep as Sweep
    from keras_transformer.training.tag_objective import TagObjective as TagObjective
    from keras_transformer.training.trainer import Evaluation as Evaluation
    from keras_transformer.training.trainer import compile_for_training as compile_for_training
    from keras_transformer.training.trainer import train as train

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "Adam": "optimizers",
        "EncoderConfig": "config",
        "Evaluation": "trainer",
        "InverseSquareRoot": "schedules",
        "LabelObjective": "label_objective",
        "ModelConfig": "config",
        "Objective": "objective",
        "RangeTest": "range_test",
        "RunDirectory": "run_directory",
        "Sums": "objective",
        "Sweep": "sweep",
        "TagObjective": "tag_objective",
        "TokenObjective": "objective",
        "TrainingConfig": "config",
        "TrainingModel": "model",
        "check_device": "device",
        "check_undecayed": "optimizers",
        "compile_for_training": "trainer",
        "find_learning_rate": "range_test",
        "first_then_others": "hosts",
        "fitting_batch_tokens": "batch_size",
        "freeze": "optimizers",
        "linear_cross_entropy": "losses",
        "on_devices": "distribution",
        "together": "hosts",
        "train": "trainer",
    },
)
