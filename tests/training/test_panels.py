"""The panels: what is in the event files after a training, and what becomes of a folder that cannot be written."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from google.protobuf import text_format
from PIL import Image
from rich.console import Console

from keras_transformer.errors import UserError
from keras_transformer.text import BytePieceTokenizer
from keras_transformer.training import Evaluation, RunDirectory, TrainingConfig, train
from keras_transformer.training.curve import read_curve
from keras_transformer.training.panels import Panels, hyper_parameters, piece_table, some_values, update_ratio
from keras_transformer.training.panels_config import TensorBoardConfig
from keras_transformer.training.tensorboard import TensorBoardLog, gradients

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorboard"),
]

EVERY = 6
EVALUATED = {EVERY, 2 * EVERY, 2 * EVERY + 1}
CONFIG = TrainingConfig(
    steps=2 * EVERY + 1,  # the last is evaluated by itself
    batch_tokens=64,
    warmup_steps=3,
    learning_rate=0.01,
    evaluate_every=EVERY,
    checkpoint_every=EVERY,
    tensorboard=TensorBoardConfig(profile_steps="2-3"),
)
VALUES = {"data": "mine.tsv", "run": "runs/x", "model": {"hidden_dim": 8, "dropout": None}, "training": {"seed": 3}}
SAMPLES = [("ab", "b a", "b"), ("", "empty", ""), ("é\n", "|", "x")]


class Letters(BytePieceTokenizer):
    """Pieces that the tiny model of the tests has an embedding for."""

    def encode(self, text: str | bytes) -> np.ndarray:
        return super().encode(text) % 9 + 3


@pytest.fixture(autouse=True)
def small_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keras_transformer.training.panels.BytePieceTokenizer", Letters)


def trained(run: RunDirectory, make_model: Callable[..., Any], batches: Any, config: TrainingConfig = CONFIG) -> Any:
    run.path.mkdir(parents=True, exist_ok=True)
    Letters([b"ab"]).save(run.tokenizer)
    run.config.write_text(yaml.safe_dump(VALUES))
    model = make_model(config)
    evaluation = Evaluation(1.0, {"bleu": 1.0}, SAMPLES)
    train(model, batches, config, run, lambda: evaluation, Console(file=io.StringIO()))
    return model


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    return RunDirectory(tmp_path_factory.mktemp("runs") / "mine")


@pytest.fixture
def events(
    run: RunDirectory, make_model: Callable[..., Any], make_batches: Callable[..., Any]
) -> Callable[[str], dict[int, Any]]:
    from tensorboard.backend.event_processing.event_accumulator import TENSORS, EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    if not run.logs.exists():
        trained(run, make_model, make_batches(64))
    found = EventAccumulator(str(run.logs), size_guidance={TENSORS: 0}).Reload()

    def of(tag: str) -> dict[int, Any]:
        return {event.step: make_ndarray(event.tensor_proto) for event in found.Tensors(tag)}

    of.tags = found.Tags()["tensors"]  # type: ignore[attr-defined]
    of.metadata = found.SummaryMetadata  # type: ignore[attr-defined]
    return of


def test_attention_is_drawn_at_every_evaluation(events: Any) -> None:
    drawn = [tag for tag in events.tags if tag.startswith("attention/")]
    assert drawn == [f"attention/sentence_1/{name}" for name in ("encoder", "decoder", "cross")]  # two are asked for,
    # of which the second has no source
    for tag in drawn:
        pictures = events(tag)
        assert set(pictures) == EVALUATED
        width, height, png = pictures[EVERY]
        picture = Image.open(io.BytesIO(png))
        assert picture.format == "PNG"
        assert picture.size == (int(width), int(height))
        assert events.metadata(tag).plugin_data.plugin_name == "images"


def test_histograms_of_every_variable(events: Any, make_model: Callable[..., Any]) -> None:
    paths = [variable.path for variable in make_model(CONFIG).model.trainable_variables]
    assert len(set(paths)) == len(paths) > 10
    for kind in ("weights", "gradients", "update_ratio"):
        assert {tag for tag in events.tags if tag.startswith(f"{kind}/")} == {f"{kind}/{path}" for path in paths}
    buckets = events("weights/token_embedding/embeddings")
    assert set(buckets) == EVALUATED
    assert buckets[EVERY][:, 2].sum() == 12 * 8
    assert (buckets[EVERY][1:, 0] == buckets[EVERY][:-1, 1]).all()
    moved = events("update_ratio/decoder_0/cross_attention/query/kernel")[EVERY]
    assert -5 < moved[0, 0] < moved[-1, 1] < 2
    assert 1e-4 < events("train/update_ratio")[EVERY] < 1


def test_the_input(events: Any, run: RunDirectory) -> None:
    assert not [tag for tag in events.tags if tag.startswith("input/")]  # the first point is at step 25
    assert read_curve(run.curve) == []


def test_the_embedding_projector(events: Any, run: RunDirectory) -> None:
    from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig
    from tensorboard.plugins.projector.projector_plugin import _read_tensor_binary_file, _read_tensor_tsv_file

    config = text_format.Parse((run.logs / "projector_config.pbtxt").read_text(), ProjectorConfig())
    (embedding,) = config.embeddings
    tensor = run.logs / embedding.tensor_path
    with pytest.raises(UnicodeDecodeError):  # or the plug-in would take the numbers for text
        _read_tensor_tsv_file(str(tensor))
    assert list(embedding.tensor_shape) == [12, 8]
    found = _read_tensor_binary_file(str(tensor), embedding.tensor_shape)
    head, *labels = (run.logs / embedding.metadata_path).read_text().splitlines()
    assert head == "piece\tkind\tbytes"
    assert labels[:4] == ["<pad>\tspecial\t0", "<start>\tspecial\t0", "<end>\tspecial\t0", "\\x00\tbyte\t1"]
    assert len(labels) == len(found) == 12
    assert np.isfinite(found).all()
    assert np.abs(found).max() > 0.1


def test_numbers_that_are_valid_text_stay_numbers(tmp_path: Path) -> None:
    from tensorboard.plugins.projector.projector_plugin import _read_tensor_binary_file, _read_tensor_tsv_file

    vectors = np.frombuffer(b"1111" * 6, "<f4").reshape(3, 2)
    TensorBoardLog(tmp_path).projector("pieces", vectors, "a\nb\nc\n")
    with pytest.raises(UnicodeDecodeError):
        _read_tensor_tsv_file(str(tmp_path / "pieces.bytes"))
    found = _read_tensor_binary_file(str(tmp_path / "pieces.bytes"), (3, 2))
    np.testing.assert_allclose(found, vectors, rtol=1e-4)


def test_hyper_parameters_and_profile(events: Any, run: RunDirectory) -> None:
    from tensorboard.plugins.hparams.metadata import SESSION_START_INFO_TAG, parse_session_start_info_plugin_data

    content = events.metadata(SESSION_START_INFO_TAG).plugin_data.content
    found = parse_session_start_info_plugin_data(content)
    assert found.group_name == str(run.path)
    assert found.hparams["model.hidden_dim"].number_value == 8
    assert list(run.logs.glob("plugins/profile/*/*.xplane.pb"))


def test_what_is_compared() -> None:
    assert hyper_parameters({**VALUES, "columns": ["a"], "x": True}) == {
        "data": "mine.tsv",
        "model.hidden_dim": 8,
        "model.dropout": "none",
        "training.seed": 3,
        "columns": "['a']",
        "x": True,
    }
    assert hyper_parameters({"training": {"tensorboard": {"histograms": True}}}) == {}


def test_panels_change_no_weight(
    run: RunDirectory, events: Any, make_model: Callable[..., Any], make_batches: Callable[..., Any], tmp_path: Path
) -> None:
    bare = TensorBoardConfig(attention_maps=0, histograms=False, projector=False)
    config = TrainingConfig(**{**vars(CONFIG), "tensorboard": bare})
    plain = trained(RunDirectory(tmp_path / "plain"), make_model, make_batches(64), config)
    full = trained(RunDirectory(tmp_path / "full"), make_model, make_batches(64))
    for found, expected in zip(full.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert [path.suffix for path in (tmp_path / "plain" / "logs").iterdir()] == [".v2"]


@pytest.mark.filterwarnings("always::UserWarning")
def test_a_folder_that_cannot_be_written_is_told_once(
    make_model: Callable[..., Any], make_batches: Callable[..., Any], tmp_path: Path
) -> None:
    run = RunDirectory(tmp_path / "run")
    run.path.mkdir()
    run.logs.write_text("in the way")
    with pytest.warns(UserWarning, match="TensorBoard's files cannot be written") as told:
        trained(run, make_model, make_batches(64))
    (message,) = [str(warning.message) for warning in told if "TensorBoard" in str(warning.message)]
    assert message == (
        f"{run.logs}: TensorBoard's files cannot be written: Not a directory; the training goes on without them"
    )
    assert run.logs.read_text() == "in the way"
    assert [entry["step"] for entry in run.read_json(run.metrics)["evaluations"]] == sorted(EVALUATED)


@pytest.mark.filterwarnings("always::UserWarning")
def test_a_folder_that_goes_away_is_told_once(tmp_path: Path) -> None:
    log = TensorBoardLog(tmp_path / "logs")
    log.scalars({"a": 1.0}, 1)
    for path in [*(tmp_path / "logs").iterdir(), tmp_path / "logs"]:
        path.rmdir() if path.is_dir() else path.unlink()
    with pytest.warns(UserWarning, match="cannot be written: the folder is gone; the training goes on without them"):
        log.flush()
    assert not log.is_open
    log.scalars({"a": 1.0}, 2)  # warnings are errors in tests
    log.close()


def test_gradients_are_those_of_the_training_loss(
    make_model: Callable[..., Any], make_batches: Callable[..., Any]
) -> None:
    import tensorflow as tf

    model = make_model(TrainingConfig(), dropout=0.0)
    inputs, labels = next(make_batches(64).from_step(0))
    found = gradients(model, inputs, labels)
    before = [metric.result() for metric in model.metrics]
    with tf.GradientTape() as tape:
        loss = model.compute_loss(inputs, labels, model(inputs, training=True))
    *expected, weight = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
    assert [float(value) for value in before] == [0, 0, 0]
    for gradient, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(gradient, tf.convert_to_tensor(other) / weight, atol=1e-6)


def test_values_and_ratios() -> None:
    values = some_values(np.arange(200_000, dtype=np.float32).reshape(2, -1))
    assert values.tolist() == list(range(0, 200_000, 4))
    before = np.array([3.0, -3.0, 3.0], np.float32)
    np.testing.assert_allclose(update_ratio(before, before + np.float32([0.03, 0, -3])), [-2, 0], atol=1e-5)
    assert not len(update_ratio(np.zeros(2), np.ones(2)))


def test_the_table_of_pieces() -> None:
    tokenizer = BytePieceTokenizer([b" man", b"a\tb", "ü".encode()])
    lines = piece_table(tokenizer, tokenizer.vocabulary_size).splitlines()
    assert {line.count("\t") for line in lines} == {2}
    assert lines[-3:] == ["·man\tlearned\t4", "a\\tb\tlearned\t3", "ü\tlearned\t2"]
    assert lines[1 + 3 + 0xC3] == "\\xc3\tbyte\t1"


@pytest.mark.parametrize("text", ["100", "0-5", "110-100", "a-b", "١-٢", "1-2-3", ""])
def test_steps_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(UserError) as error:
        TensorBoardConfig(profile_steps=text)
    assert str(error.value) == f"profile_steps is {text!r}, expected its first and last step, such as 100-110"


def test_a_negative_number_of_sentences_is_refused() -> None:
    with pytest.raises(UserError, match=r"^attention_maps is -1, expected 0 or more$"):
        TensorBoardConfig(attention_maps=-1)


def test_a_snapshot_of_a_step_that_was_taken_back_is_not_compared(tmp_path: Path, make_model: Any) -> None:
    def no_batches(step: int) -> Iterator[Any]:
        raise AssertionError("a gradient was asked for")

    log = TensorBoardLog(tmp_path)
    panels = Panels(log, TensorBoardConfig(), make_model(CONFIG), RunDirectory(tmp_path / "none"), no_batches, EVERY)
    panels.at_start(0)
    panels.at_step(EVERY - 1)
    panels.at_step(3)  # after a step back
    assert panels.before is not None
    log.close()


def test_values_that_are_nearly_the_same_have_a_histogram() -> None:
    """As of weights that have just begun to move from 1: float32 has no room for the edges of bins between them."""
    found: list[Any] = []
    panels = SimpleNamespace(log=SimpleNamespace(histogram=lambda *given: found.append(given)))
    values = np.array([1.0, np.nextafter(np.float32(1), np.float32(2))], np.float32)
    Panels._histogram(panels, "weights", values, 3)  # type: ignore[arg-type]
    ((name, edges, counts, step),) = found
    assert (name, step, int(sum(counts))) == ("weights", 3, 2)
    assert (np.diff(edges) > 0).all()
