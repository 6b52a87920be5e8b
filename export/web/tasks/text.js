// Text to text: translation, summarization and the like.

import {decoded} from '../bytes.js';
import {element, note} from '../elements.js';

const NO_ANSWER = -1e29; // the score of an answer that a search did not find is below this
const NOTES = [
  [1, 'The text was cut: the model has no room for more.'],
  [2, 'The answer reached its limit without an end.'],
  [4, 'The answer was cut for want of room.'],
  [8, 'The text is longer than those the model was trained on: the answer may be poor.'],
  [32, 'The seed or the temperature was out of its range: the nearest in it was taken.'],
];

export const fits = ({outputs}) => 'text' in outputs && 'status' in outputs;

// What can be asked of a file: value and name of each.
export function modes({signature, signatures}) {
  const found = [[signature, 'the best']];
  const best = signatures[`${signature}_n_best`];
  if (best) found.push([`${signature}_n_best`, `the ${best.outputs.text.shape[0]} best`]);
  if (signatures.sample) found.push(['sample', `${signatures.sample.outputs.text.shape[0]} drawn at random`]);
  return found;
}

// Asks the model; `mode` is one of `modes`, `draw` has seed and temperature for "sample".
export async function ask(model, text, mode, draw) {
  const {bytes, isCut, inputs} = model.source(text);
  const more = mode === 'sample'
    ? {seed: new Int32Array([draw.seed]), temperature: new Float32Array([draw.temperature])}
    : {};
  const {outputs, milliseconds} = await model.run(mode, {...inputs, ...more});
  const answers = rows(outputs).filter(({score}) => score > NO_ANSWER);
  if (!bytes.length) answers.length = 1; // an empty text has one empty answer
  let status = isCut ? 1 : 0;
  for (const answer of answers) status |= answer.status;
  return {source: bytes, answers, status, milliseconds};
}

export function show({answers, status}) {
  const shown = answers.length === 1 ? [output(answers[0])] : [ranked(answers)];
  return [...shown, ...NOTES.filter(([flag]) => status & flag).map(([, text]) => note(text))];
}

function rows({text, text_length: lengths, score, status}) {
  const room = text.length / lengths.length;
  return Array.from(lengths, (length, row) => ({
    bytes: text.slice(row * room, row * room + length),
    score: score[row],
    status: status[row],
  }));
}

function output({bytes}) {
  if (!bytes.length) return element('p', {className: 'score', text: 'The answer is empty.'});
  return element('p', {className: 'output', dir: 'auto', text: decoded(bytes)});
}

function ranked(answers) {
  const list = element('ol', {className: 'answers'});
  for (const answer of answers) {
    const score = element('span', {className: 'score', text: `score ${answer.score.toFixed(2)}`});
    list.append(element('li', {}, output(answer), score));
  }
  return list;
}
