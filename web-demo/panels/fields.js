// SPDX-License-Identifier: Apache-2.0
/** Form fields that several panels have. */
import { html } from 'lit-html';

/** A select of [value, label] pairs. */
export function select({ label, name, value, options, change }) {
  return html`<label class="pick">${label}
    <select name=${name} .value=${value} @change=${({ target }) => change(target.value)}>
      ${options.map(([option, text]) => html`<option value=${option} ?selected=${option === value}>${text}</option>`)}
    </select></label>`;
}

/**
 * A slider with its value beside it, which can be typed. With `log` its steps are even in the logarithm.
 * @param {object} field
 * @param {(value: number, gesture: string) => void} field.change called while it is dragged
 * @param {() => void} field.done called when it is let go
 */
export function slider({ label, name, value, min, max, step, log: isLog, text = String(value), change, done }) {
  const steps = 200;
  const log = isLog && (max - min) / step > steps; // with fewer values each has a place of its own
  const toSlider = (x) => (log ? (steps * Math.log(x / min)) / Math.log(max / min) || 0 : x);
  const fromSlider = (x) => (log ? rounded(min * (max / min) ** (x / steps), step) : x);
  const within = (x) => Math.min(max, Math.max(min, x));
  return html`<div class="slider">
    <label><span>${label}</span>
      <input type="range" name=${name} min=${log ? 0 : min} max=${log ? steps : max} step=${log ? 1 : step}
        .value=${String(toSlider(value))} aria-valuetext=${text}
        @input=${({ target }) => change(within(fromSlider(Number(target.value))), name)} @change=${done}></label>
    <input type="number" aria-label="${label}, as a number" min=${min} max=${max} step=${step} .value=${String(value)}
      @change=${({ target }) => {
        if (target.value !== '' && Number.isFinite(Number(target.value))) change(within(Number(target.value)));
        target.value = String(value); // what was refused goes; what was taken comes with the next drawing
      }}>
  </div>`;
}

function rounded(value, step) {
  const whole = Math.round(value / step) * step;
  return Number(whole.toPrecision(6));
}

export function checkbox({ label, name, checked, change }) {
  return html`<label class="check"><input type="checkbox" name=${name} .checked=${checked}
    @change=${({ target }) => change(target.checked)}> ${label}</label>`;
}
