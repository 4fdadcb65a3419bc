// Edits of what is selected, at the playhead.
"use strict";

rhas.editing = (() => {
  /** What buttons and keys do. `page`: state, timeline, clock, and say, select, change, changed. */
  function make({ state, timeline, clock, say, select, change, changed }) {
    /** Adds an interval, one with all of the same action that it overlaps or touches. */
    function merge(person, action, start, end) {
      const lane = state.scene.labels.lane(person, action);
      const [from, to] = lane.within(start - 1e-9, end + 1e-9);
      const removed = [];
      for (let i = from; i < to; i++) {
        removed.push([action, lane.start[i], lane.end[i]]);
        start = Math.min(start, lane.start[i]);
        end = Math.max(end, lane.end[i]);
      }
      change(person, removed, [[action, start, end]]);
      select({ person, action, part: "truth", start, end });
    }

    const truth = () => state.selected && state.selected.part === "truth" && state.selected.start !== undefined;

    const actions = {
      add() {
        const what = state.selected;
        if (!what || what.action === null) return say("Select a person's action first: click on its name.");
        if (what.part === "predicted") return actions.accept();
        actions.addAction(what.action);
      },
      addAction(action) {
        const { person } = state.selected;
        const start = rhas.gestures.moment(timeline, clock.time, false);
        const end = rhas.gestures.moment(timeline, Math.min(clock.time + 2, state.scene.movie.end), false);
        if (end <= start) return say("The movie ends here.");
        merge(person, action, start, end);
      },
      accept() {
        const what = state.selected;
        if (!what || what.part !== "predicted") return;
        if (what.action >= state.index.known) return say("That is no action of these data: rhas labels would refuse it.");
        merge(what.person, what.action, what.start, what.end);
      },
      takeAll() {
        const { person } = state.selected;
        const removed = [];
        const added = [];
        for (const [list, lanes] of [[removed, state.scene.labels.persons[person]], [added, state.scene.predicted[person]]]) {
          for (const [action, lane] of lanes) {
            for (let i = 0; i < lane.length; i++) if (action < state.index.known) list.push([action, lane.start[i], lane.end[i]]);
          }
        }
        change(person, removed, added);
      },
      split() {
        if (!truth()) return say("Select a label first.");
        const { person, action, start, end } = state.selected;
        const at = rhas.gestures.moment(timeline, clock.time, false);
        if (at <= start || at >= end) return say("The playhead isn't within the selected label.");
        change(person, [[action, start, end]], [[action, start, at], [action, at, end]]);
        select({ person, action, part: "truth", start: at, end });
      },
      remove() {
        if (!truth()) return say("Select a label first.");
        const { person, action, start, end } = state.selected;
        change(person, [[action, start, end]], []);
        select({ person, action });
      },
      setTimes(start, end) {
        if (!truth()) return;
        const own = state.selected;
        if (!(start >= 0 && end > start)) return void (say("A label begins at 0 or later, and ends later than it begins."), select(own));
        change(own.person, [[own.action, own.start, own.end]], [[own.action, start, end]]);
        select({ ...own, start, end });
      },
      setAction(action) {
        if (!truth()) return;
        const { person, action: old, start, end } = state.selected;
        change(person, [[old, start, end]], [[action, start, end]]);
        select({ person, action, part: "truth", start, end });
      },
      edge(which) {
        if (!truth()) return say("Select a label first.");
        const { start, end } = state.selected;
        const at = rhas.gestures.moment(timeline, clock.time, false);
        if (which === "start") actions.setTimes(at, end);
        else actions.setTimes(start, at);
      },
      undo() {
        const person = state.scene.labels.undo();
        if (person < 0) return say("Nothing to undo in this movie.");
        changed(person);
        select(null);
      },
      redo() {
        const person = state.scene.labels.redo();
        if (person < 0) return say("Nothing to redo in this movie.");
        changed(person);
        select(null);
      },
    };

    return actions;
  }

  return { make };
})();
