"""PyTorch's `nn.Transformer` as a contender, see `train_worker.py`.

Shapes: b rows, s source length, t target length.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import nn
from train_cases import PAD_ID, Case, full_batches
from train_worker import Moment, Turn


class Translator(nn.Module):
    """`nn.Transformer` with embeddings, learned positions, a tied output and the loss.

    Args:
        case: its sizes.
    """

    def __init__(self, case: Case):
        super().__init__()
        sizes = case.model_arguments()
        width, dropout = sizes["hidden_dim"], sizes["dropout"]
        self.scale = math.sqrt(width)
        self.smoothing = case.training_config().label_smoothing
        self.embedding = nn.Embedding(case.vocabulary_size, width, padding_idx=PAD_ID)
        nn.init.normal_(self.embedding.weight, std=width**-0.5)
        self.positions = nn.Parameter(torch.randn(case.length, width) * 0.02)
        self.dropout = nn.Dropout(dropout)
        self.transformer = nn.Transformer(
            width,
            sizes["num_heads"],
            sizes["num_encoder_layers"],
            sizes["num_decoder_layers"],
            sizes["intermediate_dim"],
            dropout,
            batch_first=True,
        )
        for module in self.transformer.modules():
            # the blocks have one rate for everything; where ours has no dropout it has none, and so it is faster
            if isinstance(module, nn.MultiheadAttention):
                module.dropout = sizes["attention_dropout"]
            if isinstance(module, nn.TransformerEncoderLayer | nn.TransformerDecoderLayer):
                module.dropout.p = sizes["activation_dropout"]

    def forward(self, source: torch.Tensor, target: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Returns the loss of `source [b, s]`, `target [b, t]` and `labels [b, t]`."""
        length = target.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool).triu(1)
        padding = source == PAD_ID
        hidden = self.transformer(
            self._embedded(source),
            self._embedded(target),
            tgt_mask=causal,
            src_key_padding_mask=padding,
            memory_key_padding_mask=padding,
            tgt_is_causal=True,
        )
        logits = nn.functional.linear(hidden, self.embedding.weight)
        return nn.functional.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), ignore_index=PAD_ID, label_smoothing=self.smoothing
        )

    def _embedded(self, ids: torch.Tensor) -> torch.Tensor:
        return self.dropout(self.embedding(ids) * self.scale + self.positions[: ids.shape[1]])


def train(case: Case, compiled: bool) -> Callable[[float], Turn]:
    """Trains on full batches with Adam, in one pass over all parameters where PyTorch has that; no clipping."""
    torch.manual_seed(0)
    model = Translator(case)
    loss_of = torch.compile(model) if compiled else model
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, betas=(0.9, 0.98), eps=1e-9, fused=True)
    batches = [
        tuple(torch.from_numpy(ids).long() for ids in (inputs["source_ids"], inputs["target_ids"], labels))
        for inputs, labels in full_batches(case)
    ]

    def step(number: int) -> None:
        optimizer.zero_grad(set_to_none=True)
        lower = case.policy == "mixed_bfloat16"
        with torch.autocast("cpu", torch.bfloat16) if lower else nullcontext():
            loss = loss_of(*batches[number % len(batches)])
        loss.backward()
        optimizer.step()

    def turn(seconds: float) -> Turn:
        step(0)
        start, made = Moment.now(), 0
        while time.perf_counter() - start.wall < seconds:
            made += 1
            step(made)
        return start.turn(Moment.now(), made * case.rows * case.length)

    return turn
