// SPDX-License-Identifier: Apache-2.0
/**
 * Queries, keys and values of any length that no model made, with what attention of trained models commonly shows:
 *
 * - locality: a part of the dimensions turns with the position, as rotary embeddings do (Su et al. 2021, "RoFormer"),
 *   at wavelengths from a few tokens to the whole length, so that scores fall with the distance;
 * - sinks: the first keys have nothing but a component that every query asks for (Xiao et al. 2024, "Efficient
 *   Streaming Language Models with Attention Sinks");
 * - stripes: one key in 97 on average has, beside the rest, such a component too, as separators do;
 * - topics: runs of 64 to 1087 tokens share a direction, out of 12; a token asks for its own topic, and heads differ in
 *   how much they look at topics and how much at neighbours;
 * - noise in all of them.
 */

const SINKS = 4;
const STRIPE_EVERY = 97;
const TOPICS = 12;
const RUN = [64, 1024];
const LOGITS = { local: 9, topic: 4, sink: 11.5, stripe: 4, noise: 0.4 }; // what each adds to a score at most
const GROWING = ['local', 'sink', 'stripe']; // with the logarithm of the length, or many keys would drown them
const LENGTH = 1024; // at which LOGITS holds

/**
 * @param {{ tokens: number, dim?: number, heads?: number, keyHeads?: number, seed?: number }} sizes dim is even and at
 * least 8; keyHeads divides heads
 * @returns {import('./dataset.js').Dataset} of one layer, the same for the same arguments
 * @throws RangeError
 */
export function synthetic({ tokens, dim = 32, heads = 2, keyHeads = heads, seed = 1 }) {
  checkCount(tokens, 'tokens', 1, 2 ** 20);
  checkCount(dim, 'dim', 8, 256);
  if (dim % 2 !== 0) throw new RangeError(`dim: expected an even number, got ${dim}`);
  checkCount(keyHeads, 'keyHeads', 1, 64);
  checkCount(heads, 'heads', keyHeads, 64);
  if (heads % keyHeads !== 0) throw new RangeError(`heads: expected a multiple of keyHeads ${keyHeads}, got ${heads}`);
  checkCount(seed, 'seed', 0, 2 ** 32 - 1);
  const random = makeRandom(seed);
  const places = placesOf(tokens, random);
  const plan = planOf(tokens, dim, random);
  const fill = (count, write) => {
    const data = new Float32Array(count * tokens * dim);
    for (let head = 0; head < count; head++) write(data.subarray(head * tokens * dim, (head + 1) * tokens * dim), head);
    return { data, dims: [1, count, tokens, dim], dtype: 'float32' };
  };
  const keys = fill(keyHeads, (data) => writeSide(data, plan, places, random, { local: 1, topic: 1, isKey: true }));
  const queries = fill(heads, (data, head) => {
    const share = heads === 1 ? 0 : head / (heads - 1); // from the most local head to the one most given to topics
    writeSide(data, plan, places, random, { local: 1 - 0.4 * share, topic: 0.5 + 0.6 * share, isKey: false });
  });
  const values = fill(keyHeads, (data) => {
    for (let n = 0; n < data.length; n++) data[n] = random();
  });
  return {
    name: `Synthetic, ${tokens} tokens`,
    layers: [{ label: 'Layer 1', problem: { queries, keys, values } }],
    notes: ['Synthetic: no model made these tensors; they imitate locality, sinks, stripes and topics.'],
  };
}

function checkCount(value, name, low, high) {
  if (!Number.isInteger(value) || value < low || value > high) {
    throw new RangeError(`${name}: expected an integer in ${low}..${high}, got ${value}`);
  }
}

/** Numbers in -1..1 with mean 0: mulberry32, in integers, so the same everywhere. */
function makeRandom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 31 - 1;
  };
}

/** The topic of each token, and which tokens are stripes. */
function placesOf(tokens, random) {
  const topics = new Uint8Array(tokens);
  const stripes = new Uint8Array(tokens);
  const below = (count) => Math.floor(((random() + 1) / 2) * count);
  for (let at = 0; at < tokens; ) {
    const end = Math.min(tokens, at + RUN[0] + below(RUN[1]));
    topics.fill(below(TOPICS), at, end);
    at = end;
  }
  for (let at = 0; at < tokens; at++) stripes[at] = below(STRIPE_EVERY) === 0 ? 1 : 0;
  return { topics, stripes };
}

/** Which dimensions serve what: pairs that turn, one for sinks, one for stripes, the rest for topics. */
function planOf(tokens, dim, random) {
  const pairs = Math.max(1, Math.floor((dim * 3) / 16));
  const longest = Math.max(16, 2 * tokens);
  const speeds = Array.from({ length: pairs }, (_, n) => {
    const wavelength = 16 * (longest / 16) ** (pairs === 1 ? 0 : n / (pairs - 1));
    return (2 * Math.PI) / wavelength;
  });
  const first = 2 * pairs + 2;
  const directions = Array.from({ length: TOPICS }, () => {
    const direction = Float32Array.from({ length: dim - first }, random);
    const norm = Math.hypot(...direction);
    return direction.map((value) => value / norm);
  });
  const growth = Math.log(Math.max(64, tokens) / LENGTH);
  const logits = { ...LOGITS };
  for (const name of GROWING) logits[name] += growth;
  return { dim, pairs, speeds, first, directions, logits, unit: Math.sqrt(Math.sqrt(dim)) }; // scores are / sqrt(dim)
}

/** Fills [tokens, dim] for queries or keys. The product of both sides is what the plan's logits say, before noise. */
function writeSide(data, { dim, pairs, speeds, first, directions, logits, unit }, { topics, stripes }, random, side) {
  const { local, topic, isKey } = side;
  const turning = unit * Math.sqrt(logits.local / pairs) * local;
  const about = unit * Math.sqrt(logits.topic) * topic;
  const sink = unit * Math.sqrt(logits.sink);
  const stripe = unit * Math.sqrt(logits.stripe);
  const noise = unit * logits.noise;
  for (let token = 0, at = 0; token < topics.length; token++, at += dim) {
    for (let n = 0; n < dim; n++) data[at + n] = noise * random();
    if (!isKey || token < SINKS) data[at + 2 * pairs] += sink;
    if (isKey && token < SINKS) continue;
    if (!isKey || stripes[token] === 1) data[at + 2 * pairs + 1] += stripe;
    for (let pair = 0; pair < pairs; pair++) {
      const angle = token * speeds[pair];
      data[at + 2 * pair] += turning * Math.cos(angle);
      data[at + 2 * pair + 1] += turning * Math.sin(angle);
    }
    const direction = directions[topics[token]];
    for (let n = first; n < dim; n++) data[at + n] += about * direction[n - first];
  }
}
