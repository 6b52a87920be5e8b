"""Scores of summaries against references and documents. Needs neither Keras nor TensorFlow."""

from __future__ import annotations

import functools
import importlib.metadata
import re
from collections.abc import Sequence
from typing import Any

from keras_transformer.errors import UserError

ROUGE = ("rouge1", "rouge2", "rougeL", "rougeLsum")
LEAD = 3  # sentences
WORDS = ("latin", "unicode")
NOVEL = (1, 2, 3)  # lengths of n-grams whose novelty is told

# A sentence goes on before a small letter, and after titles and initials.
_END = re.compile(r"[.!?…][\"'”’)\]]*(?=\s+[^\sa-z])|[。！？]")
_NO_END = re.compile(r"\b(?:Mr|Ms|Mrs|Dr|St|Prof|vs|[A-Z])\.$")


def sentences_of(text: str) -> list[str]:
    """Returns the sentences of a text: they end at `.`, `!`, `?` and their like before white space, and with a line.

    Not before a small letter, nor after titles (Mr., Dr., ...) and single capitals.

    Example:
        ```python
        sentences_of("Mr. Smith is ill. He stays in bed.")  # ["Mr. Smith is ill.", "He stays in bed."]
        ```
    """
    found: list[str] = []
    for line in text.split("\n"):
        begin = 0
        for end in _END.finditer(line):
            if not _NO_END.search(line[begin : end.end()]):
                found.append(line[begin : end.end()])
                begin = end.end()
        found.append(line[begin:])
    return [sentence.strip() for sentence in found if sentence.strip()]


def lead(document: str, count: int = LEAD) -> str:
    """Returns the first sentences of a document, a sentence a line: the baseline that a summary has to beat."""
    return "\n".join(sentences_of(document)[:count])


class SummaryScorer:
    """Scores summaries of the same documents again and again.

    Args:
        references: the reference summaries of each document, one or more.
        documents: what is summed up; none means that nothing is said of the documents.
        words: what a word is to ROUGE. "latin": letters a to z and digits, lower-cased and stemmed (Porter), as
            published scores have it; every other letter parts words. "unicode": letters and digits of every script,
            lower-cased, not stemmed.

    Raises:
        UserError: there is no document, one has no reference, or the numbers differ.

    Example:
        ```python
        scorer = SummaryScorer([["The cat is ill."]], ["The cat is ill. It sleeps. It will not eat. Poor cat."])
        scorer.scores(["The cat is ill."])["rougeL"]  # 100.0
        ```
    """

    def __init__(
        self, references: Sequence[Sequence[str]], documents: Sequence[str] | None = None, words: str = "latin"
    ):
        if not references or (documents is not None and len(documents) != len(references)):
            count = "none" if documents is None else len(documents)
            raise UserError(f"scores want references for every document; received {len(references)} for {count}")
        for number, texts in enumerate(references, 1):
            if not texts:
                raise UserError(f"scores want a reference for every document; document {number} has none")
        self.references = references
        self.documents = documents
        self.words = words

    def scores(self, summaries: Sequence[str]) -> dict[str, Any]:
        """Returns the scores of summaries.

        Returns:
            rouge1, rouge2, rougeL, rougeLsum: ROUGE F1 (https://aclanthology.org/W04-1013), mean over the summaries,
                0 to 100; with several references the best one's counts. `rougeLsum` takes sentence by sentence.
            rouge_options: what these numbers depend on.
            exact_match: percent of summaries that equal a reference.
            summaries: how many.
            lead3: the four scores of each document's first three sentences.
            compression, reference_compression: words of a document for a word of its summary, the mean
                (https://aclanthology.org/N18-1065).
            novel_1grams, novel_2grams, novel_3grams: percent of a summary's n-grams that its document does not have,
                the mean (https://arxiv.org/abs/1704.04368, figure 6); and the same of the references, `reference_...`.

        Raises:
            UserError: the number of summaries is another.
        """
        if len(summaries) != len(self.references):
            raise UserError(f"{len(summaries)} summaries, but there are references for {len(self.references)}")
        pairs = zip(summaries, self.references, strict=True)
        found = {
            **self.rouge(summaries),
            "rouge_options": self.options,
            "exact_match": round(100 * sum(text in texts for text, texts in pairs) / len(summaries), 2),
            "summaries": len(summaries),
        }
        if self.documents is None:
            return found
        return {**found, "lead3": self.lead, **self._of_documents(summaries), **self._of_references}

    def rouge(self, summaries: Sequence[str]) -> dict[str, float]:
        """Returns the four ROUGE scores alone."""
        sums = dict.fromkeys(ROUGE, 0.0)
        for summary, references in zip(summaries, self._parted_references, strict=True):
            for name, score in self._scorer.score_multi(references, "\n".join(sentences_of(summary))).items():
                sums[name] += score.fmeasure
        return {name: round(100 * total / len(summaries), 2) for name, total in sums.items()}

    @property
    def options(self) -> str:
        """What the scores depend on, in the manner of sacreBLEU's signatures."""
        most = max(map(len, self.references))
        stemmer = "yes" if self.words == "latin" else "no"
        version = importlib.metadata.version("rouge-score")
        return f"nrefs:{most}|multi:best|measure:f1|words:{self.words}|stemmer:{stemmer}|version:rouge-score {version}"

    @functools.cached_property
    def lead(self) -> dict[str, float]:
        """The ROUGE scores of Lead-3."""
        return self.rouge([lead(document) for document in self.documents or ()])

    @functools.cached_property
    def _scorer(self) -> Any:
        from rouge_score.rouge_scorer import RougeScorer

        tokenizer = None if self.words == "latin" else _UnicodeWords()
        return RougeScorer(list(ROUGE), use_stemmer=self.words == "latin", tokenizer=tokenizer)

    @functools.cached_property
    def _parted_references(self) -> list[list[str]]:
        return [["\n".join(sentences_of(text)) for text in texts] for texts in self.references]

    @functools.cached_property
    def _of_references(self) -> dict[str, float]:
        found = self._of_documents([texts[0] for texts in self.references])
        return {f"reference_{name}": value for name, value in found.items()}

    def _of_documents(self, summaries: Sequence[str]) -> dict[str, float]:
        ratios: list[float] = []
        novel: dict[int, list[float]] = {size: [] for size in NOVEL}
        for document, summary in zip(self.documents or (), summaries, strict=True):
            words, of_summary = words_of(document), words_of(summary)
            if of_summary:
                ratios.append(len(words) / len(of_summary))
            for size, shares in novel.items():
                grams = _ngrams(of_summary, size)
                if grams:
                    known = set(_ngrams(words, size))
                    shares.append(sum(gram not in known for gram in grams) / len(grams))
        told = {f"novel_{size}grams": round(100 * _mean(shares), 2) for size, shares in novel.items()}
        return {"compression": round(_mean(ratios), 2), **told}


def words_of(text: str) -> list[str]:
    """Returns the words of a text: letters and digits of every script, lower-cased."""
    return re.findall(r"\w+", text.lower())


class _UnicodeWords:
    """A tokenizer as rouge-score wants one."""

    def tokenize(self, text: str) -> list[str]:
        return words_of(text)


def _ngrams(words: Sequence[str], size: int) -> list[tuple[str, ...]]:
    return list(zip(*(words[i:] for i in range(size)), strict=False))


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers) if numbers else 0.0
