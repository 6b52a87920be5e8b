// What a text is: one label, several, or numbers.

import {element, note} from '../elements.js';

const SHOWN = 10; // labels; the others are folded away
const THRESHOLD = 0.5; // where a text may have several labels, those of at least this probability
const NOTES = [
  [1, 'The text was cut: the model has no room for more.'],
  [8, 'The text was cut: it is longer than those the model was trained on.'],
];

export const fits = ({outputs}) => 'probabilities' in outputs || 'values' in outputs;

export const modes = ({signature}) => [[signature, 'all']];

export async function ask(model, text, mode) {
  const {isCut, inputs} = model.source(text);
  const {outputs, milliseconds} = await model.run(mode, inputs);
  const {labels, kind} = model.manifest;
  const numbers = Array.from(outputs.probabilities ?? outputs.values);
  const found = labels.map((label, place) => ({label, number: numbers[place]}));
  if (kind !== 'regression') {
    found.sort((one, other) => other.number - one.number);
    found.forEach((item, place) => {
      item.isChosen = kind === 'multi' ? item.number >= THRESHOLD : place === 0;
    });
  }
  return {kind, found, status: outputs.status[0] | (isCut ? 1 : 0), milliseconds};
}

export function show({kind, found, status}) {
  const row = kind === 'regression' ? value : bar;
  const chosen = found.filter(({isChosen}) => isChosen).map(({label}) => label);
  const shown = [];
  if (kind !== 'regression') {
    shown.push(element('p', {className: 'output', dir: 'auto', text: chosen.join(', ') || 'No label.'}));
  }
  shown.push(element('ul', {className: 'bars'}, ...found.slice(0, SHOWN).map(row)));
  if (found.length > SHOWN) {
    const rest = element('ul', {className: 'bars'}, ...found.slice(SHOWN).map(row));
    shown.push(element('details', {}, element('summary', {text: `${found.length - SHOWN} more`}), rest));
  }
  return [...shown, ...NOTES.filter(([flag]) => status & flag).map(([, text]) => note(text))];
}

function bar({label, number, isChosen}) {
  const filled = element('span');
  filled.style.setProperty('--share', number);
  const drawn = element('span', {className: 'bar', ariaHidden: 'true'}, filled);
  const percent = element('span', {className: 'number', text: `${(100 * number).toFixed(1)} %`});
  const name = element('span', {dir: 'auto', text: label});
  return element('li', {className: isChosen ? 'chosen' : ''}, name, drawn, percent);
}

function value({label, number}) {
  const shown = element('span', {className: 'number', text: String(Number(number.toPrecision(6)))});
  return element('li', {}, element('span', {dir: 'auto', text: label}), element('span'), shown);
}
