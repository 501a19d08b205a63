// What a client keeps of the frames that it is sent (docs/live.md): no page, no network, so it runs anywhere.
"use strict";

class Stations {
  constructor() {
    this.byId = new Map();
    this.newest = 0;
  }

  // Takes a frame. Returns the ids of the stations that are shown otherwise now.
  take(frame) {
    this.newest = Math.max(this.newest, frame.at);
    if (frame.type !== "states") {
      return [];
    }
    const changed = [];
    for (const state of frame.states) {
      const known = this.byId.get(state.station_id);
      if (known === undefined || state.version > known.version) {
        this.byId.set(state.station_id, state);
        changed.push(state.station_id);
      }
    }
    return changed;
  }

  // What a subscription says it has, as far as it fits into a message. The rest is sent anew.
  have(room) {
    const versions = {};
    let left = room;
    for (const [id, state] of this.byId) {
      left -= JSON.stringify(id).length + String(state.version).length + 2;
      if (left < 0) {
        break;
      }
      versions[id] = state.version;
    }
    return versions;
  }

  sorted() {
    return [...this.byId.values()].sort((one, other) => (one.station_id < other.station_id ? -1 : 1));
  }

  counts() {
    const counts = { stations: this.byId.size, available: 0, charging: 0, status: {} };
    for (const state of this.byId.values()) {
      counts.available += state.battery_available;
      counts.charging += state.battery_charging;
      counts.status[state.status] = (counts.status[state.status] || 0) + 1;
    }
    return counts;
  }
}

if (typeof module !== "undefined") {
  module.exports = { Stations };
}
