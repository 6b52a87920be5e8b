"""Export: a run directory in, an artifact folder out. Import it as `keras_transformer.export`."""

if __name__ != "keras_transformer.export":
    raise ImportError(f"import keras_transformer.export, not {__name__}: this folder is part of keras-transformer")

from keras_transformer._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "Answer": "text_artifact",
        "Artifact": "artifact",
        "LabelArtifact": "label_artifact",
        "LabelOptions": "label_task",
        "TextArtifact": "text_artifact",
        "TextOptions": "text_task",
        "ExportError": "checks",
        "Limits": "limits",
        "benchmark": "benchmarking",
        "check_folder": "folder",
        "evaluate_artifact": "evaluating",
        "export_ctranslate2": "ctranslate2_format",
        "export_run": "run",
        "quantize_train": "preparing",
        "open_artifact": "artifact",
    },
)
