"""The largest batch that fits the memory, found by training a step or two of it in a process of its own.

A batch of the longest rows allowed is tried, for it needs the most: attention weights grow with the square of the
length. On a CPU two sizes are measured and the line through them is followed to the memory at hand; a trial that went
beyond it would stop the machine. On an accelerator sizes are tried from the top until one fits.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from keras_transformer._children import child_command
from keras_transformer.errors import UserError
from keras_transformer.training.config import TrainingConfig

# "Attention Is All You Need", section 5.1: larger batches cost training time more than they help.
MOST_TOKENS = 25_000
SHARE_OF_MEMORY = 0.8  # the rest is for what others do and for what was not measured
SMALLER = 0.7  # the next size that is tried on an accelerator
FIRST_TOKENS = 1024
GIB = 2**30


@dataclass
class Trial:
    """What is trained: a batch of `tokens` on either side, in rows of `longest`.

    Args:
        model: arguments of the model, the vocabulary size among them.
        training: a `TrainingConfig` as a dict.
        longest: tokens of a row.
        tokens: of the batch.
        model_class: the model, by its name in `keras_transformer.models`.
        adversarial: as `LabelObjective` has it, for a model that classifies: such a step needs twice the memory.
    """

    model: dict[str, Any]
    training: dict[str, Any]
    longest: int
    tokens: int
    model_class: str = "Seq2SeqTransformer"
    adversarial: float = 0.0


@dataclass
class Needed:
    """What a trial took.

    Attributes:
        device: "cpu", "gpu" or "tpu".
        peak: the most bytes of memory that the process had.
    """

    device: str
    peak: int


def fitting_batch_tokens(
    model: dict[str, Any],
    config: TrainingConfig,
    longest: int,
    say: Callable[[str], None],
    try_out: Callable[[Trial], Needed] | None = None,
    memory: int | None = None,
    model_class: str = "Seq2SeqTransformer",
    adversarial: float = 0.0,
) -> int:
    """Returns the most tokens on either side of a batch that fit the memory, up to `MOST_TOKENS`, and tells them.

    Args:
        model: arguments of the model.
        config: how to train.
        longest: tokens of the longest row that a batch may hold.
        say: takes a line for the user.
        try_out: trains a batch; default in a process of its own.
        memory: bytes at hand; default what the machine says.
        model_class: the model, by its name in `keras_transformer.models`.
        adversarial: see `Trial`.

    Raises:
        UserError: not even one row fits, or a training step fails for another reason.
    """
    try_out = try_out or in_a_process
    arguments = {**asdict(config), "batch_tokens": MOST_TOKENS}

    def trial(tokens: int) -> Needed:
        return try_out(Trial(model, arguments, longest, tokens, model_class, adversarial))

    first = max(FIRST_TOKENS, longest)
    needed = trial(first)
    if needed.device != "cpu":
        return _from_the_top(trial, needed.device, first, say)
    memory = available_memory() if memory is None else memory
    second = trial(4 * first)
    a_token = max((second.peak - needed.peak) / (3 * first), 1.0)
    without = needed.peak - first * a_token
    tokens = min(_round_down((SHARE_OF_MEMORY * memory - without) / a_token), MOST_TOKENS)
    if tokens < longest:
        raise UserError(
            f"batch_tokens auto: a batch of one row of {longest} tokens needs about "
            f"{(without + longest * a_token) / GIB:.1f} GiB, {memory / GIB:.1f} are free; train a smaller model, or "
            "shorter rows"
        )
    peak, free = (without + tokens * a_token) / GIB, memory / GIB
    say(f"batches of up to {tokens:,} tokens: about {peak:.1f} GiB of the {free:.1f} GiB of memory that are free")
    return tokens


def _from_the_top(trial: Callable[[int], Needed], device: str, smallest: int, say: Callable[[str], None]) -> int:
    """Returns the largest size that fits an accelerator; the smallest is known to."""
    tokens = max(MOST_TOKENS, smallest)
    while tokens > smallest:
        try:
            trial(tokens)
            break
        except UserError:
            tokens = max(_round_down(SMALLER * tokens), smallest)
    say(f"batches of up to {tokens:,} tokens fit the memory of the {device}")
    return tokens


def _round_down(tokens: float) -> int:
    """Returns a number that is easy to read."""
    step = 256 if tokens < 10_000 else 1000
    return int(tokens // step * step) or int(max(tokens, 0))


def in_a_process(trial: Trial) -> Needed:
    """Trains the batch in a process of its own, and returns what it took.

    Raises:
        UserError: it failed, most likely for want of memory.
    """
    command = child_command("keras_transformer.training.batch_trial")
    given = json.dumps(asdict(trial))
    done = subprocess.run(command, input=given, capture_output=True, encoding="utf-8", errors="replace")
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise UserError(f"batch_tokens auto: a step of {trial.tokens:,} tokens failed ({last:.200}); give a number")
    return Needed(**json.loads(done.stdout.splitlines()[-1]))


def available_memory() -> int:
    """Returns the bytes of memory that this process may still take: what is free, or what its container has left."""
    limits = [_free_memory()]
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        try:
            limits.append(int(Path(limit).read_text()) - int(Path(used).read_text()))
        except (OSError, ValueError):  # not in a container of this kind, or "max"
            continue
    return max(min(limits), 0)


def _free_memory() -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):  # not Linux: count on half of what there is
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
