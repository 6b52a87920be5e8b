// The page: what an artifact folder holds, run on what a person types.

import {align, picture} from './attention.js';
import {encoded} from './bytes.js';
import {element} from './elements.js';
import {Model} from './model.js';
import * as labels from './tasks/labels.js';
import * as tags from './tasks/tags.js';
import * as text from './tasks/text.js';

const TASKS = [tags, labels, text];
const FOLDER = new URL('../', import.meta.url); // of the artifact, in which this page is web/
const EXAMPLES = 3;
const EXAMPLE_LENGTH = 120;

const at = (id) => document.getElementById(id);
const shown = { // what stands where, beside the elements themselves
  manifest: null,
  task: null,
  model: null,
  asked: 0, // how often a model was asked for: the last one counts
  answer: null, // the last one, for the picture
};

function setState(state, words = '') {
  document.body.dataset.state = state;
  at('state').textContent = words;
  at('progress').hidden = state !== 'loading';
  at('run').setAttribute('aria-disabled', String(state !== 'ready'));
  at('result').setAttribute('aria-busy', String(state === 'busy'));
}

function fail(message, state = 'failed') {
  setState(state);
  at('failure').textContent = message;
  at('failure').hidden = false;
}

function forget() {
  at('failure').hidden = true;
  at('failure').textContent = '';
}

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

async function json(name) {
  let response;
  try {
    response = await fetch(new URL(name, FOLDER), {cache: 'no-cache'});
  } catch {
    throw new Error(`${name} cannot be fetched: the server does not answer.`);
  }
  if (!response.ok) throw new Error(`${name} is missing: the server answered ${response.status}.`);
  try {
    return await response.json();
  } catch (error) {
    throw new Error(`${name} is damaged: ${error.message}. Export the run again.`);
  }
}

async function start() {
  setState('starting', 'Reading manifest.json.');
  const manifest = await json('manifest.json');
  const signature = manifest?.signatures?.[manifest.signature];
  if (!signature || !manifest.precisions || !manifest.files) {
    throw new Error('manifest.json is not of an artifact folder that this page knows. Export the run again.');
  }
  shown.manifest = manifest;
  shown.task = TASKS.find(({fits}) => fits(signature));
  if (!shown.task) throw new Error(`This page does not know what to do with the signature ${manifest.signature}.`);
  const title = `${manifest.task[0].toUpperCase()}${manifest.task.slice(1)}`;
  document.title = `${title}: keras-transformer`;
  at('title').textContent = title;
  for (const [name, {file}] of Object.entries(manifest.precisions)) {
    const size = manifest.files[file] ? `, ${megabytes(manifest.files[file].bytes)}` : '';
    at('precision').append(element('option', {value: name, text: `${name}${size}`}));
  }
  for (const [value, words] of shown.task.modes(manifest)) {
    at('mode').append(element('option', {value, text: words}));
  }
  at('mode-choice').hidden = at('mode').options.length < 2;
  at('form').hidden = false;
  showRoom();
  await Promise.all([load(), offerExamples()]);
}

// Opens the file that is chosen.
async function load() {
  const asked = ++shown.asked;
  const precision = at('precision').value;
  forget();
  shown.model?.close();
  shown.model = null;
  const {file} = shown.manifest.precisions[precision];
  setState('loading', `Loading ${file}.`);
  at('progress').value = 0;
  try {
    const model = await Model.open(shown.manifest, precision, FOLDER, (share) => {
      if (asked === shown.asked) at('progress').value = share;
    });
    if (asked !== shown.asked) model.close(); // another one was chosen meanwhile
    else {
      shown.model = model;
      at('about').textContent = `${file}, ${shown.manifest.weights.toLocaleString('en')} weights.`;
      setState('ready', 'Ready.');
    }
  } catch (error) {
    if (asked === shown.asked) fail(error.message);
  }
}

async function run() {
  const {model, task} = shown;
  if (document.body.dataset.state !== 'ready') return;
  forget();
  setState('busy', 'Running.');
  const draw = {seed: Number(at('seed').value), temperature: Number(at('temperature').value)};
  try {
    const answer = await task.ask(model, at('text').value, at('mode').value, draw);
    if (model !== shown.model) return;
    shown.answer = answer;
    at('result').hidden = false;
    at('answer').replaceChildren(...task.show(answer));
    at('took').textContent = `${answer.milliseconds.toFixed(1)} ms`;
    setState('ready');
    await drawAttention();
  } catch (error) {
    if (model !== shown.model) return;
    at('result').hidden = true;
    at('attention').hidden = true;
    fail(error.message, 'ready'); // another text may do
  }
}

async function drawAttention() {
  const {model, answer} = shown;
  const best = answer?.answers?.[0];
  const possible = model?.has('align') && best?.bytes.length > 0;
  at('attention').hidden = !possible;
  if (!possible || !at('attention').open) return;
  at('picture').replaceChildren(picture(await align(model, answer.source, best.bytes)));
}

function showRoom() {
  const {manifest} = shown;
  const room = manifest.signatures[manifest.signature].inputs.text.shape[1];
  const used = encoded(at('text').value).length;
  at('room').textContent = `${used} of ${room} bytes.${used > room ? ' The rest will be cut.' : ''}`;
}

async function offerExamples() {
  let inputs;
  try {
    ({inputs} = await json('golden.json'));
  } catch {
    return; // nice to have
  }
  const texts = inputs.filter(({kind, text}) => kind === 'test' && text && text.length <= EXAMPLE_LENGTH);
  for (const {text} of texts.slice(0, EXAMPLES)) {
    const button = element('button', {type: 'button', dir: 'auto', text});
    button.addEventListener('click', () => {
      at('text').value = text;
      showRoom();
      run();
    });
    at('example-list').append(element('li', {}, button));
  }
  at('examples').hidden = !texts.length;
}

at('form').addEventListener('submit', (event) => {
  event.preventDefault();
  run();
});
at('text').addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey) && !event.isComposing) run();
});
at('text').addEventListener('input', showRoom);
at('precision').addEventListener('change', load);
at('mode').addEventListener('change', () => {
  for (const choice of document.querySelectorAll('.draw')) choice.hidden = at('mode').value !== 'sample';
});
at('attention').addEventListener('toggle', () => {
  drawAttention().catch((error) => fail(error.message));
});

start().catch((error) => fail(error.message));
