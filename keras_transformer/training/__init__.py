"""Training: loss, optimizer, the trainer and what it leaves on disk."""

from keras_transformer._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "Adam": "optimizer",
        "Evaluation": "trainer",
        "InverseSquareRoot": "optimizer",
        "ModelConfig": "config",
        "RunDirectory": "run_directory",
        "TrainingConfig": "config",
        "TrainingModel": "model",
        "compile_for_training": "trainer",
        "linear_cross_entropy": "losses",
        "train": "trainer",
    },
)
