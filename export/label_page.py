"""What the README of an artifact folder says of a model that says what a text is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from keras_transformer.export.snippets import javascript, kotlin
from keras_transformer.export.task import Page

ABOUT = """
A model that $does: UTF-8 bytes in, $numbers out. The tokenizer is inside, and every operator is one of TensorFlow
Lite's own, so that the `.tflite` files run on any LiteRT runtime (Android, iOS, C++, Python, web pages) as they are.
"""

GOLDEN = (
    "Give each input's first max_source_bytes bytes and, as text_length, all its bytes. An answer is the same if its "
    "labels and its status are, and its numbers nearly; a quantised file may round otherwise on another runtime."
)

AGREEMENT = "Agreement: sentences to which a file gives the labels that Keras gives, and float32."

CASES = """
- **Empty text** (`text_length` 0): never an error; what the model says of nothing is of little use.
- **Long text**: give its first $max_source_bytes bytes and its whole `text_length`; it is read as cut there, and
  `status` has 1. The model reads at most $max_source_pieces pieces (a piece is a word or part of one), as it was
  trained to: of a text of more the rest is left out, and `status` has 8.
- **Malformed text** (no UTF-8, NUL bytes): never an error; every byte has a piece of its own.
- **A negative length**: taken as 0, and `status` has 32.
"""

SAVED_MODEL = """
Takes string tensors of any batch size.
It has one operator that TensorFlow does not have itself, tensorflow-text's tokenizer: `import tensorflow_text` before
it is loaded, or, without that package's Python, load its library with
`tf.load_op_library(".../tensorflow_text/python/ops/_fast_wordpiece_tokenizer.so")`. TensorFlow Serving has it built in.

```python
import tensorflow as tf
import tensorflow_text

model = tf.saved_model.load("saved_model").signatures["serving_default"]
print(model(text=tf.constant(["$example"]))["$output"].numpy()[0])
```

From a shell:

```sh
python -c 'import tensorflow_text; from tensorflow.python.tools.saved_model_cli import main; main()' \\
  run --dir saved_model --tag_set serve --signature_def $signature --input_exprs 'text=["$example"]'
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
for label, number in zip(labels, found["$output"][0]):
    print(f"{number:.4f} {label}")
"""

KOTLIN_COMPILED = """
import com.google.ai.edge.litert.CompiledModel  // from com.google.ai.edge.litert:litert, version 2
import java.util.zip.ZipFile

class $actor(path: String) : AutoCloseable {
    private val model = CompiledModel.create(path)  // on the processor
    private val inputs = listOf("text", "text_length").associateWith { model.createInputBuffer(it, "$signature") }
    private val outputs = listOf("$output", "status")
        .associateWith { model.createOutputBuffer(it, "$signature") }
    private val labels = ZipFile(path).use { zip ->
        zip.getInputStream(zip.getEntry("labels.txt")).reader(Charsets.UTF_8)
            .readText().removeSuffix("\\n").split('\\n') }

    fun $signature(source: String): Map<String, Float> {
        val bytes = source.toByteArray(Charsets.UTF_8)
        inputs.getValue("text").writeInt8(bytes.copyOf($max_source_bytes))  // cut there, or filled up with zeros
        inputs.getValue("text_length").writeInt(intArrayOf(bytes.size))
        model.run(inputs, outputs, "$signature")
        return labels.zip(outputs.getValue("$output").readFloat().toList()).toMap()
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

    fun $signature(source: String): Map<String, Float> {
        val bytes = source.toByteArray(Charsets.UTF_8)
        val text = ByteBuffer.allocateDirect($max_source_bytes)
        text.put(bytes, 0, minOf(bytes.size, $max_source_bytes)).rewind()
        val found = Array(1) { FloatArray(labels.size) }
        interpreter.runSignature(
            mapOf("text" to text, "text_length" to intArrayOf(bytes.size)),
            mapOf("$output" to found, "status" to IntArray(1)), "$signature")
        return labels.zip(found[0].toList()).toMap()
    }
}
"""

SWIFT = """
import Foundation
import TensorFlowLite  // the pod TensorFlowLiteSwift

func $signature(_ source: String, file: String) throws -> [Float] {  // one for each line of labels.txt
    let runner = try Interpreter(modelPath: file).signatureRunner(with: "$signature")
    let bytes = Data(source.utf8)
    var text = Data(bytes.prefix($max_source_bytes))
    text.append(Data(count: $max_source_bytes - text.count))
    let length = withUnsafeBytes(of: Int32(bytes.count)) { Data($$0) }
    try runner.invoke(with: ["text": text, "text_length": length])
    return try runner.output(named: "$output").data.withUnsafeBytes { Array($$0.bindMemory(to: Float.self)) }
}
"""

CPP = """
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "tensorflow/lite/interpreter_builder.h"
#include "tensorflow/lite/kernels/register.h"
#include "tensorflow/lite/model_builder.h"
#include "tensorflow/lite/signature_runner.h"

std::vector<float> $signature(tflite::Interpreter& interpreter, const std::string& source) {  // as in labels.txt
  tflite::SignatureRunner* runner = interpreter.GetSignatureRunner("$signature");
  if (runner == nullptr || runner->AllocateTensors() != kTfLiteOk) return {};
  const size_t count = std::min<size_t>(source.size(), $max_source_bytes);
  std::copy_n(source.begin(), count, runner->input_tensor("text")->data.uint8);
  *runner->input_tensor("text_length")->data.i32 = static_cast<int32_t>(source.size());
  if (runner->Invoke() != kTfLiteOk) return {};
  const TfLiteTensor* found = runner->output_tensor("$output");
  return std::vector<float>(found->data.f, found->data.f + found->dims->data[1]);
}

int main() {
  auto model = tflite::FlatBufferModel::BuildFromFile("$file");
  std::unique_ptr<tflite::Interpreter> interpreter;
  tflite::ops::builtin::BuiltinOpResolver resolver;
  tflite::InterpreterBuilder(*model, resolver)(&interpreter);
  for (float number : $signature(*interpreter, "$example")) printf("%.4f\\n", number);
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
  const numbers = found.$output.toTypedArray().slice();
  [...Object.values(inputs), ...Object.values(found)].forEach((tensor) => tensor.delete());
  return Object.fromEntries(labels.map((label, place) => [label, numbers[place]]));
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
KINDS = {
    "single": "A text has one label, and the probabilities sum to 1",
    "multi": "A text has any number of labels: those whose probability is one half or more",
    "regression": "The numbers are values, one for each name",
}


def labels_section(manifest: Mapping[str, Any], names: Mapping[str, Any]) -> Iterator[str]:
    """Yields a section about the labels."""
    kind, temperature = manifest["kind"], manifest["temperature"]
    calibrated = f"; they are calibrated: the logits were divided by {temperature:.4g}" if temperature != 1 else ""
    listed = "\n".join(f"{place}. `{label}`" for place, label in enumerate(manifest["labels"]))
    yield (
        f"## The labels\n\n{KINDS[kind]}{calibrated}. In order, as in `manifest.json` and in the files "
        f"(which are ZIP archives too: `unzip -p {names['file']} labels.txt`):\n\n{listed}\n"
    )


PAGE = Page(
    about=ABOUT,
    golden=GOLDEN,
    agreement=AGREEMENT,
    signature="From a text to a number for each label; batch 1, all shapes fixed.",
    cases=CASES,
    snippets=SNIPPETS,
    saved_model=SAVED_MODEL,
    more=labels_section,
)
