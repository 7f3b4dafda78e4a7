// SPDX-License-Identifier: Apache-2.0
/** The files that the page saves of a mask or of its cells. */
import { cellsCsv, fileName, headMask, maskNpy, maskNpz, recipeJson } from './files/exports.js';
import { flexExport } from './files/flex-export.js';

const BINARY = 'application/octet-stream';

/**
 * @param {import('../attention-map/source.js').MapSource} source
 * @param {object} recipe of its mask
 * @param {object} options
 * @param {string} options.kind `mask-npy`, `mask-npz`, `mask-flex`, `weights-csv` or `recipe-json`
 * @param {{ name: string, layer: string, batch?: number, head: number }} options.about what the files are named by
 * @param {number} options.batch, options.head whose mask and cells
 * @param {[number, number]} options.rows, options.columns the cells in view
 * @param {{ queries: string[], keys: string[] }} [options.tokens]
 * @returns {{ name: string, type: string, content: Uint8Array | string }[]}
 * @throws DataError where there is nothing to save, or too much
 */
export function exportFiles(source, recipe, { kind, about, batch, head, rows, columns, tokens }) {
  const [, heads] = source.shape;
  const maskOfHead = () => headMask(source.mask, { batch, head, heads });
  switch (kind) {
    case 'mask-npy':
      return [{ name: fileName(about, 'mask', '.npy'), type: BINARY, content: maskNpy(maskOfHead()) }];
    case 'mask-npz':
      return [{ name: fileName(about, 'mask', '.npz'), type: BINARY, content: maskNpz(maskOfHead()) }];
    case 'mask-flex': {
      const name = fileName(about, 'flex', '.npz');
      const { file, program } = flexExport(source.mask, { heads, file: name });
      const script = { name: fileName(about, 'flex', '.py'), type: 'text/x-python', content: program };
      return [{ name, type: BINARY, content: file }, script];
    }
    case 'weights-csv': {
      const cells = source.read({ batch, head, rows, columns, level: 0 });
      return [{ name: fileName(about, 'weights', '.csv'), type: 'text/csv', content: cellsCsv({ ...cells, rows, columns }, tokens) }];
    }
    default:
      return [{ name: fileName(about, 'recipe', '.json'), type: 'application/json', content: recipeJson(recipe, about) }];
  }
}
