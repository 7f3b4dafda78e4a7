// SPDX-License-Identifier: Apache-2.0
/** Pan and zoom of the stage by d3-zoom: wheel, drag, pinch, double click, and what the element asks for. */
import { fitZoom, maxZoom } from './view.js';
import { select, zoom, zoomIdentity } from './zoom.js';

const MOTION = 200; // ms

export class Zooming {
  #stage;
  #zoom;
  #isSetting = false;

  /**
   * @param {HTMLElement} stage
   * @param {object} options
   * @param {(event: Event) => boolean} options.filter whether an event pans or zooms
   * @param {(transform: { x: number, y: number, k: number }, isUser: boolean) => void} options.onchange
   */
  constructor(stage, { filter, onchange }) {
    this.#stage = select(stage);
    this.#zoom = zoom()
      .clickDistance(4)
      .filter((event) => {
        this.#zoom.duration(motion()); // of a double click
        return filter(event);
      })
      .on('start', ({ sourceEvent }) => stage.classList.toggle('panning', sourceEvent?.type === 'mousedown'))
      .on('zoom', ({ transform: { x, y, k }, sourceEvent }) =>
        onchange({ x, y, k }, Boolean(sourceEvent) && !this.#isSetting))
      .on('end', () => stage.classList.remove('panning'));
    this.#stage.call(this.#zoom);
  }

  /** Keeps the picture of [sq, sk] cells inside the plot, and no smaller than fits it. */
  bound(plot, shape) {
    const { left, top, width, height } = plot;
    this.#zoom
      .extent([[left, top], [left + width, top + height]])
      .translateExtent([[0, 0], [shape[1], shape[0]]])
      .scaleExtent([fitZoom(plot, shape), maxZoom(plot, shape)]);
  }

  /**
   * @param {{ x: number, y: number, k: number }} transform inside the bounds
   * @param {{ event?: Event, isSmooth?: boolean }} [how] the user's event, if it was the user
   */
  show({ x, y, k }, { event, isSmooth = false } = {}) {
    this.#isSetting = !event;
    this.#zoom.transform(this.#target(isSmooth), zoomIdentity.translate(x, y).scale(k), null, event);
    this.#isSetting = false;
  }

  /** @param {number} factor @param {[number, number] | null} point that stays where it is; null: the middle */
  scaleBy(factor, point, event) {
    this.#zoom.scaleBy(this.#target(true), factor, point, event);
  }

  #target(isSmooth) {
    const duration = isSmooth ? motion() : 0;
    return duration > 0 ? this.#stage.transition().duration(duration) : this.#stage;
  }
}

const motion = () => (window.matchMedia('(prefers-reduced-motion: reduce)').matches ? 0 : MOTION);
