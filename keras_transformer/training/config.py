"""What every recipe can set about its model and its training."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, TypeVar

from keras_transformer.errors import close_matches, refuse_unless
from keras_transformer.models.presets import preset_config
from keras_transformer.training.panels_config import TensorBoardConfig

Config = TypeVar("Config", bound="BlocksConfig")

# What a model has where neither the user nor the preset says anything.
MODEL_DEFAULTS: dict[str, Any] = {
    "num_key_value_heads": None,
    "dropout": 0.1,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
    "activation": "relu",
    "normalization": "layer_norm",
    "normalize_first": False,
    "attention_chunk": None,
    "attention_window": None,
    "rematerialize": False,
    "stochastic_depth": 0.0,
    "copy": False,
}

SCHEDULES = ("inverse_square_root", "cosine", "linear", "constant")
QUANTIZE = ("int8", "int4")  # as quantization.GRIDS, which wants NumPy
OPTIMIZERS = ("adam", "adamw", "lion", "adafactor")
NO_WEIGHT_DECAY = ("*/bias", "*norm*", "*embedding*")  # vectors, and the matrix that is looked up row by row
ADAMW_WEIGHT_DECAY = 0.01


@dataclass
class BlocksConfig:
    """The blocks of a model: a preset, and whatever is to differ from it.

    Args:
        preset: tiny, small, base or big.
        num_encoder_layers: blocks of the encoder.
        hidden_dim: width of the model.
        intermediate_dim: width inside the feed-forward networks.
        num_heads: attention heads.
        num_key_value_heads: key and value heads, for grouped-query attention; none means as many as heads.
        dropout: rate of dropout on embeddings and on every sublayer's output.
        attention_dropout: rate of dropout on attention weights.
        activation_dropout: rate of dropout inside the feed-forward networks.
        activation: relu, gelu or swiglu.
        normalization: layer_norm or rms_norm.
        normalize_first: pre-norm if true, post-norm if false.
        attention_chunk: attend to so many keys at a time, 256 for one: the same answers, with memory linear in the
            length of texts; none attends to all at once, which is faster for short ones.
        attention_window: pieces on either side that a piece of the text sees in the encoder, 128 for one: memory and
            time linear in the length of texts; none means all of the text.
        rematerialize: compute each block again on the way back of a training step, for less memory and more time.
        stochastic_depth: probability that a sentence passes a sublayer of the last block by in training; less in the
            blocks before it.
    """

    preset: str = "tiny"
    num_encoder_layers: int | None = None
    hidden_dim: int | None = None
    intermediate_dim: int | None = None
    num_heads: int | None = None
    num_key_value_heads: int | None = None
    dropout: float | None = None
    attention_dropout: float | None = None
    activation_dropout: float | None = None
    activation: str | None = None
    normalization: str | None = None
    normalize_first: bool | None = None
    attention_chunk: int | None = None
    attention_window: int | None = None
    rematerialize: bool | None = None
    stochastic_depth: float | None = None

    def __post_init__(self) -> None:
        preset_config(self.preset)
        refuse_unless(
            self.activation in (None, "relu", "gelu", "swiglu"), "activation", self.activation, "relu, gelu or swiglu"
        )
        refuse_unless(
            self.normalization in (None, "layer_norm", "rms_norm"),
            "normalization",
            self.normalization,
            "layer_norm or rms_norm",
        )
        for name in ("dropout", "attention_dropout", "activation_dropout", "stochastic_depth"):
            self._check_rate(name)
        for name in (
            "num_encoder_layers",
            "hidden_dim",
            "intermediate_dim",
            "num_heads",
            "num_key_value_heads",
            "attention_chunk",
            "attention_window",
        ):
            self._check_count(name)
        numbers = self.arguments()
        heads, groups = numbers["num_heads"], numbers["num_key_value_heads"]
        refuse_unless(
            numbers["hidden_dim"] % heads == 0, "hidden_dim", numbers["hidden_dim"], f"a multiple of num_heads, {heads}"
        )
        refuse_unless(
            groups is None or heads % groups == 0, "num_key_value_heads", groups, f"a divisor of num_heads, {heads}"
        )

    def _check_rate(self, name: str) -> None:
        rate = getattr(self, name)
        refuse_unless(rate is None or 0 <= rate < 1, name, rate, "at least 0 and less than 1")

    def _check_count(self, name: str) -> None:
        count = getattr(self, name)
        refuse_unless(count is None or count > 0, name, count, "1 or more")

    def arguments(self) -> dict[str, Any]:
        """Returns the arguments of the model: the user's, else the preset's, else the default."""
        names = [field.name for field in fields(self) if field.name != "preset"]
        chosen = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        numbers = {**MODEL_DEFAULTS, **preset_config(self.preset), **chosen}
        return {name: value for name, value in numbers.items() if name in names}

    def resolved(self: Config) -> Config:
        """Returns the config with every number written out."""
        return replace(self, **self.arguments())


@dataclass
class ModelConfig(BlocksConfig):
    """An encoder-decoder: a preset, and whatever is to differ from it.

    Args:
        num_decoder_layers: blocks of the decoder.
        copy: whether pieces of the source can be copied as they stand (pointer-generator), for names and numbers.
    """

    num_decoder_layers: int | None = None
    copy: bool | None = None

    def __post_init__(self) -> None:
        self._check_count("num_decoder_layers")
        super().__post_init__()


@dataclass
class EncoderConfig(BlocksConfig):
    """An encoder: a preset, and whatever is to differ from it.

    Args:
        word_dropout: probability that a piece of a text loses its embedding in training.
        embedding_dropout: probability that a piece of the vocabulary does, wherever in a batch it stands.
        convolution: how many pieces are seen together before any attention, an odd number such as 3: it helps where
            neighbours matter and there is little to learn from; 0 is off.
    """

    word_dropout: float = 0.0
    embedding_dropout: float = 0.0
    convolution: int = 0

    def __post_init__(self) -> None:
        for name in ("word_dropout", "embedding_dropout"):
            self._check_rate(name)
        odd = self.convolution == 0 or (self.convolution >= 3 and self.convolution % 2 == 1)
        refuse_unless(odd, "model.convolution", self.convolution, "0 or an odd number of 3 or more")
        super().__post_init__()


WARMUP_STEPS = 1000  # unless the training is short


@dataclass
class TrainingConfig:
    """How the model is trained.

    Args:
        steps: updates of the weights.
        minutes: stop after so many minutes of training, evaluations included; none means no limit.
        batch_tokens: the most tokens on either side of a batch, padding included; auto finds what fits the memory, at
            most 25,000.
        length_multiple: lengths in a batch are rounded up to a multiple of this, and batches filled up with padding, so
            that XLA has few shapes to compile; 1 has the least padding; none means 1 with TensorFlow, else 8.
        curriculum_steps: steps until sentences of all lengths are in: training begins with the shortest; 0 means from
            the start.
        piece_dropout: probability of refusing the longest piece where a training text is cut into pieces, which are
            others then in every epoch (MaxMatch-dropout): 0.1 does well with little data.
        accumulate: batches whose gradients are added up for one update, each token of them counting the same: as many
            times larger batches in the same memory.
        r_drop: R-Drop's alpha: every sentence is computed twice with other dropout, and what the two predict is drawn
            together; 0 is off, 5 does well for translation and takes twice the time for a step.
        learning_rate: highest learning rate.
        warmup_steps: steps until it is reached; none means 1,000, or a quarter of the steps where that is less; in a
            run that is resumed, as before.
        schedule: how it goes on from there: inverse_square_root (of the step), cosine or linear (down to
            final_learning_rate at the last of the steps: a training that minutes end stops on the way down), or
            constant.
        final_learning_rate: where cosine and linear end, as a share of learning_rate.
        optimizer: adam; adamw (adam with weight decay); lion (wants a learning_rate 3 to 10 times smaller); adafactor
            (least memory; its learning_rate is a share of the size of the weights).
        weight_decay: share of each weight taken off at every step, times the learning rate; none means 0.01 with
            adamw, else 0. It needs an optimizer other than adam.
        no_weight_decay: patterns of the weights that do not decay, by their paths, such as */bias.
        freeze: patterns of weights or layers that stay as they are drawn, such as token_embedding or encoder_*.
        label_smoothing: share of the target distribution spread over the vocabulary.
        clip_norm: gradients with a larger global norm are scaled down to it; none leaves them as they are.
        beta_2: Adam's decay of the second moment.
        averaging: decay of an exponential moving average of the weights, which is what is evaluated and kept; none
            uses the weights as they are.
        average_last: evaluate and keep the mean of the weights at the last so many checkpoints, checkpoint_every steps
            apart, the weights as they are among them; none does not. It needs averaging none.
        step_back: times that a training which diverges goes back to its last checkpoint, or to the one before if that
            was bad already, and on with half the learning rate; 0 ends it instead.
        deterministic: the same seed gives the same weights to the last bit, on the same machine; slower on a GPU, at
            no cost on a CPU.
        quantize: int8 or int4: weights are rounded in every step as an exported file of so many bits has them, and the
            model learns to do with them; none trains as usual. See `keras-transformer quantize-train`.
        dtype_policy: float32, mixed_bfloat16 or mixed_float16.
        devices: of this host that train together, each on a part of every batch: GPUs where there are any, else CPUs;
            all takes as many as there are.
        hosts: that train together, each a part of every batch, with KERAS_BACKEND=jax: their addresses, that of the
            first with a port, such as 10.0.0.1:9876 10.0.0.2; none in the list means this one alone.
        host: which of the hosts this one is, from 0; the one thing that differs between their commands.
        evaluate_every: steps between evaluations on the validation set.
        checkpoint_every: steps between checkpoints.
        patience: stop after so many evaluations without a better score; none means never.
        seed: of weights, dropout and the order of the data.
        tensorboard: what TensorBoard shows besides curves and samples.
    """

    steps: int = 4000
    minutes: float | None = None
    batch_tokens: int | Literal["auto"] = 4096
    length_multiple: int | None = None
    curriculum_steps: int = 0
    piece_dropout: float = 0.0
    accumulate: int = 1
    r_drop: float = 0.0
    learning_rate: float = 2e-3
    warmup_steps: int | None = None
    schedule: str = "inverse_square_root"
    final_learning_rate: float = 0.0
    optimizer: str = "adam"
    weight_decay: float | None = None
    no_weight_decay: list[str] = field(default_factory=lambda: list(NO_WEIGHT_DECAY))
    freeze: list[str] = field(default_factory=list)
    label_smoothing: float = 0.1
    clip_norm: float | None = 1.0
    beta_2: float = 0.98
    averaging: float | None = 0.999
    average_last: int | None = None
    step_back: int = 0
    deterministic: bool = False
    quantize: str | None = None
    dtype_policy: str = "float32"
    devices: int | Literal["all"] = 1
    hosts: list[str] = field(default_factory=list)
    host: int = 0
    evaluate_every: int = 500
    checkpoint_every: int = 250
    patience: int | None = None
    seed: int = 0
    tensorboard: TensorBoardConfig = field(default_factory=TensorBoardConfig)

    def __post_init__(self) -> None:
        refuse_unless(self.quantize in (None, *QUANTIZE), "quantize", self.quantize, "int8 or int4, or none")
        policies = ("float32", "mixed_bfloat16", "mixed_float16")
        refuse_unless(self.dtype_policy in policies, "dtype_policy", self.dtype_policy, f"one of {', '.join(policies)}")
        refuse_unless(
            0 <= self.label_smoothing < 1, "label_smoothing", self.label_smoothing, "at least 0 and less than 1"
        )
        self._check_optimizer()
        refuse_unless(self.learning_rate > 0, "learning_rate", self.learning_rate, "more than 0")
        refuse_unless(0 < self.beta_2 < 1, "beta_2", self.beta_2, "more than 0 and less than 1")
        averaging = self.averaging
        refuse_unless(averaging is None or 0 < averaging < 1, "averaging", averaging, "more than 0 and less than 1")
        self._check_average_last()
        refuse_unless(self.step_back >= 0, "step_back", self.step_back, "0 or more")
        tokens = self.batch_tokens
        refuse_unless(tokens == "auto" or tokens > 0, "batch_tokens", tokens, "1 or more, or auto")
        refuse_unless(self.devices == "all" or self.devices > 0, "devices", self.devices, "1 or more, or all")
        self._check_hosts()
        for name in ("steps", "accumulate", "evaluate_every", "checkpoint_every"):
            refuse_unless(getattr(self, name) > 0, name, getattr(self, name), "1 or more")
        refuse_unless(self.curriculum_steps >= 0, "curriculum_steps", self.curriculum_steps, "0 or more")
        refuse_unless(0 <= self.piece_dropout < 1, "piece_dropout", self.piece_dropout, "at least 0 and less than 1")
        for name in ("minutes", "clip_norm", "patience", "length_multiple"):
            value = getattr(self, name)
            refuse_unless(value is None or value > 0, name, value, "more than 0, or none")
        refuse_unless(
            (self.length_multiple or 1) <= 2**20, "length_multiple", self.length_multiple, "at most 1,048,576"
        )
        refuse_unless(self.r_drop >= 0, "r_drop", self.r_drop, "0 or more")
        refuse_unless(0 <= self.seed < 2**32, "seed", self.seed, "0 or more, and less than 2 to the power of 32")
        refuse_unless(self.warm_up() > 0, "warmup_steps", self.warmup_steps, "1 or more")
        expected = f"at most the {self.steps} steps of the training, or it ends before the learning rate is reached"
        refuse_unless(self.warm_up() <= self.steps, "warmup_steps", self.warmup_steps, expected)

    def _check_hosts(self) -> None:
        hosts, most = self.hosts, max(len(self.hosts) - 1, 0)
        refuse_unless(len(hosts) != 1, "hosts", hosts, "two or more, or none")
        port = hosts[0].rpartition(":")[2] if hosts and ":" in hosts[0] else ""
        is_port = re.fullmatch("[0-9]{1,5}", port) is not None and 0 < int(port) < 2**16
        refuse_unless(not hosts or is_port, "hosts", hosts, "the first with a port, such as 10.0.0.1:9876")
        wanted = f"0 to {most}, for there are {len(hosts)} hosts" if hosts else "0, for there are no hosts"
        refuse_unless(0 <= self.host <= most, "host", self.host, wanted)
        auto = bool(hosts) and self.batch_tokens == "auto"
        refuse_unless(not auto, "batch_tokens", self.batch_tokens, "a number with several hosts")

    def _check_average_last(self) -> None:
        last = self.average_last
        refuse_unless(last is None or last > 0, "average_last", last, "1 or more, or none")
        wanted = f"none with averaging {self.averaging}: set averaging none to average checkpoints instead"
        refuse_unless(last is None or self.averaging is None, "average_last", last, wanted)

    def _check_optimizer(self) -> None:
        for name, known in (("schedule", SCHEDULES), ("optimizer", OPTIMIZERS)):
            given = getattr(self, name)
            refuse_unless(given in known, name, given, f"one of {', '.join(known)}.{close_matches(given, known)}")
        share = self.final_learning_rate
        refuse_unless(0 <= share <= 1, "final_learning_rate", share, "0 to 1, a share of learning_rate")
        decay = self.decay()
        refuse_unless(decay >= 0, "weight_decay", decay, "0 or more")
        wanted = "0 with optimizer adam; adamw is adam with weight decay"
        refuse_unless(decay == 0 or self.optimizer != "adam", "weight_decay", decay, wanted)

    def warm_up(self) -> int:
        """Returns the steps of the warm-up: the user's, else the default."""
        return min(WARMUP_STEPS, max(self.steps // 4, 1)) if self.warmup_steps is None else self.warmup_steps

    def decay(self) -> float:
        """Returns the weight decay: the user's, else the optimizer's."""
        if self.weight_decay is not None:
            return self.weight_decay
        return ADAMW_WEIGHT_DECAY if self.optimizer == "adamw" else 0.0
