"""What the README of an artifact folder says of a model that tags words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from keras_transformer.export.snippets import javascript, kotlin
from keras_transformer.export.task import Page

ABOUT = """
A model that $does: UTF-8 bytes in, words and their labels out. The tokenizer is inside, and every operator is one of
TensorFlow Lite's own, so that the `.tflite` files run on any LiteRT runtime (Android, iOS, C++, Python, web pages) as
they are.
"""

GOLDEN = (
    "Give each input's first max_source_bytes bytes and, as text_length, all its bytes. An answer is the same if its "
    "tags, places and status are; a quantised file may round otherwise on another runtime and give a word another tag."
)

AGREEMENT = "Agreement: sentences to all of whose words a file gives the labels that Keras gives, and float32."

CASES = """
- **Empty text** (`text_length` 0), or nothing but spaces: no words.
- **Long text**: give its first $max_source_bytes bytes and its whole `text_length`; it is read as cut there, and
  `status` has 1. The model reads at most $max_source_pieces pieces (a piece is a word or part of one), as it was
  trained to: words behind them have the label `O`, and `status` has 8. There is room for $max_words words: the rest is
  left out, and `status` has 4.
- **Malformed text** (no UTF-8, NUL bytes): never an error; every byte has a piece of its own.
- **A negative length**: taken as 0, and `status` has 32.
"""

SAVED_MODEL = """
Takes string tensors of any batch size, each cut at $max_source_bytes bytes. All its operators are TensorFlow's own.

```python
import tensorflow as tf

model = tf.saved_model.load("saved_model").signatures["serving_default"]
found = model(text=tf.constant(["$example"]))
print(found["labels"].numpy()[0, : found["words"].numpy()[0]])
```

From a shell:

```sh
saved_model_cli run --dir saved_model --tag_set serve --signature_def $signature \\
  --input_exprs 'text=["$example"]'
```
"""

PYTHON = """
import zipfile

import numpy as np
from ai_edge_litert.interpreter import Interpreter

$signature = Interpreter("$file").get_signature_runner("$signature")
labels = zipfile.ZipFile("$file").read("labels.txt").decode().removesuffix("\\n").split("\\n")

source = "$example".encode()
text = np.zeros((1, $max_source_bytes), np.uint8)
text[0, : len(source)] = list(source[:$max_source_bytes])  # as much as there is room for
found = $signature(text=text, text_length=np.array([len(source)], np.int32))
for word in range(found["words"][0]):
    start, end, label = (found[name][0, word] for name in ("starts", "ends", "labels"))
    print(labels[label], source[start:end].decode(errors="replace"))
"""

KOTLIN_COMPILED = """
import com.google.ai.edge.litert.CompiledModel  // from com.google.ai.edge.litert:litert, version 2
import java.util.zip.ZipFile

class $actor(path: String) : AutoCloseable {
    private val model = CompiledModel.create(path)  // on the processor
    private val inputs = listOf("text", "text_length").associateWith { model.createInputBuffer(it, "$signature") }
    private val outputs = listOf("labels", "starts", "ends", "words", "status")
        .associateWith { model.createOutputBuffer(it, "$signature") }
    private val labels = ZipFile(path).use { zip ->
        zip.getInputStream(zip.getEntry("labels.txt")).reader(Charsets.UTF_8)
            .readText().removeSuffix("\\n").split('\\n') }

    fun $signature(source: String): List<Pair<String, String>> {
        val bytes = source.toByteArray(Charsets.UTF_8)
        inputs.getValue("text").writeInt8(bytes.copyOf($max_source_bytes))  // cut there, or filled up with zeros
        inputs.getValue("text_length").writeInt(intArrayOf(bytes.size))
        model.run(inputs, outputs, "$signature")
        val (found, starts, ends, words) =
            listOf("labels", "starts", "ends", "words").map { outputs.getValue(it).readInt() }
        return List(words[0]) { word ->
            String(bytes, starts[word], ends[word] - starts[word], Charsets.UTF_8) to labels[found[word]] }
    }

    override fun close() {
        (inputs.values + outputs.values).forEach { it.close() }
        model.close()
    }
}
"""

KOTLIN = """
import java.io.File
import java.nio.ByteBuffer
import java.util.zip.ZipFile
import org.tensorflow.lite.Interpreter  // from com.google.ai.edge.litert:litert, version 1

class $actor(file: File) {
    private val interpreter = Interpreter(file)
    private val labels = ZipFile(file).use { zip ->
        zip.getInputStream(zip.getEntry("labels.txt")).reader(Charsets.UTF_8)
            .readText().removeSuffix("\\n").split('\\n') }

    fun $signature(source: String): List<Pair<String, String>> {  // words and their labels
        val bytes = source.toByteArray(Charsets.UTF_8)
        val text = ByteBuffer.allocateDirect($max_source_bytes)
        text.put(bytes, 0, minOf(bytes.size, $max_source_bytes)).rewind()
        val found = Array(1) { IntArray($max_words) }
        val starts = Array(1) { IntArray($max_words) }
        val ends = Array(1) { IntArray($max_words) }
        val words = IntArray(1)
        interpreter.runSignature(
            mapOf("text" to text, "text_length" to intArrayOf(bytes.size)),
            mapOf("labels" to found, "starts" to starts, "ends" to ends, "words" to words, "status" to IntArray(1)),
            "$signature")
        return List(words[0]) { word ->
            val start = starts[0][word]
            String(bytes, start, ends[0][word] - start, Charsets.UTF_8) to labels[found[0][word]] }
    }
}
"""

SWIFT = """
import Foundation
import TensorFlowLite  // the pod TensorFlowLiteSwift

func $signature(_ source: String, file: String) throws -> [(Range<Int>, Int)] {  // bytes of a word, line of labels.txt
    let runner = try Interpreter(modelPath: file).signatureRunner(with: "$signature")
    let bytes = Data(source.utf8)
    var text = Data(bytes.prefix($max_source_bytes))
    text.append(Data(count: $max_source_bytes - text.count))
    let length = withUnsafeBytes(of: Int32(bytes.count)) { Data($$0) }
    try runner.invoke(with: ["text": text, "text_length": length])
    func numbers(_ name: String) throws -> [Int] {
        try runner.output(named: name).data.withUnsafeBytes { $$0.bindMemory(to: Int32.self).map(Int.init) }
    }
    let (labels, starts, ends) = (try numbers("labels"), try numbers("starts"), try numbers("ends"))
    return (0..<(try numbers("words")[0])).map { (starts[$$0]..<ends[$$0], labels[$$0]) }
}
"""

CPP = """
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>

#include "tensorflow/lite/interpreter_builder.h"
#include "tensorflow/lite/kernels/register.h"
#include "tensorflow/lite/model_builder.h"
#include "tensorflow/lite/signature_runner.h"

void $signature(tflite::Interpreter& interpreter, const std::string& source) {
  tflite::SignatureRunner* runner = interpreter.GetSignatureRunner("$signature");
  if (runner == nullptr || runner->AllocateTensors() != kTfLiteOk) return;
  const size_t count = std::min<size_t>(source.size(), $max_source_bytes);
  std::copy_n(source.begin(), count, runner->input_tensor("text")->data.uint8);
  *runner->input_tensor("text_length")->data.i32 = static_cast<int32_t>(source.size());
  if (runner->Invoke() != kTfLiteOk) return;
  const int32_t* labels = runner->output_tensor("labels")->data.i32;  // lines of labels.txt, from 0
  const int32_t* starts = runner->output_tensor("starts")->data.i32;
  const int32_t* ends = runner->output_tensor("ends")->data.i32;
  for (int word = 0; word < *runner->output_tensor("words")->data.i32; ++word)
    printf("%d %s\\n", labels[word], source.substr(starts[word], ends[word] - starts[word]).c_str());
}

int main() {
  auto model = tflite::FlatBufferModel::BuildFromFile("$file");
  std::unique_ptr<tflite::Interpreter> interpreter;
  tflite::ops::builtin::BuiltinOpResolver resolver;
  tflite::InterpreterBuilder(*model, resolver)(&interpreter);
  $signature(*interpreter, "$example");
}
"""

JAVASCRIPT = """
import {loadAndCompile, loadLiteRt, Tensor} from '@litertjs/core';

window.Module = {printErr: (line) => { if (line.includes('ERROR:')) console.error(line); }};  // run() does not throw
await loadLiteRt('node_modules/@litertjs/core/wasm/');
const model = await loadAndCompile('$file', {accelerator: 'wasm'});
const {labels} = await (await fetch('manifest.json')).json();

async function $signature(source) {
  const bytes = new TextEncoder().encode(source);
  const text = new Uint8Array($max_source_bytes);
  text.set(bytes.subarray(0, $max_source_bytes));
  const inputs = {
    text: new Tensor(text, [1, $max_source_bytes]),
    text_length: new Tensor(new Int32Array([bytes.length]), [1]),
  };
  const found = await model.run('$signature', inputs);
  const [tags, starts, ends, [words]] =
    ['labels', 'starts', 'ends', 'words'].map((name) => found[name].toTypedArray().slice());
  [...Object.values(inputs), ...Object.values(found)].forEach((tensor) => tensor.delete());
  const word = (place) => new TextDecoder().decode(bytes.subarray(starts[place], ends[place]));
  return Array.from({length: words}, (_, place) => [word(place), labels[tags[place]]]);
}

console.log(await $signature('$example'));
"""

SNIPPETS = {
    "Python": ("python", PYTHON, "`pip install numpy ai-edge-litert`:"),
    **kotlin(KOTLIN_COMPILED, KOTLIN),
    "Swift": ("swift", SWIFT, "iOS:"),
    "C++": ("cpp", CPP, "With the library of LiteRT, or of TensorFlow Lite:"),
    "JavaScript": javascript(JAVASCRIPT),
}
RULES = {
    "space": "Words are separated by ASCII white space alone",
    "punctuation": "Words are separated by ASCII white space, and every ASCII punctuation mark is a word, but for one "
    "between two bytes that are neither: `don't` is one word, `(Paris).` four",
    "punctuation_unicode14": "Words are separated by white space, and every punctuation mark and symbol of Unicode 14 "
    "is a word, but for one of ASCII, an apostrophe or a hyphen between two letters or digits: `don’t` is one word, "
    "`(Paris)…` four",
}


def labels_section(manifest: Mapping[str, Any], names: Mapping[str, Any]) -> Iterator[str]:
    """Yields a section about words and labels."""
    listed = "\n".join(f"{place}. `{label}`" for place, label in enumerate(manifest["labels"]))
    chain = " The labels of a text are those that are likeliest together (Viterbi)." if manifest["crf"] else ""
    yield (
        f"## Words and labels\n\n{RULES[manifest['words']]}. A label `B-x` begins an entity of the kind x, `I-x` goes "
        "on with it, `O` is outside of all; with `E-x` an entity ends, and `S-x` is one of a single word."
        f"{chain} In order, as in `manifest.json` and in the files (which are ZIP archives too: "
        f"`unzip -p {names['file']} labels.txt`):\n\n{listed}\n"
    )


PAGE = Page(
    about=ABOUT,
    golden=GOLDEN,
    agreement=AGREEMENT,
    signature="From a text to its words and a label for each; batch 1, all shapes fixed.",
    cases=CASES,
    snippets=SNIPPETS,
    saved_model=SAVED_MODEL,
    more=labels_section,
)
