// What is told beside the movie: who is there now and does what, the selected segment, and the filters.
// Names and sentences of others become text nodes, never markup.
"use strict";

rhas.panel = (() => {
  /** An element with text and children. */
  function make(tag, options = {}, ...children) {
    const { text, ...rest } = options;
    const element = Object.assign(document.createElement(tag), rest);
    if (text !== undefined) {
      element.textContent = text;
      element.dir = "auto";
    }
    element.append(...children);
    return element;
  }

  /** Everybody shown: who, how sure, and what they do at this moment by labels and prediction. */
  function now(scene, box, time, persons) {
    const sample = scene.times.sample(time);
    const list = persons.slice(0, 40).map((person) => {
      const own = scene.movie.persons[person];
      const seen = rhas.stage.seen(scene, person, sample);
      const chip = make("i");
      chip.style.background = rhas.stage.colour(person);
      const name = make("div", {}, make("b", { text: own.id }), " ", make("span", { text: own.reference }));
      return make("div", { className: "person" }, chip, make("div", {}, name, state(scene, own, seen, time), does(scene, person, time)));
    });
    box.replaceChildren(...list);
  }

  function state(scene, own, seen, time) {
    const line = make("div", { className: "quiet" });
    const inside = own.span && time >= own.span[0] && time < own.span[1];
    if (!inside) line.textContent = "not looked for at this time";
    else if (seen) {
      const status = seen.status === null ? (seen.box ? "box given" : "no box") : scene.index.statuses[seen.status];
      line.textContent = seen.sure === null ? status : `${status}, sure ${Math.round(seen.sure * 100)} %`;
    }
    return line;
  }

  function does(scene, person, time) {
    const said = make("div");
    const places = new Set([...scene.labels.persons[person].keys(), ...scene.predicted[person].keys()]);
    for (const action of [...places].sort((a, b) => a - b)) {
      const truth = scene.labels.lane(person, action).at(time) >= 0;
      const lane = scene.predicted[person].get(action);
      const at = lane ? lane.at(time) : -1;
      if (!truth && at < 0) continue;
      const score = at >= 0 && lane.score && lane.score[at] >= 0 ? ` ${lane.score[at].toFixed(2)}` : "";
      const judged = scene.movie.persons[person].predicted && scene.labels.persons[person].size;
      const mark = !judged ? "" : truth && at >= 0 ? "✓ " : truth ? "○ " : "✗ ";
      const kind = !judged ? "" : truth && at >= 0 ? "hit" : "miss";
      said.append(make("div", { className: kind }, mark, make("span", { text: scene.index.actions[action] }), score));
    }
    return said;
  }

  /** The editor of what is selected. `act`: what its buttons do. */
  function selected(scene, box, what, act) {
    if (!what) return void box.replaceChildren();
    const own = scene.movie.persons[what.person];
    const head = make("div", {}, make("b", { text: own.id }), " ", make("span", { text: own.reference }));
    const button = (text, title, run) => make("button", { textContent: text, title, onclick: run });
    if (what.start === undefined) {
      const children = [head];
      if (what.action !== null) {
        children.push(make("div", { text: scene.index.actions[what.action] }), button("Add here", "A", act.add));
      } else {
        const choice = actionChoice(scene, 0);
        choice.id = "add-action";
        const add = button("Add here", "at the playhead", () => act.addAction(Number(choice.value)));
        children.push(make("div", {}, choice, add));
        if (own.predicted) children.push(button("Take all predictions as labels", "in place of this person's labels", act.takeAll));
      }
      return void box.replaceChildren(...children);
    }
    if (what.part === "predicted") {
      const score = what.score !== null && what.score >= 0 ? `, score ${what.score.toFixed(3)}` : "";
      const said = `predicted from ${rhas.clock.text(what.start)} to ${rhas.clock.text(what.end)}${score}`;
      const line = make("div", {}, make("span", { text: scene.index.actions[what.action] }), ` ${said}`);
      return void box.replaceChildren(head, line, button("Accept as label", "A, or double-click", act.accept));
    }
    const choice = actionChoice(scene, what.action);
    choice.id = "edit-action";
    choice.onchange = () => act.setAction(Number(choice.value));
    const field = (name, value) => {
      const input = make("input", { type: "number", step: "any", min: 0, value, id: `edit-${name}` });
      input.onchange = () => act.setTimes(Number(document.getElementById("edit-start").value), Number(document.getElementById("edit-end").value));
      return make("label", {}, `${name} `, input);
    };
    box.replaceChildren(
      head, choice, make("div", {}, field("start", what.start), field("end", what.end)),
      button("Split", "S, at the playhead", act.split), button("Delete", "Delete", act.remove),
    );
  }

  function actionChoice(scene, chosen) {
    const choice = make("select");
    scene.index.actions.slice(0, scene.index.known).forEach((name, action) => {
      choice.append(make("option", { value: action, text: name, selected: action === chosen }));
    });
    return choice;
  }

  /** Boxes to tick, one for each name. `hidden`: a set of places, which they change. */
  function filter(box, names, hidden, changed) {
    const all = (on) => () => {
      hidden.clear();
      if (!on) names.forEach(([place]) => hidden.add(place));
      filter(box, names, hidden, changed);
      changed();
    };
    const list = names.map(([place, name, title]) => {
      const tick = make("input", { type: "checkbox", checked: !hidden.has(place) });
      tick.onchange = () => {
        if (tick.checked) hidden.delete(place);
        else hidden.add(place);
        changed();
      };
      return make("label", { title: title || name }, tick, " ", make("span", { text: name }));
    });
    const buttons = [["all", true], ["none", false]].map(([text, on]) => make("button", { textContent: text, onclick: all(on) }));
    box.replaceChildren(make("div", {}, ...buttons), ...list);
  }

  return { make, now, selected, filter };
})();
