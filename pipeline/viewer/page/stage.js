// The movie with boxes: who, and how sure. Boxes are those of the sample that the shown frame belongs to.
"use strict";

rhas.stage = (() => {
  const COLOURS = ["#ffdd40", "#56b4e9", "#e69f00", "#4ad6a5", "#f08cc0", "#ff7b5a", "#a6e22e", "#c9b3ff"];
  const NONE = 255;
  const NO_BOX = 65535;

  const colour = (person) => COLOURS[person % COLOURS.length];

  /** Moments of a movie's samples. */
  class Times {
    constructor({ count, rate, at }, end) {
      Object.assign(this, { count, rate, end, at: at ? rhas.numbers(Float64Array, at) : null });
    }

    of(sample) {
      if (sample >= this.count) return this.end;
      return this.at ? this.at[sample] : sample / this.rate;
    }

    /** The sample that is shown at a time: stamps of frames are rounded by up to half a millisecond. */
    sample(time) {
      const t = time + 5.5e-4;
      const found = this.at ? rhas.place(this.at, t) - 1 : Math.floor(t * this.rate);
      return Math.min(Math.max(found, 0), this.count - 1);
    }

    /** The nearest moment at which a sample begins, or the end. */
    snap(time) {
      const sample = this.sample(time);
      const [low, high] = [this.of(sample), this.of(sample + 1)];
      return time - low <= high - time ? low : high;
    }
  }

  /** What is known of a person at a sample: {box: [x1 y1 x2 y2] or null, sure, status}, or null while it is loaded. */
  function seen(scene, person, sample) {
    const { boxTile } = scene.index;
    const tile = Math.floor(sample / boxTile);
    const read = (rows) => {
      const value = rows.map((text) => rhas.bytes(text));
      return { value, size: value.reduce((sum, own) => sum + own.length, 64) };
    };
    const get = (k) => scene.tiles.get(`${scene.number}/boxes-${k}.js`, `movie/${scene.number}/boxes-${k}`, read);
    const rows = get(tile);
    const next = Math.floor((sample + boxTile / 4) / boxTile); // there before it is played
    if (next !== tile && next * boxTile < scene.times.count) get(next);
    if (!rows) return null;
    const own = rows[person];
    const at = (sample - tile * boxTile) * 10;
    const corners = [0, 2, 4, 6].map((i) => own[at + i] | (own[at + i + 1] << 8));
    return {
      box: corners[0] === NO_BOX ? null : corners.map((c) => c / (NO_BOX - 1)),
      sure: own[at + 8] === NONE ? null : own[at + 8] / 254,
      status: own[at + 9] === NONE ? null : own[at + 9],
    };
  }

  /** Where the picture is within the canvas. */
  function picture(video, width, height) {
    const aspect = video.videoWidth / video.videoHeight || 16 / 9;
    const w = Math.min(width, height * aspect);
    const h = w / aspect;
    return { x: (width - w) / 2, y: (height - h) / 2, w, h };
  }

  function draw(scene, canvas, video, time, persons) {
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = canvas;
    if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
    if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
    const c = canvas.getContext("2d");
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.clearRect(0, 0, width, height);
    if (!scene) return;
    const area = picture(video, width, height);
    const sample = scene.times.sample(time);
    c.font = "600 13px system-ui, sans-serif";
    c.textBaseline = "middle";
    for (const person of persons) {
      const own = seen(scene, person, sample);
      if (!own || !own.box) continue;
      const [x1, y1, x2, y2] = own.box;
      const x = area.x + x1 * area.w;
      const y = area.y + y1 * area.h;
      const w = (x2 - x1) * area.w;
      const h = (y2 - y1) * area.h;
      const firm = own.status === null || scene.index.statuses[own.status] === "detected";
      c.setLineDash(firm ? [] : [7, 6]);
      c.strokeStyle = "#1e2026";
      c.lineWidth = 5;
      c.strokeRect(x, y, w, h);
      c.strokeStyle = colour(person);
      c.lineWidth = 3;
      c.strokeRect(x, y, w, h);
      c.setLineDash([]);
      const sure = own.sure === null ? "" : `  ${Math.round(own.sure * 100)} %`;
      const said = `\u2068${scene.movie.persons[person].id}\u2069${sure}`;
      const wide = Math.min(c.measureText(said).width, 220) + 10;
      const left = Math.min(Math.max(x, area.x), Math.max(area.x, area.x + area.w - wide));
      const top = Math.max(y - 20, area.y);
      c.fillStyle = colour(person);
      c.fillRect(left, top, wide, 20);
      c.fillStyle = "#1e2026";
      c.fillText(said, left + 5, top + 10, 220);
    }
  }

  return { Times, seen, draw, colour, picture };
})();
