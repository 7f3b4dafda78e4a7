// SPDX-License-Identifier: Apache-2.0

/** Text for people, JSON for programs, and progress on a terminal. */

const EVERY_MS = 100; // between two reports of progress

export function print(text) {
  process.stdout.write(`${text}\n`);
}

/** JSON has no infinities and no NaN: they become the strings of these names. */
export function printJson(value) {
  const isOutside = (part) => typeof part === 'number' && !Number.isFinite(part);
  print(JSON.stringify(value, (_, part) => (isOutside(part) ? String(part) : part), 2));
}

/** Three or four digits, as much as a reader takes in. */
export function short(value) {
  if (!Number.isFinite(value) || value === 0) return String(value);
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-4) return value.toExponential(2);
  return size >= 1000 ? value.toFixed(0) : String(Number(value.toPrecision(4)));
}

export function percent(fraction) {
  return `${(100 * fraction).toFixed(fraction < 0.1 ? 2 : 1)} %`;
}

/** Columns of text: the first to the left, numbers to the right. */
export function table(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const pad = (cell, n) => (n === 0 ? cell.padEnd(widths[n]) : cell.padStart(widths[n]));
  return rows.map((row) => row.map(pad).join('  ').trimEnd()).join('\n');
}

/** On a terminal one line that is written over; where there is none, and it was asked for, a line for each tenth. */
export class Progress {
  #stream;
  #isTerminal;
  #isWanted;
  #last = 0;
  #tenths = 0;
  #isShown = false;

  constructor(stream, isAskedFor) {
    this.#stream = stream;
    this.#isTerminal = Boolean(stream.isTTY);
    this.#isWanted = this.#isTerminal || isAskedFor;
    this.#last = performance.now();
  }

  /** Of work that tells how far it is. */
  report(fraction) {
    if (!this.#isWanted) return;
    const done = `${Math.floor(100 * fraction)} %`;
    if (!this.#isTerminal) {
      if (Math.floor(10 * fraction) <= this.#tenths) return;
      this.#tenths = Math.floor(10 * fraction);
      this.#stream.write(`attention ${done}\n`);
    } else if (performance.now() - this.#last >= EVERY_MS) {
      this.#last = performance.now();
      this.#show(`attention ${done}`);
    }
  }

  /** Of work that does not. */
  phase(text) {
    if (!this.#isWanted) return;
    if (this.#isTerminal) this.#show(text);
    else this.#stream.write(`${text}\n`);
  }

  end() {
    if (this.#isShown) this.#stream.write('\r\x1b[K');
    this.#isShown = false;
  }

  #show(text) {
    this.#stream.write(`\r\x1b[K${text}`);
    this.#isShown = true;
  }
}
