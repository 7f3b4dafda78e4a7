// SPDX-License-Identifier: Apache-2.0
/** Where cells come from when the element is given data: a worker of its own. */
import { messageOf } from './data.js';
import { connect } from './remote.js';

const ID = 'map';

/**
 * @param {object} data see data.js
 * @returns {{ source: Promise<object>, close(): void }} a source as the element's property `source` takes it
 * @throws {TypeError} for data that cannot be drawn
 */
export function openOwnSource(data) {
  const message = messageOf(data);
  const worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
  const remote = connect(worker);
  const ask = (method) => (options, control) => remote.call(method, [ID, options], control);
  const opened = remote.call('open', [ID, message.data], { transfer: message.transfer });
  return {
    source: opened.then(({ shape }) => ({
      shape,
      tile: ask('tile'),
      read: ask('read'),
      statistics: ask('statistics'),
      dense: ask('dense'),
      rowStatistics: ask('rowStatistics'),
      strongest: ask('strongest'),
    })),
    close() {
      remote.close();
      worker.terminate();
    },
  };
}
