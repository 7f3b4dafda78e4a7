// SPDX-License-Identifier: Apache-2.0
/** The element's style sheet. Pages set the custom properties --attention-map-*; docs/attention-map.md lists them. */

const CSS = `
:host {
  --text: var(--attention-map-text, light-dark(#1b1b21, #ececf1));
  --muted: var(--attention-map-muted, light-dark(#5d5d69, #a3a3b0));
  --page: var(--attention-map-page, light-dark(#ffffff, #16161b));
  --line: var(--attention-map-line, light-dark(#c9c9d2, #44444f));
  --accent: var(--attention-map-accent, light-dark(#3b4fc4, #9fb0ff));
  --masked: var(--attention-map-masked, light-dark(#d9d9e1, #33333d));
  --hatch: var(--attention-map-hatch, light-dark(#9a9aa8, #74748a));
  --skipped: var(--attention-map-skipped, light-dark(#f6f6f9, #1c1c22));
  display: flex;
  flex-direction: column;
  box-sizing: border-box;
  min-inline-size: 0;
  background: var(--page);
  color: var(--text);
  font: 0.875rem/1.4 system-ui, sans-serif;
}
:host([hidden]) { display: none; }
* { box-sizing: border-box; }
.stage {
  position: relative;
  flex: 1 1 auto;
  inline-size: 100%;
  min-block-size: 8rem;
  max-block-size: var(--attention-map-max-height, 80vh);
  overflow: hidden;
  border-radius: 4px;
  cursor: crosshair;
  user-select: none;
  -webkit-user-select: none;
}
.stage.fitted { touch-action: pan-x pan-y; }
.stage:not(.fitted), .stage.tooled { touch-action: none; }
.stage.grip { cursor: ew-resize; }
.stage.holding { cursor: grab; }
.stage.panning { cursor: grabbing; }
canvas { position: absolute; inset: 0; inline-size: 100%; block-size: 100%; pointer-events: none; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.stage:focus-visible { outline-offset: -3px; }
.message {
  position: absolute;
  inset: 0 0 auto;
  margin: 0;
  padding: 0.75rem 1rem;
  border: 1px solid var(--line);
  background: var(--page);
}
[hidden] { display: none !important; }

footer { display: grid; gap: 0.5rem; padding: 0.5rem 0.25rem 0.25rem; }
.sentence { margin: 0; min-block-size: 2.8em; overflow-wrap: anywhere; }
.bar { display: flex; flex-wrap: wrap; gap: 0.5rem 1rem; align-items: flex-start; }
.legend {
  flex: 1 1 15rem;
  display: flex;
  flex-wrap: wrap;
  gap: 0.4rem 1rem;
  align-items: flex-start;
  font-size: 0.8rem;
}
.ramp { flex: 1 1 11rem; max-inline-size: 22rem; min-inline-size: 9rem; }
.ramp canvas {
  position: static;
  display: block;
  block-size: 0.8rem;
  border: 1px solid var(--line);
  border-radius: 2px;
}
.ticks { position: relative; block-size: 1.3em; margin-block-start: 0.15rem; }
.ticks span { position: absolute; white-space: nowrap; color: var(--muted); font-variant-numeric: tabular-nums; }
.caption { color: var(--muted); }
.swatches { display: grid; gap: 0.2rem; }
.swatch { display: flex; gap: 0.4rem; align-items: center; white-space: nowrap; }
.swatch canvas { position: static; inline-size: 1.6rem; block-size: 0.9rem; border: 1px solid var(--line); }
.zoom { display: flex; gap: 0.25rem; margin-inline-start: auto; }
button {
  min-inline-size: 2rem;
  min-block-size: 2rem;
  padding: 0 0.5rem;
  border: 1px solid var(--line);
  border-radius: 4px;
  background: var(--page);
  color: inherit;
  font: inherit;
  cursor: pointer;
}
button:hover { border-color: var(--accent); }
@media (pointer: coarse) { .zoom button { min-inline-size: 2.75rem; min-block-size: 2.75rem; } }
summary { cursor: pointer; color: var(--muted); padding-block: 0.15rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: start; color: var(--muted); padding-block: 0.2rem; }
th, td {
  padding: 0.2rem 0.8rem 0.2rem 0;
  border-block-end: 1px solid var(--line);
  text-align: start;
  font-weight: 400;
}
thead th { color: var(--muted); }
td.number { text-align: end; }
td button { min-inline-size: 1.5rem; min-block-size: 1.5rem; font-size: 0.8rem; }
dl { display: grid; grid-template-columns: auto 1fr; gap: 0.15rem 0.8rem; margin: 0.2rem 0; }
dt { white-space: nowrap; }
dd { margin: 0; color: var(--muted); }

/* Carries the colours to the canvases, and tells by its transition when they change. */
.probe {
  position: absolute;
  inline-size: 0;
  block-size: 0;
  visibility: hidden;
  forced-color-adjust: none;
  color: var(--text);
  background-color: var(--page);
  border-block-start-color: var(--masked);
  border-block-end-color: var(--skipped);
  border-inline-start-color: var(--hatch);
  border-inline-end-color: var(--line);
  outline-color: var(--accent);
  text-decoration-color: var(--muted);
  transition: 1ms step-end;
  transition-property: color, background-color, border-color, outline-color, text-decoration-color;
}

@media (forced-colors: active) {
  :host {
    --text: CanvasText;
    --muted: CanvasText;
    --page: Canvas;
    --line: CanvasText;
    --accent: Highlight;
    --masked: Canvas;
    --hatch: CanvasText;
    --skipped: color-mix(in srgb, CanvasText 25%, Canvas);
  }
  .stage { outline: 1px solid CanvasText; outline-offset: -1px; }
  .stage:focus-visible { outline: 3px solid Highlight; outline-offset: -3px; }
}
@media (max-width: 30rem) {
  dl { grid-template-columns: 1fr; }
  dt { font-weight: 600; }
}
`;

/** @returns {CSSStyleSheet} */
export function makeSheet() {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(CSS);
  return sheet;
}
