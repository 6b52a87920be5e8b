"""What every layer promises, checked for all that `keras_transformer.layers` names."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from keras_transformer import layers

# Keras 3.15 turns TensorFlow variables into arrays in a way that NumPy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

WIDTH = 8
POLICIES = ["float32", "mixed_bfloat16", "mixed_float16"]


def vectors(batch: int, length: int) -> np.ndarray:
    return np.random.default_rng(length).normal(size=(batch, length, WIDTH)).astype("float32")


def token_ids(batch: int, length: int) -> np.ndarray:
    return np.random.default_rng(length).integers(1, 11, size=(batch, length), dtype=np.int32)


@dataclass
class Case:
    """A layer, the arguments that make one, and what it is called with.

    Args:
        layer: its name in `keras_transformer.layers`.
        arguments: of the constructor; none at its default, so that a forgotten one shows in `get_config`.
        inputs: name -> maker of `[batch, length, ...]` for its tensors.
        mask_argument: the call argument that takes a padding mask of the first input.
        keeps_mask: whether the output has the Keras mask of the first input.
        unused: arguments that stay at their default, being refused where the layer is used so.
        pools: whether the output has one vector for a sequence.
    """

    layer: str
    arguments: dict[str, Any]
    inputs: dict[str, Callable[[int, int], np.ndarray]] = field(default_factory=lambda: {"inputs": vectors})
    mask_argument: str | None = None
    keeps_mask: bool = True
    unused: tuple[str, ...] = ()
    pools: bool = False

    def make(self, policy: str = "float32", **others: Any) -> Any:
        return getattr(layers, self.layer)(**{**self.arguments, "dtype": policy, **others})

    def values(self, batch: int = 2, length: int = 5) -> dict[str, np.ndarray]:
        """The tensors of a call; a second one is longer by two, as a source is beside a target."""
        return {name: make(batch, length + 2 * i) for i, (name, make) in enumerate(self.inputs.items())}

    def model(self, policy: str = "float32") -> keras.Model:
        """The layer in an ordinary functional model of any batch and length."""
        inputs = {
            name: keras.Input((None, *value.shape[2:]), dtype=value.dtype.name, name=name)
            for name, value in self.values().items()
        }
        return keras.Model(inputs, self.make(policy, name="layer")(**inputs))


PROJECTIONS = {"kernel_initializer": "he_normal", "bias_initializer": "ones", "use_bias": False}
BLOCK = {
    "num_heads": 4,
    "intermediate_dim": 12,
    "key_dim": 3,
    "num_key_value_heads": 2,
    "dropout": 0.2,
    "attention_dropout": 0.3,
    "activation_dropout": 0.4,
    "activation": "swiglu",
    "normalization": "rms_norm",
    "layer_norm_epsilon": 1e-3,
    "normalize_first": True,
    "use_bias": False,
    "attention_chunk": 2,
    "attention_window": 3,
    "rematerialize": True,
    "stochastic_depth": 0.001,  # so little that no weight goes without a gradient in one step
}
ATTENTION = {
    "num_heads": 4,
    "key_dim": 3,
    "num_key_value_heads": 2,
    "output_dim": WIDTH,
    "dropout": 0.2,
    "attention_chunk": 2,
    "attention_window": 3,
    **PROJECTIONS,
}
OF_SELF_ATTENTION = ("attention_window",)
CASES = {
    "feed_forward": Case(
        "FeedForward", {"intermediate_dim": 12, "activation": "swiglu", "dropout": 0.2, **PROJECTIONS}
    ),
    "self_attention": Case("MultiHeadAttention", ATTENTION, {"query": vectors}, "padding_mask"),
    "cross_attention": Case(
        "MultiHeadAttention",
        {name: value for name, value in ATTENTION.items() if name not in OF_SELF_ATTENTION},
        {"query": vectors, "value": vectors},
        unused=OF_SELF_ATTENTION,
    ),
    "convolution": Case("LocalConvolution", {"window": 5, "dropout": 0.2}, mask_argument="padding_mask"),
    "dropout": Case("Dropout", {"rate": 0.2, "seed": 4}),
    "layer_normalization": Case("LayerNormalization", {"epsilon": 1e-4}),
    "pooling": Case("Pooling", {"kind": "attention"}, keeps_mask=False, pools=True),
    "position_embedding": Case("PositionEmbedding", {"max_length": 9}),
    "root_mean_square_scaling": Case("RootMeanSquareScaling", {"epsilon": 1e-3}),
    "sine_positions": Case("SinePositionEncoding", {"max_wavelength": 500.0}),
    "stochastic_depth": Case("StochasticDepth", {"rate": 0.2, "seed": 4}),
    "word_dropout": Case("WordDropout", {"rate": 0.2, "seed": 4}),
    "token_embedding": Case(
        "TokenEmbedding",
        {"vocabulary_size": 11, "embedding_dim": WIDTH, "scale": False, "mask_zero": True},
        {"inputs": token_ids},
    ),
    "encoder_block": Case("TransformerEncoderBlock", BLOCK, mask_argument="padding_mask"),
    "decoder_block": Case(
        "TransformerDecoderBlock",
        BLOCK,
        {"decoder_sequence": vectors, "encoder_sequence": vectors},
        "decoder_padding_mask",
    ),
    "decoder_only_block": Case("TransformerDecoderBlock", BLOCK, {"decoder_sequence": vectors}, "decoder_padding_mask"),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
every_policy = pytest.mark.parametrize("policy", POLICIES)


def array(x: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(x, "float32")))


def masked(x: np.ndarray, mask: np.ndarray) -> Any:
    """Returns a tensor with a Keras mask, as `Masking` or an embedding gives it."""
    gate = keras.layers.Masking(mask_value=99.0)
    return gate(np.where(mask[..., None], x, 99.0).astype("float32"))


def test_the_cases_cover_every_layer() -> None:
    assert {case.layer for case in CASES.values()} == set(layers.__all__)


@every_case
def test_no_case_leaves_an_argument_at_its_default(case: Case) -> None:
    parameters = inspect.signature(getattr(layers, case.layer).__init__).parameters
    defaults = {
        name: parameter.default for name, parameter in parameters.items() if name not in ("self", "args", "kwargs")
    }
    assert {*case.arguments, *case.unused} == set(block_arguments(case) or defaults)
    assert not [name for name, default in defaults.items() if case.arguments.get(name, ...) == default]


def block_arguments(case: Case) -> set[str]:
    """Returns the arguments of the class above a block, which hands them on."""
    parent = getattr(layers, case.layer).__mro__[1]
    return (
        set(inspect.signature(parent.__init__).parameters) - {"self", "kwargs"} if "Block" in parent.__name__ else set()
    )


@every_case
def test_the_config_is_complete(case: Case) -> None:
    layer = case.make("mixed_bfloat16", name="mine", trainable=False)
    config = json.loads(json.dumps(layer.get_config()))
    assert set(case.arguments) <= set(config)
    again = type(layer).from_config(config)
    assert again.get_config() == layer.get_config()
    assert (again.name, again.trainable, again.dtype_policy.name) == ("mine", False, "mixed_bfloat16")


@every_case
def test_from_config_gives_equal_outputs(case: Case) -> None:
    layer, values = case.make(), case.values()
    expected = layer(**values)
    again = type(layer).from_config(layer.get_config())
    again(**values)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(array(again(**values)), array(expected))


@every_case
def test_saved_and_loaded_in_a_model(case: Case, tmp_path: Path) -> None:
    model, values = case.model(), case.values()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(array(loaded(values)), array(model(values)))
    assert loaded.get_layer("layer").get_config() == model.get_layer("layer").get_config()


@every_case
@every_policy
def test_symbolic_and_eager_calls_agree(case: Case, policy: str) -> None:
    layer, values = case.make(policy), case.values()
    symbols = {name: keras.KerasTensor(value.shape, dtype=value.dtype.name) for name, value in values.items()}
    symbol, output = layer(**symbols), layer(**values)
    assert tuple(symbol.shape) == tuple(output.shape)
    assert keras.backend.standardize_dtype(symbol.dtype) == layer.compute_dtype
    assert keras.backend.standardize_dtype(output.dtype) == layer.compute_dtype
    assert layer.compute_dtype == policy.removeprefix("mixed_")
    assert np.isfinite(array(output)).all()
    assert {keras.backend.standardize_dtype(weight.dtype) for weight in layer.trainable_weights} <= {"float32"}


@every_case
@pytest.mark.parametrize("policy", POLICIES[1:])
def test_half_precision_is_near_float32(case: Case, policy: str) -> None:
    exact, half, values = case.make(), case.make(policy), case.values()
    expected = array(exact(**values))
    half(**values)
    half.set_weights(exact.get_weights())
    difference = np.abs(array(half(**values)) - expected).max()
    assert difference < (0.1 if policy == "mixed_bfloat16" else 0.02) * np.abs(expected).max()


@every_case
@every_policy
def test_one_training_step(case: Case, policy: str) -> None:
    model, values = case.model(policy), case.values()
    if not model.trainable_weights:
        assert case.layer in (
            "Dropout",
            "SinePositionEncoding",
            "RootMeanSquareScaling",
            "StochasticDepth",
            "WordDropout",
        )
        return
    before = [np.asarray(weight).copy() for weight in model.trainable_weights]
    model.compile(optimizer=keras.optimizers.SGD(1.0), loss="mse")
    # one batch: position layers answer [1, n, w]
    goal = np.zeros(model(values).shape, "float32")
    loss = model.train_on_batch(values, goal)
    assert np.isfinite(loss)
    for weight, old in zip(model.trainable_weights, before, strict=True):
        assert np.isfinite(np.asarray(weight)).all(), weight.path
        assert (np.asarray(weight) != old).any(), weight.path


@every_case
def test_one_model_takes_any_batch_and_length(case: Case) -> None:
    model = case.model()
    for batch, length in ((1, 1), (3, 4), (2, 7)):
        values = case.values(batch, length)
        output = array(model(values))
        assert output.shape[-2:] == ((batch if case.pools else length), WIDTH)
        if output.shape[0] == batch:  # a row does not depend on the rows beside it
            alone = model({name: value[-1:] for name, value in values.items()})
            np.testing.assert_allclose(output[-1:], array(alone), atol=1e-6)


@every_case
def test_keras_masks_propagate(case: Case) -> None:
    layer, values = case.make(), case.values()
    name, first = next(iter(values.items()))
    mask = np.array([[1, 1, 1, 0, 0], [1, 0, 0, 0, 0]], dtype=bool)
    values[name] = np.where(mask, first, 0).astype("int32") if first.ndim == 2 else masked(first, mask)
    output = layer(**values)
    found = getattr(output, "_keras_mask", None)
    if not case.keeps_mask:
        assert found is None
        return
    np.testing.assert_array_equal(np.asarray(found), mask)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.mask_argument])
@pytest.mark.parametrize("beside", ["alone", "beside another tensor"])
def test_a_keras_mask_is_a_padding_mask(name: str, beside: str) -> None:
    case = CASES[name]
    assert case.mask_argument
    layer, values = case.make(), case.values()
    first = next(iter(values))
    mask = np.array([[0, 1, 1, 0, 0], [1, 0, 1, 1, 0]], dtype=bool)  # not the end alone: causality hides that too
    values[first] = np.where(mask[..., None], values[first], 99.0)
    expected = layer(**values, **{case.mask_argument: mask})
    # another tensor among the arguments: Keras then names the mask after its argument
    others = {case.mask_argument: keras.ops.ones((2, 5), dtype="bool")} if beside != "alone" else {}
    output = layer(**{**values, first: masked(values[first], mask)}, **others)
    np.testing.assert_allclose(array(output)[mask], array(expected)[mask], atol=1e-6)
    assert np.abs(array(layer(**values)) - array(expected))[mask].max() > 1e-3  # the mask does something


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.mask_argument])
@every_policy
def test_a_fully_masked_row_gives_no_nan(name: str, policy: str) -> None:
    case = CASES[name]
    assert case.mask_argument
    layer, values = case.make(policy), case.values()
    mask = np.array([[0, 0, 0, 0, 0], [1, 1, 1, 0, 0]], dtype=bool)
    output = array(layer(**values, **{case.mask_argument: mask}))
    assert np.isfinite(output).all()
    beside = array(layer(**{key: value[1:] for key, value in values.items()}, **{case.mask_argument: mask[1:]}))
    np.testing.assert_allclose(output[1:], beside, atol=1e-6 if policy == "float32" else 0.05)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "dropout" in case.arguments])
def test_dropout_works_in_training_only(name: str) -> None:
    layer, values = CASES[name].make(), CASES[name].values()
    first = array(layer(**values, training=False))
    np.testing.assert_array_equal(first, array(layer(**values)))
    np.testing.assert_array_equal(first, array(layer(**values, training=False)))
    assert (array(layer(**values, training=True)) != array(layer(**values, training=True))).any()
