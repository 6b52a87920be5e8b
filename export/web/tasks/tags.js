// What each word of a text is, and which words belong together.

import {decoded, encoded} from '../bytes.js';
import {element, note} from '../elements.js';

const NOTES = [
  [1, 'The text was cut: the model has no room for more.'],
  [4, 'The text has more words than there is room for: the last ones are left out.'],
  [8, 'The text is longer than those the model was trained on: words at its end have no label.'],
];

export const fits = ({outputs}) => ['labels', 'starts', 'ends', 'words'].every((name) => name in outputs);

export const modes = ({signature}) => [[signature, 'all']];

export async function ask(model, text, mode) {
  const {isCut, inputs} = model.source(text);
  const {outputs: {labels, starts, ends, words, status}, milliseconds} = await model.run(mode, inputs);
  const tagged = Array.from({length: words[0]}, (_, word) => ({
    tag: model.manifest.labels[labels[word]],
    start: starts[word],
    end: ends[word],
  }));
  return {bytes: encoded(text), tagged, status: status[0] | (isCut ? 1 : 0), milliseconds};
}

export function show({bytes, tagged, status}) {
  const marked = element('p', {className: 'output', dir: 'auto'});
  const entities = entitiesOf(tagged);
  let last = 0;
  for (const {label, start, end} of entities) {
    const kind = element('span', {className: 'kind', text: label});
    marked.append(decoded(bytes.subarray(last, start)));
    marked.append(element('mark', {}, decoded(bytes.subarray(start, end)), kind));
    last = end;
  }
  marked.append(decoded(bytes.subarray(last)));
  const none = entities.length ? [] : [element('p', {className: 'score', text: 'Nothing is marked.'})];
  return [marked, ...none, ...NOTES.filter(([flag]) => status & flag).map(([, text]) => note(text))];
}

// The entities that tags mark, BIO or BIOES; tags that break the scheme are read as the CoNLL evaluation does.
export function entitiesOf(tagged) {
  const found = [];
  let open = null;
  const close = () => {
    if (open) found.push(open);
    open = null;
  };
  for (const {tag, start, end} of tagged) {
    const [letter, ...parts] = tag.split('-');
    const label = parts.join('-');
    const goesOn = open?.label === label && (letter === 'I' || letter === 'E');
    if (!goesOn) close();
    if (goesOn) open.end = end;
    else if (letter !== 'O') open = {label, start, end};
    if (letter === 'E' || letter === 'S') close();
  }
  close();
  return found;
}
