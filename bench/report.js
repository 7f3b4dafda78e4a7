// SPDX-License-Identifier: Apache-2.0
/** Lays results out: the table on the screen, and the one of the README. */

const digits = (number, places) => number?.toFixed(places) ?? '';
const percent = (part) => (part === undefined ? '' : `${(part * 100).toFixed(0)} %`);
const milliseconds = (time) => digits(time, time < 0.1 ? 5 : 2);
const megabytes = (bytes) => (bytes / 1e6).toPrecision(3);

function relative({ relativeTime, relativeRate }) {
  if (relativeTime !== undefined) return `time ${digits(relativeTime, relativeTime < 0.1 ? 4 : 3)}`;
  return relativeRate === undefined ? '' : `rate ${digits(relativeRate, 2)}`;
}

const COLUMNS = [
  ['', 26, (line) => line.name],
  ['ms', 10, ({ own }) => milliseconds(own.median)],
  ['min - max', 20, ({ own }) => `${milliseconds(own.min)} - ${milliseconds(own.max)}`],
  ['rounds', 7, ({ own }) => String(own.rounds)],
  ['GFLOPS', 8, ({ own }) => digits(own.gflops, own.gflops < 10 ? 2 : 1)],
  ['limit', 7, ({ own }) => percent(own.ofLimit)],
  ['/ base', 8, ({ own }) => digits(own.overBase, 2)],
  ['/ relaxed', 10, ({ own }) => digits(own.overRelaxed, 2)],
  ['relative', 14, ({ own }) => relative(own)],
  ['MB', 8, ({ own }) => (own.grownBytes === undefined ? '' : digits(own.grownBytes / 1e6, 2))],
];
const layOut = ([name, ...cells]) =>
  [name.padEnd(COLUMNS[0][1]), ...cells.map((cell, i) => cell.padStart(COLUMNS[i + 1][1]))].join('').trimEnd();

export const header = () => layOut(COLUMNS.map(([title]) => title));

/** The lines of one row. */
export function formatRow({ id, title, cases }) {
  const lines = [`${id}  ${title}`];
  for (const { name, keyValueBytes, limits: { read, ...flops }, contestants } of cases) {
    const rates = Object.entries(flops).map(([variant, rate]) => `${variant} ${digits(rate, 1)} GFLOPS`);
    lines.push(`  ${name}  (limits: ${rates.join(', ')}, ${digits(read, 1)} GB/s reading ${megabytes(keyValueBytes)} MB)`);
    for (const [contestant, own] of Object.entries(contestants)) {
      lines.push(layOut(COLUMNS.map(([, , cell]) => cell({ name: `    ${contestant}`, own }))));
    }
  }
  return lines.join('\n');
}

/** The README's table: a line for each case that has a rival, beside the fastest of them. */
export function formatReadme({ agent, date, rows }) {
  const lines = [
    '| work | base | relaxed | fastest rival | its time / base | its time / relaxed |',
    '|---|---|---|---|---|---|',
  ];
  for (const { title, cases } of rows) {
    for (const { name, contestants } of cases) {
      const { base, relaxed, ...rivals } = contestants;
      if (Object.keys(rivals).length === 0) continue;
      const [rival, best] = Object.entries(rivals).reduce((a, b) => (b[1].median < a[1].median ? b : a));
      const cells = [
        cases.length > 1 ? `${title}, ${name}` : title,
        ...[base, relaxed].map((own) => (own ? `${milliseconds(own.median)} ms, ${percent(own.ofLimit)}` : '')),
        `${rival}, ${milliseconds(best.median)} ms`,
        digits(best.overBase, 2),
        digits(best.overRelaxed, 2),
      ];
      lines.push(`| ${cells.join(' | ')} |`);
    }
  }
  const note = "Milliseconds are medians; per cent are of the machine's limit in the same run.";
  return [`${agent}, ${date}. ${note}`, '', ...lines].join('\n');
}

/** The text with what stands between its markers replaced. */
export function replaceBetweenMarkers(text, content, name = 'bench') {
  const [begin, end] = [`<!-- ${name}:begin -->`, `<!-- ${name}:end -->`];
  const pattern = new RegExp(`${begin}[^]*?${end}`);
  if (!pattern.test(text)) throw new Error(`README.md has no ${begin} ... ${end}`);
  return text.replace(pattern, () => `${begin}\n${content}\n${end}`);
}
