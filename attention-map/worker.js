// SPDX-License-Identifier: Apache-2.0

/** A module worker that computes and draws the tiles of pictures: MapServer's methods, called through remote.js. */

import { MapServer } from './map-server.js';
import { expose } from './remote.js';

expose(self, new MapServer());
