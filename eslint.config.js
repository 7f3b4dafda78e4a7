// SPDX-License-Identifier: Apache-2.0
//
// What `make check` asks of JavaScript: mistakes, not formatting.

import js from '@eslint/js';
import globals from 'globals';

export default [
  { ignores: ['build/', '**/node_modules/', 'web-demo/dist/', 'js/abi.js', 'js/binary-*.js', 'attention-map/{ramps,glyphs,zoom}.js', '**/*.ts'] },
  js.configs.recommended,
  {
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      eqeqeq: 'error',
      'no-var': 'error',
      'prefer-const': 'error',
      'no-unused-vars': ['error', { ignoreRestSiblings: true }],
    },
  },
  // The package runs in browsers, workers and Node: it may use what all of them have.
  { files: ['js/**'], languageOptions: { globals: globals['shared-node-browser'] } },
  { files: ['web-demo/**', 'attention-map/**', 'examples/*.js'], languageOptions: { globals: globals.browser } },
  { files: ['bin/**', 'cli/**', 'tests/**', 'tools/**', 'bench/**', 'examples/**', '*.js'], languageOptions: { globals: globals.nodeBuiltin } },
  { files: ['tests/browser/**', 'bench/page.js'], languageOptions: { globals: { ...globals.browser, ...globals.nodeBuiltin } } },
];
