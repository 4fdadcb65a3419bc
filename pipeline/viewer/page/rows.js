// Which persons and actions are shown, as rows one below the other.
"use strict";

rhas.rows = (() => {
  const HEAD = 30; // pixels: a person's own row
  const BARS = { truth: 11, predicted: 11, scores: 24 };
  const GAP = 4;

  class Rows {
    constructor() {
      this.hidden = { persons: new Set(), actions: new Set() }; // of actions the names' places
      Object.assign(this, { search: "", every: false, shown: { truth: true, predicted: true, scores: true } });
      Object.assign(this, { list: [], height: 0 });
    }

    /** Height of a row of an action, and where its parts are in it. */
    get parts() {
      let y = GAP / 2;
      const found = {};
      for (const [part, height] of Object.entries(BARS)) {
        if (!this.shown[part]) continue;
        found[part] = { y, height: height - 1 };
        y += height;
      }
      return { ...found, height: Math.max(y + GAP / 2, 16) };
    }

    /** Places of actions that a person has segments of, in their order. */
    actionsOf(scene, person) {
      const found = new Set();
      for (const lanes of [scene.labels.persons[person], scene.predicted[person]]) {
        for (const [action, lane] of lanes) if (lane.length) found.add(action);
      }
      return [...found].sort((a, b) => a - b);
    }

    matches(text) {
      return text.toLocaleLowerCase().includes(this.search);
    }

    /** Persons that pass the filters. A search that finds an action keeps everybody who has it. */
    persons(scene) {
      const all = scene.movie.persons.map((_, person) => person);
      return all.filter((person) => !this.hidden.persons.has(person));
    }

    build(scene) {
      const { height } = this.parts;
      this.list = [];
      let y = 0;
      const put = (row) => {
        this.list.push({ ...row, y });
        y += row.height;
      };
      const everything = scene.index.actions.map((_, action) => action);
      for (const person of this.persons(scene)) {
        const own = scene.movie.persons[person];
        const whole = this.matches(own.id) || this.matches(own.reference);
        const actions = (this.every ? everything : this.actionsOf(scene, person)).filter(
          (a) => !this.hidden.actions.has(a) && (whole || this.matches(scene.index.actions[a])),
        );
        if (!whole && !actions.length) continue;
        put({ person, action: null, height: HEAD });
        for (const action of actions) put({ person, action, height });
      }
      this.height = y;
    }

    /** The row at a height, or null. */
    at(y) {
      let low = 0;
      let high = this.list.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (this.list[middle].y + this.list[middle].height <= y) low = middle + 1;
        else high = middle;
      }
      const row = this.list[low];
      return row && y >= row.y ? row : null;
    }

    find(person, action) {
      return this.list.find((row) => row.person === person && row.action === action) || null;
    }

    /** Places of persons with a row. */
    get shownPersons() {
      return [...new Set(this.list.map((row) => row.person))];
    }
  }

  return { Rows };
})();
