// Begins: loads the index, opens movies, and ties clock, stage, timeline, panel, keys and buttons together.
"use strict";

rhas.main = (() => {
  const $ = (id) => document.getElementById(id);
  const kept = new Map(); // edited movies by number: {movie, labels}
  const rows = new rhas.rows.Rows();
  const timeline = new rhas.timeline.Timeline($("scroll"), $("lines"), $("over"), $("spacer"), rows);
  const tiles = new rhas.Tiles(() => redraw());
  const state = { index: null, scene: null, selected: null, drawn: false, ready: null, saving: false };
  let mistakes = null;
  let told = 0;

  const clock = new rhas.clock.Clock($("video"), () => {
    timeline.time = clock.time;
    if (!state.scene) return;
    $("time").value = `${rhas.clock.text(clock.time)} / ${rhas.clock.text(state.scene.movie.end)}`;
    $("play").textContent = clock.playing ? "Pause" : "Play";
    if (clock.playing && timeline.reveal(clock.time)) redraw();
    else light();
  });

  const say = (text) => {
    $("said").textContent = text;
  };

  // Drawing: everything, or just what moves with the playhead; once a frame at most.

  let due = 0;
  let asked = false;

  function redraw() {
    due = 2;
    later();
  }

  function light() {
    due = Math.max(due, 1);
    later();
  }

  function later() {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      const whole = due === 2;
      due = 0;
      if (whole) timeline.draw();
      else timeline.drawOver();
      const { scene } = state;
      if (!scene) return;
      rhas.stage.draw(scene, $("boxes"), $("video"), clock.time, rows.shownPersons);
      if (!clock.playing || performance.now() - told > 150) {
        told = performance.now();
        rhas.panel.now(scene, $("now"), clock.time, rows.shownPersons);
      }
      if (!state.ready) state.ready = document.documentElement.dataset.ready = performance.now();
    });
  }

  // Movies

  async function described(number) {
    return rhas.load(`${number}/movie.js`, `movie/${number}`);
  }

  async function lanesOf(number) {
    const columns = await rhas.load(`${number}/labels.js`, `movie/${number}/labels`);
    return columns.map((own) => rhas.labels.lanes(rhas.columns(own)));
  }

  async function open(number) {
    clock.pause();
    const [movie, persons, guesses] = await Promise.all([
      described(number),
      kept.has(number) ? kept.get(number).labels.persons : lanesOf(number),
      rhas.load(`${number}/predicted.js`, `movie/${number}/predicted`),
    ]);
    tiles.clear();
    for (const [old, { labels }] of kept) if (!labels.edited) kept.delete(old);
    const labels = kept.has(number) ? kept.get(number).labels : new rhas.labels.Labels(persons);
    kept.set(number, { movie, labels });
    const { index } = state;
    const scene = {
      index, number, movie, labels, tiles, absent: index.actions.indexOf(index.absent),
      predicted: guesses.map((own) => rhas.labels.lanes(rhas.columns(own))),
      doubts: movie.persons.map(({ doubts }) => rhas.columns(doubts)),
      times: new rhas.stage.Times(movie.times, movie.end),
    };
    Object.assign(state, { scene, selected: null });
    Object.assign(timeline, { scene, selected: null, focus: null });
    mistakes = new rhas.find.Mistakes(scene);
    rows.hidden.persons.clear();
    rhas.panel.filter($("persons"), movie.persons.map(({ id, reference }, p) => [p, id, reference]), rows.hidden.persons, rebuild);
    rhas.panel.filter($("actions"), index.actions.map((name, a) => [a, name]), rows.hidden.actions, rebuild);
    $("note").textContent = movie.note;
    $("scroll").scrollTop = 0;
    timeline.problems = new Map(movie.persons.map((_, p) => [p, rhas.table.problems(labels.persons[p], index)]));
    timeline.show(0, movie.end);
    rebuild();
    select(null);
    clock.open(movie.media, movie.offset, movie.end);
  }

  function rebuild() {
    rows.build(state.scene);
    redraw();
  }

  // Selecting and editing

  function select(what) {
    state.selected = timeline.selected = what;
    rhas.panel.selected(state.scene, $("selected"), what, actions);
    redraw();
  }

  function changed(person) {
    const { scene } = state;
    timeline.problems.set(person, rhas.table.problems(scene.labels.persons[person], state.index));
    const wrong = timeline.problems.get(person);
    say(wrong.length ? problemText(person, wrong[0]) : "");
    timeline.focus = null;
    rebuild();
  }

  function problemText(person, { action, start, why }) {
    const { scene } = state;
    const who = scene.movie.persons[person].id;
    return `${who}: “${scene.index.actions[action]}” at ${rhas.clock.text(start)} ${why}`;
  }

  function change(person, removed, added) {
    state.scene.labels.change(person, removed, added);
    changed(person);
  }

  const actions = rhas.editing.make({ state, timeline, clock, say, select, change, changed });

  // Jumping

  function jump(found, what) {
    if (!found) return say(`No ${what} there.`);
    clock.pause();
    const row = rows.find(found.person, found.action);
    timeline.focus = found;
    timeline.reveal(found.start, found.end);
    if (row) timeline.revealRow(row);
    clock.seek(found.start);
    select({ person: found.person, action: found.action });
    const name = found.action === null ? "who it is" : state.index.actions[found.action];
    const who = state.scene.movie.persons[found.person].id;
    say(`${what}: ${who}, ${name}, ${rhas.clock.text(found.start)} to ${rhas.clock.text(found.end)}`);
  }

  const mistake = (back) => jump(mistakes.next(rows.list, clock.time, back, Number($("least").value) || 0), "mistake");
  const doubt = (back) => jump(rhas.find.doubt(state.scene, rows.list, clock.time, back), "uncertain stretch");

  function step(samples) {
    clock.pause();
    const { times } = state.scene;
    clock.seek(times.of(Math.min(Math.max(times.sample(clock.time) + samples, 0), times.count - 1)));
    if (timeline.reveal(clock.time)) redraw();
  }

  function by(seconds) {
    clock.seek(clock.time + seconds);
    if (timeline.reveal(clock.time)) redraw();
  }

  // Saving

  async function save() {
    if (state.saving) return;
    for (const [number, { movie, labels }] of kept) {
      if (!labels.edited) continue;
      for (let person = 0; person < labels.persons.length; person++) {
        const [wrong] = rhas.table.problems(labels.persons[person], state.index);
        if (!wrong) continue;
        if (state.scene.number !== number) await goTo(number);
        clock.seek(wrong.start);
        timeline.reveal(wrong.start, wrong.end);
        select({ person, action: wrong.action, part: "truth", start: wrong.start, end: wrong.end });
        return say(`Not saved. In ${movie.id}, ${problemText(person, wrong)}.`);
      }
    }
    state.saving = true;
    try {
      const labelsOf = async (number) => {
        if (kept.has(number)) return { movie: kept.get(number).movie, persons: kept.get(number).labels.persons };
        const [movie, persons] = await Promise.all([described(number), lanesOf(number)]);
        return { movie, persons };
      };
      const others = await rhas.load("others.js", "others");
      const text = await rhas.table.parts(state.index, labelsOf, others);
      if (text.slice(1).every(({ size }) => !size)) return say("Not saved: there is no label.");
      rhas.table.download(text, "labels.csv");
      for (const { labels } of kept.values()) labels.saved = labels.done.length;
      say("Saved labels.csv among your downloads. Next: rhas labels FEATURES --labels labels.csv");
    } finally {
      state.saving = false;
    }
  }

  async function goTo(number) {
    $("movie").value = String(number);
    await open(number);
  }

  // What keys and buttons do

  const all = () => (timeline.show(0, state.scene.movie.end), redraw());
  const zoom = (factor) => (timeline.zoom(factor, clock.time), timeline.reveal(clock.time), redraw());
  const commands = {
    ...actions, all, zoom, by, step, mistake, doubt, save: () => save().catch(failed), toggle: () => clock.toggle(),
    select, help: () => $("keys").showModal(),
  };

  function begin(index) {
    state.index = index;
    const { make } = rhas.panel;
    index.movies.forEach(({ id }, number) => $("movie").append(make("option", { value: number, text: id })));
    $("movie").onchange = () => open(Number($("movie").value)).catch(failed);
    $("play").onclick = () => clock.toggle();
    $("rate").onchange = () => clock.setRate(Number($("rate").value));
    $("mistake").onclick = () => mistake(false);
    $("mistake-back").onclick = () => mistake(true);
    $("doubt").onclick = () => doubt(false);
    $("doubt-back").onclick = () => doubt(true);
    $("in").onclick = () => zoom(0.5);
    $("out").onclick = () => zoom(2);
    $("all").onclick = all;
    $("undo").onclick = actions.undo;
    $("redo").onclick = actions.redo;
    $("save").onclick = () => save().catch(failed);
    $("help").onclick = () => $("keys").showModal();
    $("keys").querySelector("dl").append(...rhas.keys.told().flatMap(([said, what]) => [make("dt", { textContent: said }), make("dd", { textContent: what })]));
    for (const [name, colour] of Object.entries(rhas.timeline.STATUS)) {
      if (!colour) continue;
      const swatch = make("i", { className: "swatch" });
      swatch.style.background = colour;
      $("statuses").append(make("span", {}, swatch, ` ${name}`));
    }
    $("find").oninput = () => {
      rows.search = $("find").value.trim().toLocaleLowerCase();
      rebuild();
    };
    for (const part of ["truth", "predicted", "scores"]) {
      $(part).onchange = () => {
        rows.shown[part] = $(part).checked;
        rebuild();
      };
    }
    $("every").onchange = () => {
      rows.every = $("every").checked;
      rebuild();
    };
    $("scroll").onscroll = redraw;
    new ResizeObserver(redraw).observe($("scroll"));
    $("video").onerror = () => {
      if (clock.media) $("note").textContent = "This browser can't play the movie: rhas view --video proxy, or --codec vp9";
    };
    rhas.keys.attach(commands, () => state.scene);
    // So that Space is the movie's again after a click.
    document.querySelector("header").addEventListener("click", ({ detail, target }) => {
      if (detail && target.tagName === "BUTTON") target.blur();
    });
    window.addEventListener("beforeunload", (event) => {
      if ([...kept.values()].some(({ labels }) => labels.unsaved)) event.preventDefault();
    });
    rhas.gestures.attach(timeline, {
      seek: (time) => clock.seek(time), select, change, redraw, accept: actions.accept,
    });
    document.title = `rhas view: ${index.movies.length} movies`;
    if (!index.predicted) for (const id of ["mistake", "mistake-back"]) $(id).disabled = true;
    return open(0);
  }

  const failed = (error) => say(`This page isn't whole: ${error.message}`);

  rhas.load("index.js", "index").then(begin).catch(failed);

  return { state, rows, timeline, clock, tiles, kept };
})();
