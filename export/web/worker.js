// Runs the model beside the page, which stays awake. A classic worker: LiteRT.js loads its WebAssembly with
// importScripts, which a module worker does not have.
'use strict';

const runtime = import('./runtime.js').catch((error) => {
  throw new Error(`LiteRT.js cannot be loaded (${error.message}): run keras-transformer web on this folder.`);
});
runtime.catch(() => {}); // told to whoever asks
let last = Promise.resolve(); // one question after the other

addEventListener('message', ({data: {number, ask, given}}) => {
  last = last.then(async () => {
    try {
      const found = await (await runtime)[ask](...given);
      postMessage({number, found});
    } catch (error) {
      postMessage({number, error: String(error?.message ?? error)});
    }
  });
});
