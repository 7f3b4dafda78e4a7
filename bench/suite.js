// SPDX-License-Identifier: Apache-2.0
/** Runs rows of rows.js, in Node or in a browser: makes the contestants, checks them, times them. */
import { checkResult } from './check.js';
import { describeCase } from './figures.js';
import { createLimit } from './limit.js';
import { measure, warmUp } from './measure.js';
import { createAttention23, createGroupQueryAttention, createMultiHeadAttention, startOnnx } from './onnx.js';
import { createOurs, listVariants } from './ours.js';
import { createPlainLoop } from './plain.js';
import { countWork, createProblem } from './problem.js';
import { ROWS } from './rows.js';
import { createComposed, startTfjs } from './tfjs.js';

const RIVALS = {
  'ort Attention': createAttention23,
  'ort MultiHeadAttention': createMultiHeadAttention,
  'ort GroupQueryAttention': createGroupQueryAttention,
  tfjs: createComposed,
  'plain loop': createPlainLoop,
};

const warm = async (contestant) => ({ ...contestant, ...(await warmUp(contestant.run)) });

/** Every way to compute the case: warmed up and checked. */
async function createContestants(item, problem, { variants, rivals }) {
  const contestants = [];
  let checked = problem;
  const add = async (name, created) => {
    const { result, ...contestant } = await warm(created);
    const grownBytes = contestant.grownBytes?.();
    if (problem.options.training && checked === problem) {
      checked = { ...problem, options: { ...problem.options, dropoutMask: contestant.dropoutMask() } };
    }
    const sparseAttentionMask = contestant.lastMask?.() ?? checked.options.sparseAttentionMask;
    const asked = { ...checked, options: { ...checked.options, sparseAttentionMask } };
    checkResult(`${item.name}, ${name}`, asked, contestant.read(result));
    contestants.push({ ...contestant, name, grownBytes });
  };
  for (const variant of variants) await add(variant, await createOurs(problem, variant, item));
  for (const name of item.rivals ?? []) {
    if (!rivals || rivals.includes(name)) await add(name, await RIVALS[name](problem, item.resident));
  }
  return contestants;
}

/** What is above the contestants of each case: multiplying in each variant, and reading as much as keys and values take. */
async function createLimits(works, { variants, limitBytes }) {
  const mostRead = Math.max(...works.map(({ keyValueBytes }) => keyValueBytes));
  const [first, ...others] = await Promise.all(limitBytes.map((wasm, i) => createLimit(wasm, i === 0 ? mostRead : 0)));
  const multiply = [];
  for (const limit of [first, ...others]) multiply.push(await warm(limit.multiply));
  const limits = [];
  for (const { keyValueBytes } of works) {
    const own = variants.map((variant, i) => [variant, { ...multiply[i] }]);
    limits.push({ ...Object.fromEntries(own), read: await warm(first.read(keyValueBytes)) });
  }
  return limits;
}

/** Times one row; returns what report.js prints. */
async function runRow({ id, title, cases }, environment) {
  const arrays = new Map();
  const entries = [];
  for (const item of cases) {
    const problem = createProblem(item, arrays);
    entries.push({ item, work: countWork(problem), contestants: await createContestants(item, problem, environment) });
  }
  const limits = await createLimits(entries.map(({ work }) => work), environment);
  entries.forEach((entry, i) => { entry.limits = limits[i]; });

  // The limits of a case take their turns right beside its contestants.
  const timed = entries.flatMap((entry) => [...entry.contestants, ...Object.values(entry.limits)]);
  const samples = await measure(timed, environment);
  timed.forEach((contestant, i) => { contestant.samples = samples[i]; });

  for (const { contestants } of entries) {
    for (const { dispose } of contestants) await dispose?.();
  }
  return { id, title, cases: entries.map((entry) => describeCase(entry, entries)) };
}

/**
 * @param {object} environment
 * @param {(name: string) => Promise<Uint8Array>} environment.readFile a file of build/bench
 * @param {string} [environment.onnxFolder] see startOnnx
 * @param {string} environment.tfjsFolder see startTfjs
 * @param {string[]} [environment.rivals] those that take part; default all
 * @param {number} environment.rounds see measure
 * @param {number} environment.budget see measure
 * @returns {Promise<(id: string) => Promise<object>>} runs one row
 */
export async function createSuite({ readFile, onnxFolder, tfjsFolder, ...environment }) {
  startOnnx(onnxFolder);
  await startTfjs(tfjsFolder);
  const variants = await listVariants();
  const limitBytes = await Promise.all(variants.map((variant) => readFile(`limit-${variant}.wasm`)));
  return (id) => runRow(ROWS.find((row) => row.id === id), { ...environment, variants, limitBytes });
}
