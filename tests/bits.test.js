// SPDX-License-Identifier: Apache-2.0
// The base variant computes the same bits as the native plain-C build. Both solve the same seeded cases (cases.c) and
// say a hash of each result; bits.c is built natively and as wasm without the package's JavaScript.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const path = (name) => fileURLToPath(new URL(`../build/tests/${name}`, import.meta.url));
