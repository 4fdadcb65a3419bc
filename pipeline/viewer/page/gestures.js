// The mouse on the timeline: click to seek or select, drag to move, stretch or draw segments, wheel to zoom and pan.
"use strict";

rhas.gestures = (() => {
  const { LEFT, TOP } = rhas.timeline;
  const EDGE = 5; // pixels
  const SLIP = 3; // pixels that a hand may move in a click

  /** What lies at a place of the canvas: {zone, time, row, part, segment, edge}. */
  function hit(timeline, x, y) {
    const time = timeline.t(x);
    if (y < TOP) return { zone: "ruler", time };
    const row = timeline.rows.at(y - TOP + timeline.scroll.scrollTop);
    if (!row) return { zone: "none", time };
    if (x < LEFT) return { zone: "name", row, time };
    if (row.action === null) return { zone: "time", row, time };
    const inside = y - timeline.y(row);
    const parts = timeline.rows.parts;
    const part = ["truth", "predicted"].find((p) => parts[p] && inside >= parts[p].y - 1 && inside <= parts[p].y + parts[p].height + 1);
    if (!part) return { zone: "time", row, time };
    const { scene } = timeline;
    const lane = part === "truth" ? scene.labels.lane(row.person, row.action) : scene.predicted[row.person].get(row.action);
    const slack = timeline.t(x + EDGE) - time;
    let edge = null;
    let segment = null;
    if (lane) {
      let i = lane.at(time);
      if (i < 0) {
        const [from, to] = lane.within(time - slack, time + slack);
        if (from < to) i = from;
      }
      if (i >= 0) segment = { start: lane.start[i], end: lane.end[i], score: lane.score ? lane.score[i] : null };
    }
    if (segment && part === "truth") {
      const near = Math.min(slack, (segment.end - segment.start) / 3);
      if (Math.abs(time - segment.start) <= near || time < segment.start) edge = "start";
      else if (Math.abs(time - segment.end) <= near || time > segment.end) edge = "end";
    }
    return { zone: "lane", row, part, segment, edge, time };
  }

  function moment(timeline, time, free) {
    const { times, movie } = timeline.scene;
    const own = free ? Math.round(time * 1000) / 1000 : times.snap(time);
    return Math.min(Math.max(own, 0), movie.end);
  }

  /** `act`: seek(t), select(what), change(removed, added), redraw(). */
  function attach(timeline, act) {
    const { over, scroll } = timeline;
    let down = null;

    const place = (event) => {
      const box = over.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };

    function begin(event) {
      if (event.button !== 0 || !timeline.scene) return;
      const [x, y] = place(event);
      const found = hit(timeline, x, y);
      down = { x, found, moved: false, kind: "seek" };
      over.setPointerCapture(event.pointerId);
      scroll.focus({ preventScroll: true });
      if (found.zone === "name") {
        down.kind = "none";
        act.select({ person: found.row.person, action: found.row.action });
      } else if (found.zone === "lane" && found.part === "truth" && event.shiftKey) {
        down.kind = "draw";
        act.select({ person: found.row.person, action: found.row.action });
      } else if (found.segment) {
        const { person, action } = found.row;
        act.select({ person, action, part: found.part, ...found.segment });
        down.kind = found.part === "truth" ? found.edge || "move" : "none";
      } else if (x >= LEFT || found.zone === "ruler") {
        if (found.row) act.select({ person: found.row.person, action: found.row.action });
        act.seek(found.time);
      } else down.kind = "none";
    }

    function move(event) {
      const [x, y] = place(event);
      if (!down) {
        if (timeline.scene) over.style.cursor = cursor(hit(timeline, x, y));
        return;
      }
      if (!down.moved && Math.abs(x - down.x) < SLIP) return;
      down.moved = true;
      if (down.kind === "seek") return void act.seek(timeline.t(x));
      if (down.kind === "none") return;
      timeline.drag = dragged(down, timeline, x, event.altKey);
      act.redraw();
    }

    function end(event) {
      if (!down) return;
      const { kind, found, moved } = down;
      const to = timeline.drag;
      down = null;
      timeline.drag = null;
      if (kind === "seek" || kind === "none") return;
      if (!moved) {
        if (kind !== "draw") act.seek(found.time);
        return;
      }
      if (!to || !(to.end > to.start)) return void act.redraw();
      const { person, action } = found.row;
      const removed = kind === "draw" ? [] : [[action, found.segment.start, found.segment.end]];
      act.change(person, removed, [[action, to.start, to.end]]);
      act.select({ person, action, part: "truth", ...to });
    }

    over.addEventListener("pointerdown", begin);
    over.addEventListener("pointermove", move);
    over.addEventListener("pointerup", end);
    over.addEventListener("pointercancel", () => {
      down = null;
      timeline.drag = null;
      act.redraw();
    });
    over.addEventListener("dblclick", (event) => {
      const found = hit(timeline, ...place(event));
      if (found.part === "predicted" && found.segment) act.accept();
    });
    over.addEventListener(
      "wheel",
      (event) => {
        const [x] = place(event);
        if (event.ctrlKey || event.metaKey) {
          timeline.zoom(Math.exp(event.deltaY / 400), timeline.t(Math.max(x, LEFT)));
        } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
          const by = ((event.deltaX || event.deltaY) / timeline.width) * (timeline.to - timeline.from);
          timeline.show(timeline.from + by, timeline.to + by);
        } else return;
        event.preventDefault();
        act.redraw();
      },
      { passive: false },
    );
  }

  function dragged({ kind, x: from, found }, timeline, x, free) {
    const now = moment(timeline, timeline.t(x), free);
    if (kind === "draw") {
      const other = moment(timeline, timeline.t(from), free);
      return { start: Math.min(now, other), end: Math.max(now, other) };
    }
    const { start, end } = found.segment;
    if (kind === "start") return { start: Math.min(now, end), end };
    if (kind === "end") return { start, end: Math.max(now, start) };
    const by = timeline.t(x) - timeline.t(from);
    const begun = moment(timeline, Math.min(Math.max(start + by, 0), timeline.scene.movie.end - (end - start)), free);
    return { start: begun, end: moment(timeline, begun + (end - start), free) };
  }

  function cursor({ zone, segment, edge, part }) {
    if (zone === "lane" && segment && part === "truth") return edge ? "ew-resize" : "grab";
    return zone === "name" || (zone === "lane" && segment) ? "pointer" : "text";
  }

  return { attach, moment };
})();
