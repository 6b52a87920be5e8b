"""Decoding speed of exported files against CTranslate2: same weights, same machine, same run, one thread each.

    python benchmarks/decode.py [--cases tiny base real batch sizes lengths] [--run RUN] [--repetitions 5]

Cases, batch 1 and one thread unless said otherwise:
    tiny, base  answers of 64 pieces to 48, from random weights whose answers never end by themselves: the whole call,
                bytes to bytes where CTranslate2 gets and gives pieces, and the decoder alone, which is the whole call
                less one that gives a single piece
    real        the first 200 test sentences of RUN, bytes to bytes: against CTranslate2 with our tokenizer in its NumPy
                form around it, and against CTranslate2 alone, on pieces that are ready
    batch       32 sentences at once, beam 4, float32, two threads: SavedModel and Keras, each on two halves of the
                batch side by side, answers of 64 pieces; with RUN its sentences too. On the wall clock always
    sizes       12 pieces in a file for sources of 256 bytes, against one for 64: the price of taking long texts
    lengths     time a piece for several lengths, the source being as long as the answer, from one file

Figures are medians over the repetitions; in each, all contenders have their turn. A ratio above 1 means that ours is
faster, but for the last two cases, where it is a growth; beside it stand the lowest and highest of single repetitions.
Steps are those that both searches were seen to make.

CTranslate2 is made to use AVX-512, which it would not choose on some processors; set CT2_FORCE_CPU_ISA where there is
none. It is installed with `pip install '.[ctranslate2]'`.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("CT2_FORCE_CPU_ISA", "AVX512")  # read when ctranslate2 is imported

from decode_contenders import Lite, Peer, Workshop, open_lite, take_turns
from decode_table import Row, Seconds, milliseconds, print_table, rate_row, ratios, sentence_row

from keras_transformer._quiet import quiet_tensorflow
from keras_transformer._threads import INTER, INTRA
from keras_transformer.errors import UserError
from keras_transformer.export.progress import Steps
from keras_transformer.training.run_directory import RunDirectory

VOCABULARY = {"tiny": 9_504, "base": 32_000}
SOURCE_PIECES, TARGET_PIECES = 48, 64
SHORT_SOURCE, SHORT_TARGET = 12, 14
LENGTHS = (16, 32, 64, 128, 256)
SENTENCES = 200
BATCH, THREADS = 32, 2
LIMITS = (256, 512)  # bytes of source and answer
SEARCHES = {1: "greedy", 4: "beam 4"}


class Bench(NamedTuple):
    """What every case needs."""

    workshop: Workshop
    repetitions: int
    clock: Callable[[], float]
    normalize_first: bool | None
    run: Path | None

    def turns(
        self, case: str, contenders: Mapping[str, Callable[[], object]], clock: Callable[[], float] | None = None
    ) -> dict[str, list[float]]:
        with self.workshop.steps.step(f"{case}: {self.repetitions} repetitions"):
            return take_turns(contenders, self.repetitions, clock or self.clock)

    def model(self, preset: str) -> dict[str, Any]:
        return {"preset": preset, "vocabulary_size": VOCABULARY[preset], "normalize_first": self.normalize_first}

    def sentences(self) -> list[bytes]:
        """Returns the run's test sentences that fit into a file."""
        assert self.run is not None
        pairs = RunDirectory(self.run).read_examples("test")[:SENTENCES]
        texts = [source.encode("utf-8", "surrogatepass") for source, _ in pairs]
        found = [text for text in texts if 0 < len(text) <= LIMITS[0]]
        if not found:
            raise UserError(f"{self.run} has no test sentence of 1 to {LIMITS[0]} bytes")
        return found


def main() -> None:
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as temporary:
        workshop, clock = Workshop(Path(arguments.keep or temporary), Steps()), CLOCKS[arguments.clock]
        bench = Bench(workshop, arguments.repetitions, clock, arguments.normalize_first, arguments.run)
        sections = [list(CASES[name](bench)) for name in arguments.cases]
    print_table(sections, arguments.repetitions, arguments.clock)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--cases", nargs="+", choices=CASES, help="default: all, real only with --run")
    add("--run", type=Path, metavar="RUN", help="directory of a trained run, for real and batch")
    add("--repetitions", type=int, default=5, metavar="N", help="default: 5")
    add("--normalize-first", action=argparse.BooleanOptionalAction, help="pre-norm or post-norm; default: the preset's")
    add("--clock", choices=CLOCKS, default="wall", help="processor: a thread's own time, for a machine that is busy")
    add("--keep", type=Path, metavar="DIR", help="keep converted files there for the next time; default: they go")
    arguments = parser.parse_args()
    if arguments.repetitions < 1:
        raise UserError(f"--repetitions is {arguments.repetitions}, expected 1 or more")
    if arguments.run:
        RunDirectory(arguments.run).check_trained()
    arguments.cases = arguments.cases or [name for name in CASES if name != "real" or arguments.run]
    if "real" in arguments.cases and not arguments.run:
        raise UserError("the case real needs a trained run; give its directory with --run")
    return arguments


# The cases


def tiny(bench: Bench) -> Iterator[Row]:
    for beam in SEARCHES:
        yield from fixed_length(bench, "tiny", beam, {"int8": "0.7, stretch 1.0"})


def base(bench: Bench) -> Iterator[Row]:
    yield from fixed_length(bench, "base", 1, {"int8": "1.5", "float32": "1.2"})
    yield from fixed_length(bench, "base", 4, {"int8": "1.0"})


def fixed_length(bench: Bench, preset: str, beam: int, goals: Mapping[str, str]) -> Iterator[Row]:
    """Answers of 64 pieces and of one, in files of as many precisions as there are goals."""
    model, source, wanted = bench.model(preset), digits(SOURCE_PIECES), (1, TARGET_PIECES)
    searches = [
        {"name": f"to_{length}", "beam": beam, "room": length, "source_pieces": SOURCE_PIECES} for length in wanted
    ]
    files = bench.workshop.lite(f"{preset}-beam-{beam}", model, searches, limits=LIMITS, precisions=tuple(goals))
    for precision, goal in goals.items():
        interpreter, peer = open_lite(files, precision), bench.workshop.peer(preset, model, precision)
        contenders = against_peer(interpreter, peer, beam, dict.fromkeys(wanted, source))
        case = f"{preset}, {SEARCHES[beam]}, {precision}"
        seconds = bench.turns(case, contenders)
        whole, one = (only(seconds, length) for length in (TARGET_PIECES, 1))
        yield rate_row(case, whole, TARGET_PIECES, goal)
        decoder = {name: [a - b for a, b in zip(whole[name], one[name], strict=True)] for name in whole}
        yield rate_row("  decoder alone", decoder, TARGET_PIECES - 1)


def real(bench: Bench) -> Iterator[Row]:
    """Sentences one at a time; a call of a contender goes through them all."""
    texts, model = bench.sentences(), {"run": str(bench.run)}
    searches = [{"name": search, "beam": beam} for beam, search in SEARCHES.items()]
    files = bench.workshop.lite("run", model, searches, limits=LIMITS, precisions=("int8", "float32"))
    for precision in ("int8", "float32"):
        interpreter, peer = open_lite(files, precision), bench.workshop.peer("run", model, precision)
        ready = [[peer.pieces(text)] for text in texts]
        for beam, search in SEARCHES.items():
            contenders = {
                "ours": partial(one_by_one, Lite(interpreter, search), texts),
                "bytes": partial(one_by_one, partial(peer.answer, beam=beam), texts),
                "pieces": partial(one_by_one, partial(peer.translate, beam=beam), ready),
            }
            steps = {"ours": contenders["ours"](), "peer": contenders["pieces"]()}
            case = f"{len(texts)} sentences, {search}, {precision}"
            seconds = bench.turns(case, contenders)
            goal = "0.7, stretch 1.0 if tiny" if precision == "int8" else ""
            for name in ("bytes", "pieces"):
                times = {"ours": seconds["ours"], "peer": seconds[name]}
                yield sentence_row(f"{case}; peer {name}", times, len(texts), steps, goal)


def batch(bench: Bench) -> Iterator[Row]:
    """Batches in TensorFlow on two threads."""
    os.environ.update({INTRA: "1", INTER: str(THREADS)})  # as `evaluate` has it
    quiet_tensorflow()
    fixed = [digits(SOURCE_PIECES, first) for first in range(BATCH)]
    yield from batches(bench, "base", bench.model("base"), [fixed], TARGET_PIECES)
    if bench.run:
        texts = sorted(bench.sentences(), key=len)
        texts = texts[: max(len(texts) // BATCH * BATCH, BATCH)]
        grouped = [texts[first : first + BATCH] for first in range(0, len(texts), BATCH)]
        yield from batches(bench, "run", {"run": str(bench.run)}, grouped, None)


def batches(
    bench: Bench, name: str, model: Mapping[str, Any], texts: Sequence[Sequence[bytes]], length: int | None
) -> Iterator[Row]:
    """Batches of texts, to answers of a length or to their own ends."""
    contenders, sentences = batch_contenders(bench, name, model, texts, length), sum(map(len, texts))
    if length:
        check_steps(contenders, dict.fromkeys(contenders, sentences * length))
    steps = {form: run() for form, run in contenders.items()}
    case = f"{name}, beam 4, float32, batch {BATCH}"
    seconds = bench.turns(case, contenders, time.perf_counter)
    for form in ("SavedModel", "Keras"):
        times = {"ours": seconds[form], "peer": seconds["peer"]}
        if length:
            yield rate_row(f"{case}: {form}", times, steps[form], "0.6")
        else:
            made = {"ours": steps[form], "peer": steps["peer"]}
            yield sentence_row(f"{case}: {form}", times, sentences, made, "0.6")


def batch_contenders(
    bench: Bench, name: str, model: Mapping[str, Any], texts: Sequence[Sequence[bytes]], length: int | None
) -> dict[str, Callable[[], int]]:
    """Returns SavedModel (strings to strings), Keras and the peer (pieces to pieces); they return their steps."""
    import tensorflow as tf
    from decode_make import load_model

    from keras_transformer.generation import SearchOptions

    search = SearchOptions(beam=4)
    request = {"beam": search.beam, "room": length} if length else {"beam": search.beam}
    folder = bench.workshop.make(f"{name}-saved-model", kind="saved_model", model=model, **request)
    predictor, peer = load_model(model), bench.workshop.peer(name, model, "float32", threads=THREADS)
    predictor.max_target_length = length or predictor.max_target_length
    predictor.batch_tokens = BATCH * search.beam * LIMITS[0]  # a part of a group is one batch
    loaded = tf.saved_model.load(folder / "saved_model")
    parts = [part for group in texts for part in parted(group)]
    strings = [tf.constant(part) for part in parts]
    ids = [[predictor.tokenizer.encode(text) for text in part] for part in parts]
    side_by_side = ThreadPoolExecutor(THREADS).map
    ready = [[peer.pieces(text) for text in group] for group in texts]

    def saved_model() -> int:
        found = side_by_side(lambda part: loaded.signatures["serving_default"](text=part)["length"].numpy(), strings)
        return sum(int((lengths + (lengths < predictor.max_target_length)).sum()) for lengths in found)

    def keras() -> int:
        found = side_by_side(lambda part: [answers[0] for answers in predictor.search(part, search)], ids)
        return sum(len(answer.ids) + answer.is_complete for answers in found for answer in answers)

    def translate() -> int:
        return sum(peer.translate(group, search.beam, length) for group in ready)

    return {"SavedModel": saved_model, "Keras": keras, "peer": translate}


def parted(group: Sequence[bytes]) -> list[Sequence[bytes]]:
    """Parts a batch for the threads, which work on its parts side by side."""
    size = -(-len(group) // THREADS)
    return [group[first : first + size] for first in range(0, len(group), size)]


def sizes(bench: Bench) -> Iterator[Row]:
    """The same sentence in two files."""
    source, rooms = digits(SHORT_SOURCE), (256, 64)
    searches = [
        {"name": search, "beam": beam, "length": SHORT_TARGET, "source_pieces": SHORT_SOURCE}
        for beam, search in SEARCHES.items()
    ]
    interpreters = {}
    for room in rooms:
        limits = (room, LIMITS[1])
        files = bench.workshop.lite(f"tiny-source-{room}", bench.model("tiny"), searches, limits=limits)
        interpreters[room] = open_lite(files, "int8")
    for search in SEARCHES.values():
        contenders = {str(room): partial(Lite(one, search), source) for room, one in interpreters.items()}
        check_steps(contenders, dict.fromkeys(contenders, SHORT_TARGET))
        case = f"tiny, {search}, int8: {SHORT_SOURCE} pieces, a file for 256 bytes against one for 64"
        seconds = bench.turns(case, contenders)
        long, short = (f"{milliseconds(seconds[str(room)]):.3f} ms" for room in rooms)
        growth = ratios({"ours": seconds["64"], "peer": seconds["256"]})
        yield Row(case, f"{long}, {short}", "", str(SHORT_TARGET), growth, "at most 1.3")


def lengths(bench: Bench) -> Iterator[Row]:
    """Answers of several lengths, each to a source of as many pieces, from one file."""
    for beam, search in SEARCHES.items():
        model, room = bench.model("tiny"), LENGTHS[-1] + 1
        searches = [
            {"name": f"to_{length}", "beam": beam, "room": room, "length": length, "source_pieces": length}
            for length in LENGTHS
        ]
        files = bench.workshop.lite(f"lengths-beam-{beam}", model, searches, limits=LIMITS)
        peer = bench.workshop.peer("tiny", model, "int8")
        contenders = against_peer(open_lite(files, "int8"), peer, beam, {length: digits(length) for length in LENGTHS})
        case = f"tiny, {search}, int8"
        seconds = bench.turns(f"{case}, lengths", contenders)
        a_piece = {
            length: {name: [one / length for one in times] for name, times in only(seconds, length).items()}
            for length in LENGTHS
        }
        for length, times in a_piece.items():
            ours, peers = (f"{milliseconds(times[name]):.4f} ms a piece" for name in ("ours", "peer"))
            yield Row(f"{case}: {length} pieces to {length}", ours, peers, str(length), ratios(times))
        doublings = [
            ratios({"ours": a_piece[length]["ours"], "peer": a_piece[2 * length]["ours"]}) for length in LENGTHS[:-1]
        ]
        yield Row(f"{case}: a piece at twice the length", "", "", "", max(doublings), "at most 2: linear")


CASES = {"tiny": tiny, "base": base, "real": real, "batch": batch, "sizes": sizes, "lengths": lengths}
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


# What they are made of


def digits(count: int, first: int = 0) -> bytes:
    """Returns a text of so many pieces: no learned piece of a random tokenizer has a digit."""
    return bytes(ord("0") + (first + place) % 10 for place in range(count))


def against_peer(interpreter: Any, peer: Peer, beam: int, sources: Mapping[int, bytes]) -> dict[str, Callable[[], int]]:
    """Returns contenders "ours N" and "peer N" for answers of N pieces to the source of that key, checked."""
    contenders: dict[str, Callable[[], int]] = {}
    for length, source in sources.items():
        contenders[f"ours {length}"] = partial(Lite(interpreter, f"to_{length}"), source)
        contenders[f"peer {length}"] = partial(peer.translate, [peer.pieces(source)], beam, length)
        check_steps(contenders, {f"ours {length}": length, f"peer {length}": length})
    return contenders


def one_by_one(translate: Callable[[Any], int], texts: Sequence[Any]) -> int:
    """Returns the steps of all texts together."""
    return sum(translate(text) for text in texts)


def check_steps(contenders: Mapping[str, Callable[[], int]], expected: Mapping[str, int]) -> None:
    """Raises RuntimeError unless each contender makes the steps that it is timed for."""
    for name, steps in expected.items():
        made = contenders[name]()
        if made != steps:
            raise RuntimeError(f"{name} made {made} steps, expected {steps}")


def only(seconds: Seconds, length: int) -> dict[str, Sequence[float]]:
    """Returns the times of answers of one length."""
    return {name: seconds[f"{name} {length}"] for name in ("ours", "peer")}


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
