// Which words of a text each word of an answer looks at, drawn as a table: it can be read aloud cell by cell.

import {decoded} from './bytes.js';
import {element} from './elements.js';
import {padded} from './model.js';

const isSpace = (byte) => byte === 32 || (byte >= 9 && byte <= 13);

// Asks the signature align; `source` and `answer` are bytes. Returns words of both and a row of weights for each word of
// the answer.
export async function align(model, source, answer) {
  const {inputs} = model.manifest.signatures.align;
  const {outputs} = await model.run('align', {
    ...padded('text', source, inputs.text.shape[1]),
    ...padded('answer', answer, inputs.answer.shape[1]),
  });
  const text = wordsOf(source, outputs.text_ends.subarray(0, outputs.text_pieces[0]));
  const target = wordsOf(answer, outputs.answer_ends.subarray(0, outputs.answer_pieces[0]));
  const columns = outputs.text_ends.length;
  const weights = target.words.map(() => new Float64Array(text.words.length));
  target.places.forEach((row, piece) => {
    text.places.forEach((column, place) => { // the mean over an answer word's pieces, the sum over a text word's
      weights[row][column] += outputs.weights[piece * columns + place] / target.counts[row];
    });
  });
  return {text: text.words, answer: target.words, weights};
}

// Joins pieces to words, which begin where a piece begins with a space: words, the word of each piece, pieces of a word.
function wordsOf(bytes, ends) {
  const spans = [];
  const places = [];
  const counts = [];
  let start = 0;
  for (const end of ends) {
    if (!spans.length || isSpace(bytes[start])) {
      spans.push([start, end]);
      counts.push(0);
    }
    spans.at(-1)[1] = end;
    counts[spans.length - 1] += 1;
    places.push(spans.length - 1);
    start = end;
  }
  return {words: spans.map(([from, to]) => decoded(bytes.subarray(from, to)).trim()), places, counts};
}

export function picture({text, answer, weights}) {
  const heading = (word, scope) => element('th', {scope, dir: 'auto', text: word});
  const head = element('tr', {}, element('td', {className: 'corner'}), ...text.map((word) => heading(word, 'col')));
  const rows = answer.map((word, row) => element('tr', {}, heading(word, 'row'), ...Array.from(weights[row], cell)));
  return element('table', {className: 'picture'}, element('thead', {}, head), element('tbody', {}, ...rows));
}

function cell(weight) {
  const percent = `${Math.round(100 * weight)} %`;
  const made = element('td', {title: percent}, element('span', {className: 'heard', text: percent}));
  made.style.setProperty('--weight', Math.min(weight, 1));
  return made;
}
