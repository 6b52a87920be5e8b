// A model file of an artifact folder, opened in a worker of its own.

import {cut, encoded} from './bytes.js';

export class Model {
  // Opens the file of a precision. `folder` is the address of the artifact folder, `progress` is told what share of the
  // file is there.
  static async open(manifest, precision, folder, progress = () => {}) {
    const name = manifest.precisions[precision].file;
    const listed = manifest.files[name];
    if (!listed) throw new Error(`manifest.json does not list ${name}. Export the run again.`);
    const model = new Model(manifest, progress);
    try {
      await model.#ask('open', {url: new URL(name, folder).href, name, ...listed});
    } catch (error) {
      model.close();
      throw error;
    }
    return model;
  }

  #worker = new Worker(new URL('./worker.js', import.meta.url));
  #waiting = new Map();
  #asked = 0;

  constructor(manifest, progress) {
    this.manifest = manifest;
    this.#worker.addEventListener('message', ({data}) => {
      if ('progress' in data) {
        progress(data.progress);
        return;
      }
      const {resolve, reject} = this.#waiting.get(data.number);
      this.#waiting.delete(data.number);
      if ('error' in data) reject(new Error(data.error));
      else resolve(data.found);
    });
    this.#worker.addEventListener('error', (event) => {
      event.preventDefault();
      this.#fail(`The model stopped: ${event.message ?? 'its worker cannot be started'}`);
    });
  }

  get signature() {
    return this.manifest.signatures[this.manifest.signature];
  }

  has(signature) {
    return signature in this.manifest.signatures;
  }

  // Room for a text, in bytes.
  get room() {
    return this.signature.inputs.text.shape[1];
  }

  // Calls a signature with typed arrays by name; returns those of its outputs and the milliseconds it took.
  run(signature, inputs) {
    const shapes = {};
    for (const [name, {shape}] of Object.entries(this.manifest.signatures[signature].inputs)) shapes[name] = shape;
    return this.#ask('run', signature, inputs, shapes);
  }

  // The inputs for a text, cut before the character that does not fit, and whether it was.
  source(text) {
    const whole = encoded(text);
    const bytes = cut(whole, this.room);
    return {bytes, isCut: bytes.length < whole.length, inputs: padded('text', bytes, this.room)};
  }

  close() {
    this.#worker.terminate();
    this.#fail('The model was closed.');
  }

  #ask(ask, ...given) {
    return new Promise((resolve, reject) => {
      const number = this.#asked++;
      this.#waiting.set(number, {resolve, reject});
      this.#worker.postMessage({number, ask, given});
    });
  }

  #fail(message) {
    for (const {reject} of this.#waiting.values()) reject(new Error(message));
    this.#waiting.clear();
  }
}

// Bytes as a tensor with room for so many, and their number beside it.
export function padded(name, bytes, room, length = bytes.length) {
  const values = new Uint8Array(room);
  values.set(bytes.subarray(0, room));
  return {[name]: values, [`${name}_length`]: new Int32Array([length])};
}
