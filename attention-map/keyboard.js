// SPDX-License-Identifier: Apache-2.0
/** Keys to what they do. The element's help lists the same keys: HELP. */

export const HELP = [
  ['Arrow keys', 'move by one cell; with Shift by 10, with Ctrl or Alt by a block of 64'],
  ['Home, End', 'first and last key; with Ctrl first and last cell'],
  ['Page Up, Page Down', 'up and down by what is visible'],
  ['+, −, 0', 'zoom in, out, and to the whole picture'],
  ['Enter, Escape', 'lock the cell, and unlock it; when drawing, begin and end a rectangle, or give it up'],
  ['[, ]', 'make the window or the number of sinks smaller or larger by one; with Shift by 10'],
  ['t', 'table of the strongest visible cells'],
  ['Space', 'hold it to drag the picture while drawing'],
];

const STEPS = {
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0],
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
};

/**
 * @param {{ key: string, shiftKey: boolean, ctrlKey: boolean, altKey: boolean, metaKey: boolean }} event
 * @param {{ shape: [number, number], visible: { rows: [number, number] }, cursor: { query: number, key: number } }} at
 * @returns {{ type: 'move', query: number, key: number } | { type: 'zoom', factor: number } | { type: 'fit' } |
 *   { type: 'handle', by: number } | { type: 'enter' | 'escape' | 'table' | 'hold' } | undefined} undefined for keys
 * that are not the element's
 */
export function actionOf(event, { shape: [queries, keys], visible, cursor }) {
  if (event.metaKey) return undefined;
  const { key, shiftKey } = event;
  const isBlock = event.ctrlKey || event.altKey;
  const move = (query, column) => ({
    type: 'move',
    query: Math.min(queries - 1, Math.max(0, query)),
    key: Math.min(keys - 1, Math.max(0, column)),
  });
  if (Object.hasOwn(STEPS, key)) {
    const size = isBlock ? 64 : shiftKey ? 10 : 1;
    const [down, right] = STEPS[key];
    return move(cursor.query + size * down, cursor.key + size * right);
  }
  if (event.altKey) return undefined;
  const page = Math.max(1, visible.rows[1] - visible.rows[0] - 1);
  switch (key) {
    case 'Home': return event.ctrlKey ? move(0, 0) : move(cursor.query, 0);
    case 'End': return event.ctrlKey ? move(queries - 1, keys - 1) : move(cursor.query, keys - 1);
    case 'PageUp': return event.ctrlKey ? undefined : move(cursor.query - page, cursor.key);
    case 'PageDown': return event.ctrlKey ? undefined : move(cursor.query + page, cursor.key);
    default:
  }
  if (event.ctrlKey) return undefined;
  switch (key) {
    case '+': case '=': return { type: 'zoom', factor: 2 };
    case '-': case '_': case '−': return { type: 'zoom', factor: 0.5 };
    case '0': return { type: 'fit' };
    case '[': return { type: 'handle', by: -1 };
    case '{': return { type: 'handle', by: -10 };
    case ']': return { type: 'handle', by: 1 };
    case '}': return { type: 'handle', by: 10 };
    case 'Enter': return { type: 'enter' };
    case 'Escape': return { type: 'escape' };
    case 't': case 'T': return { type: 'table' };
    case ' ': return { type: 'hold' };
    default: return undefined;
  }
}
