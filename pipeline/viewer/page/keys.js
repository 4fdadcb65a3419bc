// Keys, and how the list of keys and mouse tells them.
"use strict";

rhas.keys = (() => {
  const KEYS = [
    [" ", "Space", "play or pause", (c) => c.toggle()],
    ["ArrowLeft", "←, →", "a second back or on; with Shift ten", (c, e) => c.by(e.shiftKey ? -10 : -1)],
    ["ArrowRight", "", "", (c, e) => c.by(e.shiftKey ? 10 : 1)],
    [",", ", .", "a sample back or on", (c) => c.step(-1)],
    [".", "", "", (c) => c.step(1)],
    ["Home", "Home, End", "to the beginning or the end", (c) => c.by(-Infinity)],
    ["End", "", "", (c) => c.by(Infinity)],
    ["n", "N, Shift+N", "next or previous mistake", (c, e) => c.mistake(e.shiftKey)],
    ["u", "U, Shift+U", "next or previous uncertain stretch", (c, e) => c.doubt(e.shiftKey)],
    ["a", "A", "accept the selected prediction, or add a label to the selected action", (c) => c.add()],
    ["s", "S", "split the selected label at the playhead", (c) => c.split()],
    ["[", "[ ]", "let the selected label begin or end at the playhead", (c) => c.edge("start")],
    ["]", "", "", (c) => c.edge("end")],
    ["Delete", "Delete", "delete the selected label", (c) => c.remove()],
    ["Backspace", "", "", (c) => c.remove()],
    ["+", "+ − 0", "zoom in, zoom out, show all", (c) => c.zoom(0.5)],
    ["-", "", "", (c) => c.zoom(2)],
    ["0", "", "", (c) => c.all()],
    ["Escape", "Esc", "select nothing", (c) => c.select(null)],
    ["?", "?", "these keys", (c) => c.help()],
  ];
  const MOUSE = [
    ["click", "seek, or select a segment"],
    ["drag", "move a label, or its ends; on the ruler: the playhead; with Alt not in samples"],
    ["Shift+drag", "draw a new label in the row of an action"],
    ["double-click", "accept a predicted segment"],
    ["Ctrl+wheel, Shift+wheel", "zoom, move in time"],
    ["Ctrl+Z, Ctrl+Shift+Z, Ctrl+S", "undo, redo, save"],
  ];

  const WRITTEN_IN = /^(INPUT|SELECT|TEXTAREA)$/;

  /** `ready`: whether there is a movie to work on. */
  function attach(commands, ready) {
    document.addEventListener("keydown", (event) => {
      const { target } = event;
      const typing = WRITTEN_IN.test(target.tagName) && target.type !== "checkbox";
      if (event.ctrlKey || event.metaKey) {
        const name = event.key.toLowerCase();
        if (name === "s") commands.save();
        else if (name === "z" && !typing) (event.shiftKey ? commands.redo : commands.undo)();
        else return;
        return void event.preventDefault();
      }
      const pressed = event.key === " " && /^(BUTTON|SUMMARY|INPUT)$/.test(target.tagName);
      if (typing || pressed || event.altKey || !ready() || document.querySelector("dialog[open]")) return;
      const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
      const found = KEYS.find(([own]) => own === name);
      if (!found) return;
      event.preventDefault();
      found[3](commands, event);
    });
  }

  /** Pairs of what is pressed and what it does. */
  const told = () => [...KEYS.filter(([, said]) => said).map(([, said, what]) => [said, what]), ...MOUSE];

  return { attach, told };
})();
