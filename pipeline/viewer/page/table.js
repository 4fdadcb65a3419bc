// Checks labels as `rhas labels` will, and writes labels.csv.
"use strict";

rhas.table = (() => {
  const HEADER = "movie_id,person_id,action,start_s,end_s\n";

  /** A cell of CSV. */
  function cell(value) {
    const text = String(value);
    return /[",\r\n]/.test(text) || text.trim() !== text ? `"${text.replaceAll('"', '""')}"` : text;
  }

  const row = (values) => `${values.map(cell).join(",")}\n`;

  /** What is wrong with a person's labels: [{action, start, end, why}]. `absent`: the place of N/A. */
  function problems(lanes, index) {
    const absent = index.actions.indexOf(index.absent);
    const found = [];
    const gone = lanes.get(absent) || rhas.labels.EMPTY;
    for (const [action, lane] of lanes) {
      for (let i = 0; i < lane.length; i++) {
        const [start, end] = [lane.start[i], lane.end[i]];
        let why = "";
        if (!(start >= 0 && end > start && Number.isFinite(end))) why = "ends before it begins";
        else if (i && lane.start[i - 1] === start && lane.end[i - 1] === end) why = "is there twice";
        else if (action >= index.known) why = "is no action of these data";
        else if (action !== absent) {
          const [from, to] = gone.within(start, end);
          if (from < to) why = `overlaps ${index.absent}`;
        }
        if (why) found.push({ action, start, end, why });
      }
    }
    return found;
  }

  /**
   * Parts of the file as blobs, which the page's memory doesn't hold, one for each person: movies in their order, then
   * `others`, rows of movies that aren't shown.
   */
  async function parts(index, labelsOf, others) {
    const text = [new Blob([HEADER])];
    for (let number = 0; number < index.movies.length; number++) {
      const { movie, persons } = await labelsOf(number);
      persons.forEach((lanes, p) => {
        const rows = [];
        for (const [action, lane] of lanes) {
          for (let i = 0; i < lane.length; i++) {
            const name = index.actions[action];
            rows.push(row([movie.id, movie.persons[p].id, name, lane.start[i], lane.end[i]]));
          }
        }
        text.push(new Blob(rows));
      });
    }
    text.push(new Blob(others.map(row)));
    return text;
  }

  function download(text, name) {
    const url = URL.createObjectURL(new Blob(text, { type: "text/csv" }));
    const link = document.createElement("a");
    link.href = url;
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 60000);
  }

  return { problems, parts, download };
})();
