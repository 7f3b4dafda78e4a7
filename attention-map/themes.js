// SPDX-License-Identifier: Apache-2.0

/**
 * Colours of figures, as [red, green, blue] in 0..255. What is not kept is a warm grey: the ramps have blue ends and
 * neutral greys, from both of which it differs.
 */

export const THEMES = Object.freeze({
  light: Object.freeze({
    page: [255, 255, 255],
    text: [26, 26, 30],
    muted: [88, 88, 98],
    line: [120, 120, 130],
    ink: [16, 16, 20],
    chalk: [255, 255, 255],
    masked: [232, 228, 219],
    hatch: [212, 206, 194],
    skipped: [201, 194, 180],
  }),
  dark: Object.freeze({
    page: [19, 19, 23],
    text: [236, 236, 241],
    muted: [167, 167, 179],
    line: [128, 128, 140],
    ink: [16, 16, 20],
    chalk: [255, 255, 255],
    masked: [74, 69, 62],
    hatch: [104, 98, 88],
    skipped: [46, 43, 38],
  }),
});

/** @returns {string} as CSS and SVG write it */
export function hexOf(color) {
  return `#${color.map((part) => Math.round(part).toString(16).padStart(2, '0')).join('')}`;
}

/** @returns {number} how bright a colour is, 0..1 (relative luminance of WCAG 2) */
export function luminanceOf(color) {
  const [red, green, blue] = color.map((part) => {
    const value = part / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
