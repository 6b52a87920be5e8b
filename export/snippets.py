"""How to call an exported file, one example a language. `$name` stands for what the README fills in."""

from __future__ import annotations

PYTHON = """
import numpy as np
from ai_edge_litert.interpreter import Interpreter

$signature = Interpreter("$file").get_signature_runner("$signature")

source = "$example".encode()
text = np.zeros((1, $max_source_bytes), np.uint8)
text[0, : len(source)] = list(source[:$max_source_bytes])  # as much as there is room for
answer = $signature(text=text, text_length=np.array([len(source)], np.int32))
print(answer["text"][0, : answer["text_length"][0]].tobytes().decode(errors="replace"))
"""

KOTLIN_COMPILED = """
import com.google.ai.edge.litert.CompiledModel  // from com.google.ai.edge.litert:litert, version 2

class $actor(path: String) : AutoCloseable {
    private val model = CompiledModel.create(path)  // on the processor
    private val inputs = listOf("text", "text_length").associateWith { model.createInputBuffer(it, "$signature") }
    private val outputs = listOf("text", "text_length", "score", "status")
        .associateWith { model.createOutputBuffer(it, "$signature") }

    fun $signature(source: String): String {
        val bytes = source.toByteArray(Charsets.UTF_8)
        inputs.getValue("text").writeInt8(bytes.copyOf($max_source_bytes))  // cut there, or filled up with zeros
        inputs.getValue("text_length").writeInt(intArrayOf(bytes.size))
        model.run(inputs, outputs, "$signature")
        val length = outputs.getValue("text_length").readInt()[0]
        return String(outputs.getValue("text").readInt8(), 0, length, Charsets.UTF_8)
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
import org.tensorflow.lite.Interpreter  // from com.google.ai.edge.litert:litert, version 1

class $actor(file: File) {
    private val interpreter = Interpreter(file)

    fun $signature(source: String): String {
        val bytes = source.toByteArray(Charsets.UTF_8)
        val text = ByteBuffer.allocateDirect($max_source_bytes)
        text.put(bytes, 0, minOf(bytes.size, $max_source_bytes)).rewind()
        val answer = ByteBuffer.allocateDirect($max_target_bytes)
        val length = IntArray(1)
        val outputs = mapOf(
            "text" to answer, "text_length" to length, "score" to FloatArray(1), "status" to IntArray(1))
        interpreter.runSignature(
            mapOf("text" to text, "text_length" to intArrayOf(bytes.size)), outputs, "$signature")
        val found = ByteArray(length[0])
        answer.rewind()
        answer.get(found)
        return String(found, Charsets.UTF_8)
    }
}
"""

SWIFT = """
import Foundation
import TensorFlowLite  // the pod TensorFlowLiteSwift

func $signature(_ source: String, file: String) throws -> String {
    let runner = try Interpreter(modelPath: file).signatureRunner(with: "$signature")
    let bytes = Data(source.utf8)
    var text = Data(bytes.prefix($max_source_bytes))
    text.append(Data(count: $max_source_bytes - text.count))
    let length = withUnsafeBytes(of: Int32(bytes.count)) { Data($$0) }
    try runner.invoke(with: ["text": text, "text_length": length])
    let count = try runner.output(named: "text_length").data.withUnsafeBytes { $$0.load(as: Int32.self) }
    return String(decoding: try runner.output(named: "text").data.prefix(Int(count)), as: UTF8.self)
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

std::string $signature(tflite::Interpreter& interpreter, const std::string& source) {
  tflite::SignatureRunner* runner = interpreter.GetSignatureRunner("$signature");
  if (runner == nullptr || runner->AllocateTensors() != kTfLiteOk) return "";
  const size_t count = std::min<size_t>(source.size(), $max_source_bytes);
  std::copy_n(source.begin(), count, runner->input_tensor("text")->data.uint8);
  *runner->input_tensor("text_length")->data.i32 = static_cast<int32_t>(source.size());
  if (runner->Invoke() != kTfLiteOk) return "";
  const auto* answer = reinterpret_cast<const char*>(runner->output_tensor("text")->data.uint8);
  return std::string(answer, *runner->output_tensor("text_length")->data.i32);
}

int main() {
  auto model = tflite::FlatBufferModel::BuildFromFile("$file");
  std::unique_ptr<tflite::Interpreter> interpreter;
  tflite::ops::builtin::BuiltinOpResolver resolver;
  tflite::InterpreterBuilder(*model, resolver)(&interpreter);
  puts($signature(*interpreter, "$example").c_str());
}
"""

JAVASCRIPT = """
import {loadAndCompile, loadLiteRt, Tensor} from '@litertjs/core';

window.Module = {printErr: (line) => { if (line.includes('ERROR:')) console.error(line); }};  // run() does not throw
await loadLiteRt('node_modules/@litertjs/core/wasm/');
const model = await loadAndCompile('$file', {accelerator: 'wasm'});

async function $signature(source) {
  const bytes = new TextEncoder().encode(source);
  const text = new Uint8Array($max_source_bytes);
  text.set(bytes.subarray(0, $max_source_bytes));
  const inputs = {
    text: new Tensor(text, [1, $max_source_bytes]),
    text_length: new Tensor(new Int32Array([bytes.length]), [1]),
  };
  const answer = await model.run('$signature', inputs);
  const length = answer.text_length.toTypedArray()[0];
  const result = new TextDecoder().decode(answer.text.toTypedArray().slice(0, length));
  for (const tensor of [...Object.values(inputs), ...Object.values(answer)]) tensor.delete();
  return result;
}

console.log(await $signature('$example'));
"""

STEPS = """
import numpy as np
from ai_edge_litert.interpreter import Interpreter

interpreter = Interpreter("$file")
encode, step, detokenize = (interpreter.get_signature_runner(n) for n in ("encode", "decode_step", "detokenize"))

source = "$example".encode()
text = np.zeros((1, $max_source_bytes), np.uint8)
text[0, : len(source)] = list(source[:$max_source_bytes])  # as much as there is room for
memory = encode(text=text, text_length=np.array([len(source)], np.int32))
del memory["pieces"], memory["status"]

inputs = step.get_input_details().items()
state = {name: np.zeros(spec["shape"], spec["dtype"]) for name, spec in inputs if name.startswith("cache_")}
ids, last = np.zeros((1, $max_target_pieces), np.int32), $start
for index in range($max_target_pieces):
    state = step(ids=np.array([last], np.int32), index=np.array([index], np.int32), **memory, **state)
    del state["status"]
    last = int(state.pop("logits").argmax())  # your own search goes here
    if last == $end:
        break
    ids[0, index] = last
    answer = detokenize(ids=ids, length=np.array([index + 1], np.int32))
    print(answer["text"][0, : answer["text_length"][0]].tobytes().decode(errors="replace"))
"""

ALIGN = """
import numpy as np
from ai_edge_litert.interpreter import Interpreter

interpreter = Interpreter("$file")
$signature, align = (interpreter.get_signature_runner(name) for name in ("$signature", "align"))

source = "$example".encode()
text = np.zeros((1, $max_source_bytes), np.uint8)
text[0, : len(source)] = list(source[:$max_source_bytes])  # as much as there is room for
given = {"text": text, "text_length": np.array([len(source)], np.int32)}
found = $signature(**given)
looks = align(**given, answer=found["text"], answer_length=found["text_length"])

answer = found["text"][0].tobytes()
places = {}
for side in ("text", "answer"):
    ends = looks[f"{side}_ends"][0, : looks[f"{side}_pieces"][0]].tolist()
    places[side] = list(zip([0, *ends], ends))  # first byte of each piece, and the one after its last
for row, (start, end) in enumerate(places["answer"]):
    first, last = places["text"][looks["weights"][0, row].argmax()]
    print(answer[start:end].decode(errors="replace"), "<-", source[first:last].decode(errors="replace"))
"""


def kotlin(compiled: str, interpreter: str) -> dict[str, tuple[str, str, str]]:
    """Returns the two examples for Android."""
    return {
        "Kotlin: CompiledModel": (
            "kotlin",
            compiled,
            "Android, the interface of LiteRT 2, for a new app; `path` is that of the file:",
        ),
        "Kotlin: Interpreter": ("kotlin", interpreter, "Android, for an app that has TensorFlow Lite or LiteRT 1:"),
    }


def javascript(code: str) -> tuple[str, str, str]:
    """Returns the example for a web page."""
    how = "A web page, served over HTTP; `npm install @litertjs/core`, and a bundler or an import map that finds it:"
    return "javascript", code, how


SNIPPETS = {
    "Python": ("python", PYTHON, "`pip install numpy ai-edge-litert`:"),
    **kotlin(KOTLIN_COMPILED, KOTLIN),
    "Swift": ("swift", SWIFT, "iOS:"),
    "C++": ("cpp", CPP, "With the library of LiteRT, or of TensorFlow Lite:"),
    "JavaScript": javascript(JAVASCRIPT),
}
