"""Scores of generated text against references."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras_transformer.errors import UserError


def translation_scores(outputs: Sequence[str], references: Sequence[str], tokenized: bool = False) -> dict[str, Any]:
    """Returns corpus scores by sacreBLEU (https://aclanthology.org/W18-6319), 0 to 100.

    Args:
        outputs, references: one text each a sentence.
        tokenized: whether the texts are tokenised already: BLEU then takes the words as they stand ("tokenised BLEU"),
            and is not comparable with BLEU on plain text.

    Returns: `bleu`, `bleu_signature`, `length_ratio` (words of the outputs for one of the references, counted as BLEU
        does; below 1, BLEU is lowered by its brevity penalty), `chrf`, `chrf_signature`, `exact_match` (share of equal
        texts, in percent), `sentences`.

    Raises:
        UserError: there is no sentence, or the numbers differ.

    Example:
        ```python
        translation_scores(["ein Haus"], ["ein Haus"])["exact_match"]  # 100.0
        ```
    """
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    if not references or len(outputs) != len(references):
        raise UserError(f"scores want as many outputs as references; received {len(outputs)} and {len(references)}")
    bleu = BLEU(tokenize="none" if tokenized else "13a", force=tokenized)
    chrf = CHRF()
    found = bleu.corpus_score(list(outputs), [list(references)])
    equal = sum(output == reference for output, reference in zip(outputs, references, strict=True))
    return {
        "bleu": round(found.score, 2),
        "bleu_signature": str(bleu.get_signature()),
        "length_ratio": round(found.ratio, 3),
        "chrf": round(chrf.corpus_score(list(outputs), [list(references)]).score, 2),
        "chrf_signature": str(chrf.get_signature()),
        "exact_match": round(100 * equal / len(references), 2),
        "sentences": len(references),
    }
