// Draws the rows that are visible, of the time that is visible: segments, curves, statuses. The playhead lies above.
"use strict";

rhas.timeline = (() => {
  const LEFT = 230; // pixels: names
  const TOP = 24; // the ruler
  const NONE = 255;
  const STATUS = {
    outside: null, detected: "#4c9f70", followed: "#c9d36a", missing: "#e8a33d", undecodable: "#c0392b",
    failed: "#6c1d45", imported: "#5b8fb9", doubtful: "#b08fc7",
  };
  const STEPS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 36000];

  class Timeline {
    constructor(scroll, lines, over, spacer, rows) {
      Object.assign(this, { scroll, lines, over, spacer, rows, from: 0, to: 1, selected: null, focus: null, drag: null });
      this.problems = new Map(); // by person: what is wrong with their labels
    }

    get width() {
      return Math.max(1, this.over.clientWidth - LEFT);
    }

    x(t) {
      return LEFT + ((t - this.from) / (this.to - this.from)) * this.width;
    }

    t(x) {
      return this.from + ((x - LEFT) / this.width) * (this.to - this.from);
    }

    /** Height of a row on the canvas. */
    y(row) {
      return TOP + row.y - this.scroll.scrollTop;
    }

    show(from, to) {
      const { end } = this.scene.movie;
      const span = Math.min(Math.max(to - from, 0.2), Math.max(end, 0.2) * 1.02);
      this.from = Math.min(Math.max(from, -0.01 * span), Math.max(end - 0.99 * span, -0.01 * span));
      this.to = this.from + span;
    }

    zoom(factor, around) {
      this.show(around - (around - this.from) * factor, around + (this.to - around) * factor);
    }

    /** So that a stretch of time is visible; turns the page where it isn't. */
    reveal(start, end = start) {
      const span = this.to - this.from;
      if (start >= this.from && end <= this.to) return false;
      if (end - start > span * 0.8) this.show(start - (end - start) * 0.3, end + (end - start) * 0.3);
      else this.show(start - span * 0.1, start + span * 0.9);
      return true;
    }

    revealRow(row) {
      const { scrollTop, clientHeight } = this.scroll;
      if (row.y < scrollTop) this.scroll.scrollTop = Math.max(0, row.y - 30);
      if (row.y + row.height > scrollTop + clientHeight - TOP) {
        this.scroll.scrollTop = row.y + row.height - clientHeight + TOP + 30;
      }
    }

    canvas(element) {
      const ratio = window.devicePixelRatio || 1;
      const { clientWidth: w, clientHeight: h } = element;
      if (element.width !== Math.round(w * ratio)) element.width = Math.round(w * ratio);
      if (element.height !== Math.round(h * ratio)) element.height = Math.round(h * ratio);
      const c = element.getContext("2d");
      c.setTransform(ratio, 0, 0, ratio, 0, 0);
      c.clearRect(0, 0, w, h);
      return { c, w, h };
    }

    colours() {
      const style = getComputedStyle(document.documentElement);
      const names = ["ink", "paper", "quiet", "line", "row", "truth", "guess", "absent", "curve", "mark", "chosen"];
      return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
    }

    draw() {
      const { c, w, h } = this.canvas(this.lines);
      this.spacer.style.height = `${Math.max(0, this.rows.height + TOP - this.scroll.clientHeight)}px`;
      if (!this.scene) return;
      this.colour = this.colours();
      this.scene.tiles.fresh();
      const parts = this.rows.parts;
      c.save();
      c.beginPath();
      c.rect(0, TOP, w, h - TOP);
      c.clip();
      for (const row of this.rows.list) {
        const y = this.y(row);
        if (y + row.height < TOP) continue;
        if (y > h) break;
        if (row.action === null) this.drawPerson(c, row, y, w);
        else this.drawAction(c, row, y, w, parts);
      }
      c.restore();
      this.drawRuler(c, w);
      this.drawOver();
    }

    text(c, said, x, y, width, colour, font) {
      c.save();
      c.beginPath();
      c.rect(x, y - 10, width, 20);
      c.clip();
      c.fillStyle = colour;
      c.font = font;
      c.textBaseline = "middle";
      c.direction = "ltr";
      c.fillText(`\u2068${said}\u2069`, x, y);
      c.restore();
    }

    /** What isn't counted: where the person isn't promised, or labelled absent. */
    shade(c, person, y, height) {
      const { span } = this.scene.movie.persons[person];
      c.fillStyle = this.colour.absent;
      const block = (s, e) => {
        const [a, b] = [Math.max(LEFT, this.x(s)), Math.min(LEFT + this.width, this.x(e))];
        if (b > a) c.fillRect(a, y, b - a, height);
      };
      if (!span) return block(this.from, this.to);
      if (span[0] > this.from) block(this.from, span[0]);
      if (span[1] < this.to) block(span[1], this.to);
      const gone = this.scene.labels.lane(person, this.scene.absent);
      const [first, last] = gone.within(this.from, this.to);
      for (let i = first; i < last; i++) block(gone.start[i], gone.end[i]);
    }

    drawPerson(c, row, y, w) {
      const own = this.scene.movie.persons[row.person];
      c.fillStyle = this.colour.row;
      c.fillRect(0, y, w, row.height);
      c.fillStyle = rhas.stage.colour(row.person);
      c.fillRect(6, y + 9, 12, 12);
      const said = `${own.id}\u2069: \u2068${own.reference}`;
      this.text(c, said, 24, y + 15, LEFT - 30, this.colour.ink, "600 13px system-ui, sans-serif");
      this.shade(c, row.person, y, row.height);
      if (!own.span) this.text(c, "not in this movie's labelled part", LEFT + 8, y + 15, 300, this.colour.quiet, "12px system-ui, sans-serif");
      this.eachBin(row.person, (tile, first, last, pairs, bin, base) => this.drawStatus(c, tile.status, first, last, bin, base, y + 3));
      this.drawCurve(c, row.person, "sure", y + 9, row.height - 12, this.colour.ink);
    }

    drawAction(c, row, y, w, parts) {
      const { scene, colour } = this;
      const chosen = this.selected && this.selected.person === row.person && this.selected.action === row.action;
      if (chosen) {
        c.fillStyle = colour.row;
        c.fillRect(0, y, w, row.height);
      }
      c.fillStyle = colour.line;
      c.fillRect(24, y + row.height - 0.5, w, 0.5);
      const name = scene.index.actions[row.action];
      this.text(c, name, 24, y + row.height / 2, LEFT - 30, chosen ? colour.chosen : colour.ink, "13px system-ui, sans-serif");
      if (row.action !== scene.absent) this.shade(c, row.person, y, row.height);
      if (parts.truth) {
        this.drawLane(c, scene.labels.lane(row.person, row.action), y + parts.truth.y, parts.truth.height, colour.truth);
        this.drawProblems(c, row, y + parts.truth.y, parts.truth.height);
      }
      const guess = scene.predicted[row.person].get(row.action);
      if (parts.predicted && guess) this.drawLane(c, guess, y + parts.predicted.y, parts.predicted.height, colour.guess);
      if (parts.scores && scene.movie.persons[row.person].predicted && row.action !== scene.absent) {
        const { y: top, height } = parts.scores;
        if (scene.index.tau !== null) {
          c.fillStyle = colour.line;
          c.fillRect(LEFT, y + top + height * (1 - scene.index.tau), this.width, 1);
        }
        this.drawCurve(c, row.person, String(row.action), y + top, height, colour.curve);
      }
      this.drawSelected(c, row, y, parts);
    }

    /** Bars; those that would fall on the same pixels are drawn once. */
    drawLane(c, lane, y, height, colour) {
      const [first, last] = lane.within(this.from, this.to);
      c.fillStyle = colour;
      let [a, b] = [NaN, NaN];
      const flush = () => b > a && c.fillRect(a, y, b - a, height);
      for (let i = first; i < last; i++) {
        if (lane.end[i] <= this.from) continue;
        const s = Math.max(LEFT, this.x(lane.start[i]));
        const e = Math.max(s + 1, Math.min(LEFT + this.width, this.x(lane.end[i])) - 1);
        if (s <= b + 0.25 && e - a < 4) b = Math.max(b, e);
        else {
          flush();
          [a, b] = [s, e];
        }
      }
      flush();
    }

    drawProblems(c, row, y, height) {
      c.strokeStyle = this.colour.mark;
      c.lineWidth = 2;
      for (const { action, start, end } of this.problems.get(row.person) || []) {
        if (action !== row.action || end < this.from || start > this.to) continue;
        c.strokeRect(this.x(start), y, Math.max(2, this.x(end) - this.x(start)), height);
      }
    }

    drawSelected(c, row, y, parts) {
      const own = this.selected;
      if (!own || own.person !== row.person || own.action !== row.action || own.start === undefined) return;
      const part = parts[own.part];
      if (!part) return;
      const { start, end } = this.drag || own;
      const [a, b] = [Math.max(LEFT - 3, this.x(start)), Math.min(LEFT + this.width + 3, this.x(end))];
      if (b < LEFT || a > LEFT + this.width) return;
      if (this.drag) {
        c.fillStyle = this.colour.truth;
        c.fillRect(a, y + part.y, b - a, part.height);
      }
      c.strokeStyle = this.colour.chosen;
      c.lineWidth = 2;
      c.strokeRect(a, y + part.y - 1, Math.max(2, b - a), part.height + 2);
    }

    /** Calls with each visible tile: its first and last visible bin, whether bins are pairs, their samples, its start. */
    eachBin(person, draw) {
      const { scene } = this;
      const { tile: size, factor } = scene.index;
      const first = scene.times.sample(this.from);
      const last = scene.times.sample(this.to);
      let level = 0;
      while (level < scene.movie.levels - 1 && (last - first + 1) / factor ** level > 2 * this.width) level++;
      const bin = factor ** level;
      const [low, high] = [Math.floor(first / bin), Math.floor(last / bin)];
      for (let k = Math.floor(low / size); k <= Math.floor(high / size); k++) {
        const name = `${person}-${level}-${k}`;
        const own = scene.tiles.get(`${scene.number}/${name}.js`, `movie/${scene.number}/${name}`, readTile);
        if (own) draw(own, Math.max(low, k * size), Math.min(high, (k + 1) * size - 1), level > 0, bin, k * size);
      }
    }

    drawStatus(c, status, first, last, bin, base, y) {
      if (!status) return;
      for (let i = first; i <= last; ) {
        const own = status[i - base];
        let j = i + 1;
        while (j <= last && status[j - base] === own) j++;
        const colour = STATUS[this.scene.index.statuses[own]];
        if (colour) {
          const a = Math.max(LEFT, this.x(this.scene.times.of(i * bin)));
          const b = Math.min(LEFT + this.width, this.x(this.scene.times.of(j * bin)));
          c.fillStyle = colour;
          if (b > a) c.fillRect(a, y, b - a, 5);
        }
        i = j;
      }
    }

    drawCurve(c, person, key, y, height, colour) {
      c.strokeStyle = colour;
      c.fillStyle = colour;
      c.lineWidth = 1;
      c.save();
      c.beginPath();
      c.rect(LEFT, y - 1, this.width, height + 2);
      c.clip();
      this.eachBin(person, (tile, first, last, pairs, bin, base) => {
        const row = tile[key];
        if (!row) {
          if (!tile.low.has(key)) return;
          // Nowhere above what can be seen.
          const [a, b] = [first, last + 1].map((i) => this.x(this.scene.times.of(i * bin)));
          c.fillRect(a, y + height - 0.5, b - a, 0.5);
          return;
        }
        const at = (value) => y + height * (1 - value / 254);
        c.beginPath();
        let open = false;
        for (let i = first; i <= last; i++) {
          const j = i - base;
          const [low, high] = pairs ? [row[2 * j], row[2 * j + 1]] : [row[j], row[j]];
          if (low === NONE || high === NONE) {
            open = false;
            continue;
          }
          const x = this.x(this.scene.times.of(i * bin));
          if (open) c.lineTo(x, at(high));
          else c.moveTo(x, at(high));
          if (low !== high) c.lineTo(x, at(low));
          if (!pairs) c.lineTo(this.x(this.scene.times.of(i + 1)), at(low));
          open = true;
        }
        c.stroke();
      });
      c.restore();
    }

    drawRuler(c, w) {
      const { colour } = this;
      c.fillStyle = colour.paper;
      c.fillRect(0, 0, w, TOP);
      c.fillStyle = colour.line;
      c.fillRect(0, TOP - 1, w, 1);
      const least = ((this.to - this.from) / this.width) * 90;
      const step = STEPS.find((s) => s >= least) || STEPS[STEPS.length - 1];
      c.font = "12px system-ui, sans-serif";
      c.textBaseline = "middle";
      for (let n = Math.max(0, Math.ceil(this.from / step)); n * step <= Math.min(this.to, this.scene.movie.end); n++) {
        const x = this.x(n * step);
        c.fillStyle = colour.line;
        c.fillRect(x, TOP - 8, 1, 8);
        c.fillStyle = colour.quiet;
        const said = rhas.clock.text(n * step);
        c.fillText(step >= 1 ? said.slice(0, -4) : said, x + 3, 10);
      }
    }

    /** The playhead, and the stretch that was jumped to. */
    drawOver() {
      const { c, h } = this.canvas(this.over);
      if (!this.scene) return;
      const colour = this.colour || this.colours();
      if (this.focus) {
        const row = this.rows.find(this.focus.person, this.focus.action);
        const a = Math.max(LEFT, this.x(this.focus.start));
        const b = Math.min(LEFT + this.width, this.x(this.focus.end));
        if (row && b >= a && this.y(row) + row.height > TOP) {
          c.strokeStyle = colour.mark;
          c.lineWidth = 2;
          c.strokeRect(a, Math.max(TOP, this.y(row)) + 1, Math.max(3, b - a), row.height - 2);
        }
      }
      const x = this.x(this.time);
      if (x >= LEFT - 1 && x <= LEFT + this.width) {
        c.fillStyle = colour.mark;
        c.fillRect(x - 0.75, 0, 1.5, h);
        c.beginPath();
        c.moveTo(x - 6, 0);
        c.lineTo(x + 6, 0);
        c.lineTo(x, 9);
        c.fill();
      }
    }
  }

  /** Rows of a tile as bytes. */
  function readTile(packed) {
    const { low = [], ...texts } = packed;
    const value = { low: new Set(low) };
    let size = 128;
    for (const [key, text] of Object.entries(texts)) {
      value[key] = rhas.bytes(text);
      size += value[key].length;
    }
    return { value, size };
  }

  return { Timeline, LEFT, TOP, STATUS };
})();
