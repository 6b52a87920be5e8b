"""Checks the folder that it lies in: every file by its SHA-256, then every model against golden.json.

    python verify.py [FOLDER]

Needs NumPy and ai-edge-litert, nothing else. Exit status 0: the folder is whole, and its models answer here as they
did where they were made; 1: not so, and the lines say what is wrong; 2: it was called wrongly, or a library is missing.

A float32 model must give every golden answer on the processor and with the LiteRT that golden.json was made with; on
another one two pieces of text may be as likely as each other to the last digit, which a few answers may hang on. A
quantised model rounds otherwise on another processor: of its answers at least the share must be the same that
golden.json names, which is what quantising itself left the same, less a twentieth.
"""

from __future__ import annotations

import sys

# Python puts the folder of a script first on the path: a numpy.py that somebody laid beside the models would run. `sys`
# is built in; everything else is imported after this.
if __name__ == "__main__" and not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
    del sys.path[0]

import base64
import hashlib
import importlib.metadata
import importlib.util
import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

MANIFEST, GOLDEN = "manifest.json", "golden.json"
FORMAT, VERSION = "keras-transformer artifact", 2  # folders of earlier versions are read too
THRESHOLD = 0.5  # where a text may have several labels, those of at least this probability
SHOWN = 5  # inputs with other answers, for each model
LIBRARIES = {"numpy": "numpy", "ai_edge_litert": "ai-edge-litert"}  # and what to install for each

Lines = list[str]


class Damage(ValueError):
    """A folder is not as export left it. The message is one line that names the file and the mismatch."""


def main(arguments: Sequence[str]) -> int:
    """Checks a folder, prints what was found, and returns the exit status."""
    if {"-h", "--help"} & set(arguments):
        print((__doc__ or "").strip())
        return 0
    folder = Path(arguments[0]) if arguments else Path(__file__).resolve().parent
    if wrong := _wrong_call(folder, arguments):
        print(wrong)
        return 2
    try:
        manifest = read_manifest(folder)
    except Damage as error:
        print(error)
        return 1
    damaged = {name: line for name in manifest["files"] if (line := damage_of(folder, name, manifest))}
    for line in damaged.values():
        print(line)
    if not damaged:
        print(f"{len(manifest['files'])} files are as {MANIFEST} says")
    if GOLDEN in damaged:
        return 1
    golden = json.loads((folder / GOLDEN).read_text(encoding="utf-8"))
    rows, notes = [], []
    for precision, entry in manifest["precisions"].items():
        row, said = _check_model(folder, manifest, golden, precision, entry["file"] in damaged)
        rows.append(row)
        notes += said
    _print_table([["file", "precision", "inputs", "same", "needed", "result"], *rows])
    if not notes:
        notes = ["every model answers as it must" + (", but the folder is not whole: see above" if damaged else "")]
    print("\n".join(notes))
    return int(bool(damaged or any(row[-1] != "ok" for row in rows)))


def _wrong_call(folder: Path, arguments: Sequence[str]) -> str:
    """Returns what keeps a check from being made, as a line, or an empty string."""
    if len(arguments) > 1:
        return f"expected one folder, got {len(arguments)}: {' '.join(arguments)}"
    if not folder.is_dir():
        return f"{folder} is no folder; give the one that export made"
    missing = [needed for name, needed in LIBRARIES.items() if importlib.util.find_spec(name) is None]
    return f"not installed here: {' and '.join(missing)}; pip install {' '.join(missing)}" if missing else ""


# The files


def read_manifest(folder: Path) -> dict[str, Any]:
    """Returns the content of a folder's manifest; raises `Damage` if it is missing, damaged or of a later version."""
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if "ctranslate2" in manifest["format"]:
            raise Damage(f"{folder} is for CTranslate2, it has no .tflite file: its README.md says how to run it")
        if _version(manifest["format"], path) > 1 and manifest["sha256"] != manifest_digest(manifest):
            raise ValueError("its content is not what its own sha256 was made of")
        for name, entry in manifest["files"].items():
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\\" in name:
                raise ValueError(f"it names a file outside of the folder, {name!r}")
            int(entry["bytes"]), str(entry["sha256"])
        for entry in manifest["precisions"].values():
            manifest["files"][entry["file"]]
    except Damage:
        raise
    except FileNotFoundError:
        raise Damage(f"{folder} is no artifact folder: it has no {MANIFEST}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damage(f"{path} is damaged: {type(error).__name__}: {error}; export the run again") from None
    return dict(manifest)


def _version(given: str, path: Path) -> int:
    """Returns the number of a format such as "keras-transformer artifact 2"."""
    name, _, number = given.rpartition(" ")
    if name != FORMAT or not number.isdecimal():
        raise Damage(f"{path}: format is {given!r}, expected {f'{FORMAT} {VERSION}'!r}: no folder that export made")
    if int(number) > VERSION:
        raise Damage(
            f"{path}: format is {given!r}, and up to {f'{FORMAT} {VERSION}'!r} is known here: take the "
            "folder's own verify.py, or a later keras-transformer"
        )
    return int(number)


def manifest_digest(manifest: Mapping[str, Any]) -> str:
    """Returns the SHA-256 of a manifest without its own: of its JSON with sorted keys and without spaces."""
    others = {name: value for name, value in manifest.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(others, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def damage_of(folder: Path, name: str, manifest: Mapping[str, Any]) -> str:
    """Returns in what a file is not as the manifest says, as a line, or an empty string."""
    path, entry = folder / name, manifest["files"][name]
    try:
        size, found = path.stat().st_size, digest(path)
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}; {_mend(name)}"
    if size != entry["bytes"]:
        mismatch = f"{size:,} bytes, not {entry['bytes']:,}"
    elif found != entry["sha256"]:
        mismatch = f"SHA-256 {found[:12]}..., not {entry['sha256'][:12]}..."
    else:
        return ""
    return f"{path} is damaged: it is not the file that {MANIFEST} describes ({mismatch}); {_mend(name)}"


def _mend(name: str) -> str:
    """Returns what to do about a file that is damaged or missing."""
    return "`keras-transformer web` renews it" if PurePosixPath(name).parts[0] == "web" else "export the run again"


def digest(path: Path) -> str:
    """Returns the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        found = hashlib.sha256()
        while chunk := file.read(1 << 20):
            found.update(chunk)
    return found.hexdigest()


# The models


def where() -> dict[str, str]:
    """Returns what the rounding of numbers hangs on: the processor with its features, and the version of LiteRT."""
    features = " ".join(sorted((_cpuinfo("flags") or _cpuinfo("Features")).split()))
    return {
        "processor": processor(),
        "features": hashlib.sha256(features.encode()).hexdigest()[:16],
        "ai-edge-litert": importlib.metadata.version("ai-edge-litert"),
    }


def processor() -> str:
    """Returns the processor's name as the system gives it."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _cpuinfo(name: str) -> str:
    """Returns the first value of that name that Linux has for its processors, or an empty string."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def least_share(rule: Mapping[str, float], made_on: Mapping[str, str]) -> float:
    """Returns the share of golden answers that a model must give here."""
    return rule["share"] if where() == dict(made_on) else rule["share_elsewhere"]


def _check_model(
    folder: Path, manifest: Mapping[str, Any], golden: Mapping[str, Any], precision: str, is_damaged: bool
) -> tuple[Lines, Lines]:
    """Returns a row of the table, and lines about what is wrong."""
    from ai_edge_litert.interpreter import Interpreter

    name, inputs = manifest["precisions"][precision]["file"], golden["inputs"]
    rule = golden["rules"][precision]
    needed = round(len(inputs) * least_share(rule, golden["made_on"]))
    row = [name, precision, str(len(inputs))]
    if is_damaged:
        return [*row, "-", str(needed), "damaged"], [f"{name} was not run"]
    try:
        runner = Interpreter(model_path=str(folder / name), num_threads=1).get_signature_runner(manifest["signature"])
        found = [run(runner, base64.b64decode(entry["base64"])) for entry in inputs]
    except (ValueError, RuntimeError, KeyError) as error:
        return [*row, "-", str(needed), "fails"], [f"{name} does not run: {str(error).splitlines()[0]}"]
    notes = []
    unsound = [entry["kind"] for entry, one in zip(inputs, found, strict=True) if not is_sound(one)]
    if unsound:
        notes.append(f"{name}: no sound answer to {_listed(unsound)}")
    wanted = [entry["answers"][precision] for entry in inputs]
    same = [is_same(one, answer, manifest, rule["tolerance"]) for one, answer in zip(found, wanted, strict=True)]
    if sum(same) < needed:
        other = [entry["kind"] for entry, is_golden in zip(inputs, same, strict=True) if not is_golden]
        notes.append(f"{name}: other answers to {_listed(other)}")
    return [*row, str(sum(same)), str(needed), "not ok" if notes else "ok"], notes


def _listed(kinds: Sequence[str]) -> str:
    return ", ".join([*kinds[:SHOWN], *(["..."] if len(kinds) > SHOWN else [])])


def run(runner: Any, source: bytes) -> dict[str, Any]:
    """Calls a model: the first bytes of a text, as many as fit, with the number of all."""
    import numpy as np

    room = int(runner.get_input_details()["text"]["shape"][1])
    text = np.zeros((1, room), np.uint8)
    text[0, : len(source[:room])] = list(source[:room])
    return dict(runner(text=text, text_length=np.array([len(source)], np.int32)))


def is_sound(found: Mapping[str, Any]) -> bool:
    """Returns whether an answer is one at all: numbers that are finite, lengths that fit."""
    import numpy as np

    if "text" in found and not 0 <= found["text_length"][0] <= found["text"].shape[1]:
        return False
    if "words" in found and not 0 <= found["words"][0] <= found["starts"].shape[1]:
        return False
    return all(np.isfinite(value).all() for value in found.values() if value.dtype == np.float32)


def is_same(found: Mapping[str, Any], wanted: Mapping[str, Any], manifest: Mapping[str, Any], tolerance: float) -> bool:
    """Returns whether an answer is the golden one; numbers may be off by the tolerance, absolute and relative."""
    import numpy as np

    if int(found["status"][0]) != wanted["status"]:
        return False
    if "text" in found:
        return bool(found["text"][0, : found["text_length"][0]].tobytes() == base64.b64decode(wanted["base64"]))
    names = manifest["labels"]
    if "starts" in found:
        count = int(found["words"][0])
        tags = [names[label] for label in found["labels"][0, :count]]
        words = [[int(found[side][0, word]) for side in ("starts", "ends")] for word in range(count)]
        return bool(tags == wanted["tags"] and words == wanted["words"])
    numbers = found["values" if "values" in found else "probabilities"][0]
    chosen = np.zeros(len(names), bool) if manifest["kind"] == "regression" else numbers >= THRESHOLD
    if manifest["kind"] == "single":
        chosen = np.arange(len(names)) == numbers.argmax()
    labels = {name for name, is_chosen in zip(names, chosen, strict=True) if is_chosen}
    near = np.allclose(numbers, wanted["probabilities"], rtol=tolerance, atol=tolerance)
    return bool(near and labels == set(wanted["labels"]))


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
