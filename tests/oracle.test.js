// SPDX-License-Identifier: Apache-2.0
// The oracle itself, against everything we have that nobody in this project wrote; needs no build.
import assert from 'node:assert/strict';
import test from 'node:test';

import * as conformance from './conformance.js';
import {
  attend,
  bitsFromFloat32,
  float32FromBits,
  fromBfloat16,
  fromFloat16,
  philox,
  toBfloat16,
  toFloat16,
} from './oracle.js';

for (const kind of ['canonical', 'torch', 'golden', 'sparseHub'])
  test(`oracle agrees with the ${kind} vectors`, (t) => {
    const cases = conformance[kind]();
    if (!cases.length) {
      assert.equal(kind, 'canonical', 'redistributable vectors are in tests/vectors');
      assert.ok(!conformance.required, conformance.absent);
      return t.skip(conformance.absent);
    }
    const failures = [];
    for (const { name, options, expected, numerator } of cases) {
      const result = attend(options);
      const upstream = numerator ? attend({ ...options, rowMaxOver: 'allowed' }) : undefined;
      for (const expectation of expected) {
        const { what } = expectation;
        const actual = what.startsWith('scores.')
          ? result.scores[what.slice(7)]
          : (['numerator', 'denominator'].includes(what) ? upstream : result)[what];
        const message = conformance.disagreement(expectation, actual, options.values.dims[3]);
        if (message) failures.push(`${name}: ${message}`);
      }
    }
    assert.deepEqual(failures, []);
  });

test('oracle: Philox4x32-10 gives the published vectors', () => {
  const all = 0xffffffff;
  assert.deepEqual(philox([0, 0, 0, 0], [0, 0]), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
  assert.deepEqual(philox([all, all, all, all], [all, all]), [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]);
  assert.deepEqual(
    philox([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0]),
    [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
  );
});

test('oracle: every half survives widening and narrowing, and ties go to even', () => {
  for (let half = 0; half < 65536; half++) {
    const value = fromFloat16(half);
    if (Number.isNaN(value)) assert.equal(toFloat16(value) & 0x7c00, 0x7c00);
    else assert.equal(toFloat16(value), half);
    const wide = fromBfloat16(half);
    if (!Number.isNaN(wide)) assert.equal(toBfloat16(wide), half);
  }
  for (let half = 0; half < 0x7bff; half++) {
    const tie = (fromFloat16(half) + fromFloat16(half + 1)) / 2;
    assert.equal(toFloat16(tie), half % 2 ? half + 1 : half);
  }
  assert.equal(toFloat16(65519.996), 0x7bff);
  assert.equal(toFloat16(65520), 0x7c00);
  assert.equal(toBfloat16(float32FromBits(0x3f808000)), 0x3f80);
  assert.equal(toBfloat16(float32FromBits(0x3f818000)), 0x3f82);
  assert.equal(toBfloat16(float32FromBits(0x7f7fffff)), 0x7f80);
  assert.equal(bitsFromFloat32(1), 0x3f800000);
});
