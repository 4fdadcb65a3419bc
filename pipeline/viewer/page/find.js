// The next mistake, and the next uncertain stretch, among the rows that are shown.
"use strict";

rhas.find = (() => {
  // Stretches are flat lists of numbers here, start, end, start, end …: there may be hundreds of thousands.

  /** What a lane covers, without overlaps. */
  function union(lane) {
    const found = [];
    for (let i = 0; i < lane.length; i++) {
      const last = found.length - 1;
      if (last > 0 && lane.start[i] <= found[last]) found[last] = Math.max(found[last], lane.end[i]);
      else found.push(lane.start[i], lane.end[i]);
    }
    return found;
  }

  /** Stretches in which just one of two lanes has an interval: bounds that both have are none. */
  function differences(one, other) {
    const [a, b] = [union(one), union(other)];
    const found = [];
    let [i, j] = [0, 0];
    while (i < a.length || j < b.length) {
      if (j >= b.length || a[i] < b[j]) found.push(a[i++]);
      else if (i >= a.length || b[j] < a[i]) found.push(b[j++]);
      else [i, j] = [i + 1, j + 1];
    }
    return found;
  }

  /** Stretches without those parts that `lane` covers, within [from, to). */
  function without(stretches, lane, from, to) {
    const found = [];
    for (let k = 0; k < stretches.length; k += 2) {
      let s = Math.max(stretches[k], from);
      const e = Math.min(stretches[k + 1], to);
      if (s >= e) continue;
      const [first, last] = lane.within(s, e);
      for (let i = first; i < last && s < e; i++) {
        if (lane.start[i] > s) found.push(s, Math.min(e, lane.start[i]));
        s = Math.max(s, lane.end[i]);
      }
      if (s < e) found.push(s, e);
    }
    return found;
  }

  /** Remembers what a row's mistakes are until the person's labels change. */
  class Mistakes {
    constructor(scene) {
      Object.assign(this, { scene, known: new Map() });
    }

    /** Float64Arrays of starts and ends. */
    of(person, action) {
      const { scene } = this;
      const version = scene.labels.versions[person];
      const key = `${person}/${action}`;
      const known = this.known.get(key);
      if (known && known.version === version) return known;
      const described = scene.movie.persons[person];
      let found = [];
      if (described.predicted && scene.labels.persons[person].size) {
        const absent = scene.absent;
        const gone = action === absent ? rhas.labels.EMPTY : scene.labels.lane(person, absent);
        const predicted = scene.predicted[person].get(action) || rhas.labels.EMPTY;
        const all = differences(scene.labels.lane(person, action), predicted);
        found = described.covered.flatMap(([from, to]) => without(all, gone, from, to));
      }
      const half = (side) => Float64Array.from({ length: found.length / 2 }, (_, i) => found[2 * i + side]);
      const own = { version, start: half(0), end: half(1) };
      this.known.set(key, own);
      return own;
    }

    /** The nearest after t (or before), of at least so many seconds: {person, action, start, end} or null. */
    next(rows, t, back, least) {
      let best = null;
      for (const { person, action } of rows) {
        if (action === null) continue;
        const { start, end } = this.of(person, action);
        const step = back ? -1 : 1;
        for (let i = back ? rhas.place(start, t - 1e-6, true) - 1 : rhas.place(start, t + 1e-6); i >= 0 && i < start.length; i += step) {
          if (end[i] - start[i] < least) continue;
          if (!best || (back ? start[i] > best.start : start[i] < best.start)) {
            best = { person, action, start: start[i], end: end[i] };
          }
          break;
        }
      }
      return best;
    }
  }

  /** The nearest uncertain stretch. A person's header row stands for who they are. */
  function doubt(scene, rows, t, back) {
    const shown = new Map();
    for (const { person, action } of rows) {
      if (!shown.has(person)) shown.set(person, new Set());
      shown.get(person).add(action === null ? scene.index.who : action);
    }
    let best = null;
    for (const [person, actions] of shown) {
      const { action, start, end } = scene.doubts[person];
      const step = back ? -1 : 1;
      for (let i = back ? rhas.place(start, t - 1e-6, true) - 1 : rhas.place(start, t + 1e-6); i >= 0 && i < start.length; i += step) {
        if (!actions.has(action[i])) continue;
        if (!best || (back ? start[i] > best.start : start[i] < best.start)) {
          const who = action[i] === scene.index.who;
          best = { person, action: who ? null : action[i], start: start[i], end: end[i] };
        }
        break;
      }
    }
    return best;
  }

  return { differences, without, Mistakes, doubt };
})();
