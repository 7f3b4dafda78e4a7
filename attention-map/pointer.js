// SPDX-License-Identifier: Apache-2.0
/** What the pointer does besides panning and zooming: hover, click, draw a rectangle, drag a handle. */

/**
 * @param {HTMLElement} stage
 * @param {object} map what the element lets the pointer do
 * @param {() => boolean} map.draws whether a drag draws
 * @param {(event: PointerEvent) => { query: number, key: number } | undefined} map.cellAt
 * @param {(event: PointerEvent) => { query: number, key: number }} map.nearestCell the cell or the nearest one
 * @param {(event: PointerEvent) => boolean} map.isOnHandle
 * @param {(cell: { query: number, key: number } | undefined) => void} map.hover
 * @param {(cell: { query: number, key: number }) => void} map.click
 * @param {(from: object, to: object, isDone: boolean) => void} map.draw
 * @param {() => void} map.giveUp what is being drawn
 * @param {(event: PointerEvent, isDone: boolean) => void} map.dragHandle
 * @returns {{ readonly isBusy: boolean, cancel(): void }} busy while it draws or drags
 */
export function listenToPointer(stage, map) {
  let gesture; // { id, from } while drawing, { id } while dragging a handle
  let isOver = false; // a gesture has just ended, and the click that follows is a part of it

  const end = () => {
    gesture = undefined;
    isOver = true;
  };
  const cancel = () => {
    if (!gesture) return;
    end();
    map.giveUp();
  };

  stage.addEventListener('pointerdown', (event) => {
    isOver = false;
    if (gesture) return cancel(); // a second finger: it pans
    if (event.button !== 0 || !event.isPrimary) return undefined;
    stage.focus({ preventScroll: true });
    if (map.draws()) {
      const from = map.cellAt(event);
      if (!from) return undefined;
      gesture = { id: event.pointerId, from };
      map.draw(from, from, false);
    } else if (map.isOnHandle(event)) {
      gesture = { id: event.pointerId };
    } else return undefined;
    return stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener('pointermove', (event) => {
    if (!gesture) {
      if (event.buttons === 0 && event.pointerType !== 'touch') {
        stage.classList.toggle('grip', map.isOnHandle(event));
        map.hover(map.cellAt(event));
      }
    } else if (gesture.id === event.pointerId) {
      if (gesture.from) map.draw(gesture.from, map.nearestCell(event), false);
      else map.dragHandle(event, false);
    }
  });
  stage.addEventListener('pointerup', (event) => {
    if (gesture?.id !== event.pointerId) return;
    const { from } = gesture;
    end();
    if (from) map.draw(from, map.nearestCell(event), true);
    else map.dragHandle(event, true);
  });
  stage.addEventListener('pointercancel', cancel);
  stage.addEventListener('pointerleave', () => !gesture && map.hover(undefined));
  stage.addEventListener('click', (event) => {
    const cell = map.cellAt(event);
    if (!isOver && !map.draws() && cell) map.click(cell);
  });
  return {
    get isBusy() {
      return gesture !== undefined;
    },
    cancel,
  };
}
