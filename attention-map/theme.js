// SPDX-License-Identifier: Apache-2.0
/** The page's colours for canvases, as the style sheet's probe has them. */

/**
 * @typedef {object} Theme
 * @property {string} text a CSS colour, as the others that are strings
 * @property {string} muted
 * @property {string} page
 * @property {string} line
 * @property {string} accent
 * @property {string} font
 * @property {boolean} isDark
 * @property {{ masked: number[], hatch: number[], skipped: number[] }} cells red, green and blue, for tiles
 */

/** @param {HTMLElement} probe @returns {Theme} */
export function readTheme(probe) {
  const style = getComputedStyle(probe);
  const page = bytesOf(style.backgroundColor);
  return {
    text: style.color,
    muted: style.textDecorationColor,
    page: style.backgroundColor,
    line: style.borderInlineEndColor,
    accent: style.outlineColor,
    font: style.fontFamily,
    isDark: luminance(page) < 0.5,
    cells: {
      masked: bytesOf(style.borderBlockStartColor),
      hatch: bytesOf(style.borderInlineStartColor),
      skipped: bytesOf(style.borderBlockEndColor),
    },
  };
}

/** @returns {number} 0..1, of red, green and blue in 0..255 (Rec. 709, without linearising) */
export function luminance([red, green, blue]) {
  return (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255;
}

export const cssOf = ([red, green, blue]) => `rgb(${red} ${green} ${blue})`;

/** Any CSS colour as bytes: drawn, since computed colours may be written in any colour space. */
function bytesOf(color) {
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = 1;
  const context = canvas.getContext('2d', { willReadFrequently: true });
  context.fillStyle = color;
  context.fillRect(0, 0, 1, 1);
  return [...context.getImageData(0, 0, 1, 1).data.subarray(0, 3)];
}
