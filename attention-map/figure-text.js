// SPDX-License-Identifier: Apache-2.0

/** Text of figures: broken into lines, and tokens as labels. */

import { fitText, textWidth } from './font.js';

const MARKS = { ' ': '␣', '\u00a0': '␣', '\n': '↵', '\r': '↵', '\t': '⇥' };

/**
 * Lines of at most `width`, broken at spaces; what is left over after `count` of them, and words wider than a line, end
 * in an ellipsis.
 * @returns {string[]}
 */
export function wrapText(text, size, width, count) {
  const lines = [];
  for (const word of text.split(/\s+/).filter((part) => part !== '')) {
    const longer = `${lines.at(-1)} ${word}`;
    const goesOn = lines.length > 0 && (lines.length === count || textWidth(longer, size) <= width);
    if (goesOn) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines.map((line) => fitText(line, size, width));
}

/** A token as it can be read: white space alone as marks, at its ends as nothing, control characters as a mark. */
export function tokenLabel(token, size, width) {
  const text = token.trim() === '' ? [...token].map((character) => MARKS[character] ?? '␣').join('') : token.trim();
  // eslint-disable-next-line no-control-regex -- tokens may hold any
  const visible = text.replace(/\s/g, ' ').replace(/[\x00-\x1f\x7f-\x9f]/g, '\ufffd');
  return fitText(visible, size, width);
}
