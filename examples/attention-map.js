// SPDX-License-Identifier: Apache-2.0
// Gives <attention-map> queries and keys, and listens to it.
import '../attention-map/element.js';

const words = 'the cat sat on the mat and then the cat slept on the mat until the dog came in and barked'.split(' ');
const [heads, length, dim] = [2, words.length, 16];

/** Half of it tells the word, half the place: words look at their like and at their neighbours. */
function vectorOf(word, place, head) {
  const letters = [...word].reduce((sum, letter) => (31 * sum + letter.codePointAt(0)) % 997, 7);
  return Float32Array.from({ length: dim }, (_, n) => (n < dim / 2
    ? 2 * Math.sin(letters * (n + 1) * (head + 1))
    : 2 * Math.cos((place + (n % 2)) / (1 + n - dim / 2))));
}

const rows = Array.from({ length: heads }, (_, head) => words.map((word, place) => vectorOf(word, place, head))).flat();
const tensor = { data: Float32Array.from(rows.flatMap((row) => [...row])), dims: [1, heads, length, dim] };

const map = document.querySelector('attention-map');
map.label = 'Head 0 over a line of text';
map.data = { queries: tensor, keys: tensor, causal: true, tokens: words };
map.addEventListener('attention-cursor', ({ detail: { query, key, locked } }) => {
  document.querySelector('#event').textContent = `${words[query]} → ${words[key]}${locked ? ', locked' : ''}`;
});
