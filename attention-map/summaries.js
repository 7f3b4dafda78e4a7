// SPDX-License-Identifier: Apache-2.0

/** What values of many cells come to: their range, how they are distributed, which are the largest. */

const MOST_NUMBERS = 2 ** 18; // that quantiles are taken of
const PERCENTILES = 101;

/**
 * Range and percentiles of numbers that come one by one. Of more than 2^18 every second is left out of the percentiles,
 * then every second of the others, and so on.
 */
export class Distribution {
  max = -Infinity;
  min = Infinity;
  count = 0;
  #isPositive;
  #numbers = new Float32Array(1024);
  #length = 0;
  #step = 1; // of so many numbers one is remembered

  /** @param isPositive whether `min` is of those above 0 only */
  constructor(isPositive) {
    this.#isPositive = isPositive;
  }

  /** Numbers that are not finite are left out. */
  add(number) {
    if (!Number.isFinite(number)) return;
    if (number > this.max) this.max = number;
    if (number < this.min && !(this.#isPositive && number <= 0)) this.min = number;
    if (this.count++ % this.#step > 0) return;
    if (this.#length === this.#numbers.length) this.#makeRoom();
    this.#numbers[this.#length++] = number;
  }

  /** The smallest number, those of which 1% are smaller, ... the largest; zeros where there is none. */
  quantiles() {
    const sorted = this.#numbers.slice(0, this.#length).sort();
    const last = sorted.length - 1;
    return Float32Array.from({ length: PERCENTILES }, (_, n) =>
      last < 0 ? 0 : sorted[Math.round((n / (PERCENTILES - 1)) * last)],
    );
  }

  #makeRoom() {
    const all = this.#numbers;
    if (all.length < MOST_NUMBERS) {
      this.#numbers = new Float32Array(2 * all.length);
      this.#numbers.set(all);
      return;
    }
    this.#length = all.length / 2;
    this.#step *= 2;
    for (let n = 0; n < this.#length; n++) all[n] = all[2 * n];
  }
}

/** The largest cells so far, in descending order; of equal ones those that came first. */
export class Strongest {
  #count;
  #cells = []; // { query, key, weight }

  constructor(count) {
    this.#count = count;
  }

  add(query, key, weight) {
    const cells = this.#cells;
    if (Number.isNaN(weight)) return;
    if (cells.length === this.#count && !(weight > cells.at(-1)?.weight)) return;
    let low = 0;
    let high = cells.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (cells[middle].weight >= weight) low = middle + 1;
      else high = middle;
    }
    cells.splice(low, 0, { query, key, weight });
    if (cells.length > this.#count) cells.pop();
  }

  get cells() {
    return this.#cells;
  }
}

/** Some of `count` rows, evenly spread: all of them where they are no more than `most`. */
export function spread(count, most) {
  const taken = Math.min(count, most);
  return Array.from({ length: taken }, (_, n) => Math.floor(((n + 0.5) * count) / taken));
}
