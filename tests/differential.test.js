// SPDX-License-Identifier: Apache-2.0
// Thousands of random problems per run against the double-precision oracle. Every problem must stay within
// 1.5 x the error of the naive float32 loop + 2^-22 max|v| (1 + max|logit|), and the largest error of a family within
// 1.5 x that of the naive loop. ATTN_SEED and ATTN_CASES choose other problems, and more or fewer of them.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { createAttention } from '../js/index.js';
import { check } from './agreement.js';
import { Random, cases, describe, families, seed } from './random.js';
import { variants } from './variants.js';

for (const variant of variants) {
  let attention;
  before(async () => {
    attention = await createAttention({ variant });
  });
  after(() => attention.dispose());

  Object.entries(families).forEach(([name, draw], family) => {
    const count = variant === 'base' ? cases : Math.ceil(cases / 4);
    test(`${variant}: ${count} random problems, ${name} (ATTN_SEED=${seed})`, (t) => {
      // In units of the largest value alone, and of the bound's (1 + the largest logit) as well, where the cases with
      // large logits do not hide the others.
      const errors = { plain: { ours: 0, naive: 0 }, relative: { ours: 0, naive: 0 } };
      for (let n = 0; n < count; n++) {
        const options = draw(new Random(seed, family, n));
        let failures;
        try {
          failures = check(attention, options, new Random(seed, family, n, 1), errors);
        } catch (error) {
          failures = [error.stack];
        }
        assert.deepEqual(failures, [], `problem ${n} of family ${name}: ${describe(options)}`);
      }
      for (const [unit, { ours, naive }] of Object.entries(errors)) {
        t.diagnostic(`largest ${unit} error ${ours.toExponential(2)}, naive float32 loop ${naive.toExponential(2)}`);
        if (count >= 1000 && !(unit === 'plain' && name === 'magnitudes'))
          assert.ok(ours <= 1.5 * naive, `largest ${unit} error ${ours} over 1.5 x the naive loop's ${naive}`);
      }
    });
  });
}
