// Intervals of persons by action, and edits of them with undo. Times are seconds of movie time, [start, end).
"use strict";

rhas.labels = (() => {
  const before = (s, e, t, u) => s < t || (s === t && e < u);

  /** The intervals of one person and action, by start and end. */
  class Lane {
    constructor(start = [], end = [], score = null) {
      Object.assign(this, { start, end, score, reach: null });
    }

    get length() {
      return this.start.length;
    }

    /** [from, to) of places of intervals that overlap [t, u). */
    within(t, u) {
      if (!this.reach || this.reach.length !== this.length) {
        this.reach = new Float64Array(this.length);
        let most = -Infinity;
        for (let i = 0; i < this.length; i++) this.reach[i] = most = Math.max(most, this.end[i]);
      }
      return [rhas.place(this.reach, t), rhas.place(this.start, u, true)];
    }

    /** Place of an interval that holds t; of several the shortest; -1: none. */
    at(t) {
      const [from, to] = this.within(t, t + 1e-9);
      let found = -1;
      for (let i = from; i < to; i++) {
        if (this.start[i] > t || this.end[i] <= t) continue;
        if (found < 0 || this.end[i] - this.start[i] < this.end[found] - this.start[found]) found = i;
      }
      return found;
    }

    find(s, e) {
      for (let i = rhas.place(this.start, s, true); i < this.length && this.start[i] === s; i++) {
        if (this.end[i] === e) return i;
      }
      return -1;
    }

    own() {
      if (!Array.isArray(this.start)) [this.start, this.end] = [Array.from(this.start), Array.from(this.end)];
      this.reach = null;
    }

    add(s, e) {
      this.own();
      let i = rhas.place(this.start, s, true);
      while (i < this.length && before(this.start[i], this.end[i], s, e)) i++;
      this.start.splice(i, 0, s);
      this.end.splice(i, 0, e);
    }

    remove(s, e) {
      this.own();
      const i = this.find(s, e);
      if (i < 0) throw new Error(`there is no interval from ${s} to ${e}`);
      this.start.splice(i, 1);
      this.end.splice(i, 1);
    }
  }

  const EMPTY = new Lane();

  /** Lanes by place of action, of the columns of a person's intervals. */
  function lanes(columns) {
    const counts = new Map();
    for (const a of columns.action) counts.set(a, (counts.get(a) || 0) + 1);
    const found = new Map();
    for (const [a, count] of counts) {
      const score = columns.score && new Float32Array(count);
      found.set(a, new Lane(new Float64Array(count), new Float64Array(count), score));
      counts.set(a, 0);
    }
    const order = Uint32Array.from(columns.action.keys());
    const { start, end } = columns;
    if (order.some((_, i) => i && before(start[i], end[i], start[i - 1], end[i - 1]))) {
      order.sort((i, j) => start[i] - start[j] || end[i] - end[j]);
    }
    for (const i of order) {
      const lane = found.get(columns.action[i]);
      const at = counts.get(columns.action[i]);
      counts.set(columns.action[i], at + 1);
      lane.start[at] = start[i];
      lane.end[at] = end[i];
      if (lane.score) lane.score[at] = columns.score[i];
    }
    return found;
  }

  /** The labels of a movie. A change is {person, removed, added}, lists of [action, start, end]. */
  class Labels {
    constructor(persons) {
      Object.assign(this, { persons, done: [], undone: [], saved: 0, versions: persons.map(() => 0) });
    }

    lane(person, action) {
      return this.persons[person].get(action) || EMPTY;
    }

    get edited() {
      return this.done.length > 0 || this.undone.length > 0 || this.saved !== 0;
    }

    get unsaved() {
      return this.done.length !== this.saved;
    }

    change(person, removed, added) {
      if (!removed.length && !added.length) return;
      const step = { person, removed, added };
      this.apply(step);
      this.done.push(step);
      if (this.saved > this.done.length - 1) this.saved = -1; // what was saved can't be come back to
      this.undone.length = 0;
    }

    apply({ person, removed, added }) {
      const own = this.persons[person];
      for (const [a, s, e] of removed) own.get(a).remove(s, e);
      for (const [a, s, e] of added) {
        if (!own.has(a)) own.set(a, new Lane());
        own.get(a).add(s, e);
      }
      this.versions[person]++;
    }

    /** The person whose labels changed, or -1. */
    undo() {
      const step = this.done.pop();
      if (!step) return -1;
      this.apply({ person: step.person, removed: step.added, added: step.removed });
      this.undone.push(step);
      return step.person;
    }

    redo() {
      const step = this.undone.pop();
      if (!step) return -1;
      this.apply(step);
      this.done.push(step);
      return step.person;
    }
  }

  return { Lane, EMPTY, Labels, lanes };
})();
