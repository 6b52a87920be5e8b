// LiteRT.js inside the worker: one model, whose signatures are called by name.

import {loadAndCompile, loadLiteRt, Tensor} from './vendor/litertjs-core/index.js';

const WASM = new URL('./vendor/litertjs-core/wasm/', import.meta.url).href;
const MOST = 3; // lines of what went wrong that are told

// An operator that fails does not make run() throw: it resolves with zeros. All that tells is a line of the log.
let failures = [];
self.Module = {
  locateFile: (name) => new URL(name, WASM).href,
  printErr: (line) => {
    if (/\bERROR\b/.test(line)) failures.push(line);
  },
};
let model = null;

// The files run on WebAssembly: looking for a graphics card first takes time, and complains where there is none.
Object.defineProperty(navigator, 'gpu', {value: undefined, configurable: true});

// Fetches a model file, makes sure that it is the one of the manifest, and opens it. `sha256` and `bytes` are those of
// the manifest, `name` is what messages call the file.
export async function open({url, name, bytes, sha256}) {
  const content = await fetched(url, name, bytes);
  await check(content, name, bytes, sha256);
  await loadLiteRt(WASM);
  failures = [];
  try {
    model = await loadAndCompile(content, {accelerator: 'wasm'});
  } catch (error) {
    throw new Error(`${name} cannot be opened: ${told(error)}`);
  }
  if (failures.length) throw new Error(`${name} cannot be opened: ${told()}`);
}

// Calls a signature: `inputs` and what it returns as `outputs` are typed arrays by name, shapes those of the manifest.
export async function run(signature, inputs, shapes) {
  const tensors = {};
  let answers = {};
  failures = [];
  try {
    for (const [name, values] of Object.entries(inputs)) tensors[name] = new Tensor(values, shapes[name]);
    const start = performance.now();
    answers = await model.run(signature, tensors);
    const milliseconds = performance.now() - start;
    if (failures.length) throw new Error(told());
    const outputs = {};
    for (const [name, tensor] of Object.entries(answers)) outputs[name] = tensor.toTypedArray().slice();
    return {outputs, milliseconds};
  } catch (error) {
    throw new Error(`The model failed: ${told(error)}`);
  } finally { // the memory of WebAssembly is not collected
    for (const tensor of [...Object.values(tensors), ...Object.values(answers)]) tensor.delete();
  }
}

function told(error) {
  const said = failures.length ? failures.slice(0, MOST).join(' ') : String(error?.message ?? error);
  failures = [];
  return said;
}

async function fetched(url, name, bytes) {
  let response;
  try {
    response = await fetch(url, {cache: 'no-cache'});
  } catch {
    throw new Error(`${name} cannot be fetched: the server does not answer.`);
  }
  if (!response.ok) throw new Error(`${name} is missing: the server answered ${response.status}.`);
  const parts = [];
  const reader = response.body.getReader();
  let have = 0;
  let told = 0;
  for (;;) {
    const {done, value} = await reader.read();
    if (done) break;
    parts.push(value);
    have += value.length;
    if (have - told > bytes / 100) {
      told = have;
      postMessage({progress: Math.min(have / bytes, 1)});
    }
  }
  const content = new Uint8Array(have);
  let place = 0;
  for (const part of parts) {
    content.set(part, place);
    place += part.length;
  }
  return content;
}

async function check(content, name, bytes, sha256) {
  const wrong = `${name} is not the file that manifest.json describes`;
  if (content.length !== bytes) {
    throw new Error(`${wrong}: it has ${content.length} bytes, not ${bytes}. Export the run again.`);
  }
  if (!self.crypto?.subtle) return; // only where the page comes from this machine, or by https
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', content));
  const found = Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
  if (found !== sha256) throw new Error(`${wrong}: its SHA-256 is another. Export the run again.`);
}
