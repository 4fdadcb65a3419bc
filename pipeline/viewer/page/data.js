// Loads files of data, each a script that calls rhas.give(name, value), since a page from disk may not fetch.
"use strict";

const rhas = (() => {
  const waiting = new Map(); // name: what to do with the value

  function give(name, value) {
    const take = waiting.get(name);
    waiting.delete(name);
    if (take) take(value);
  }

  /** Promise of the value that a file below data/ gives. */
  function load(file, name) {
    return new Promise((resolve, reject) => {
      const script = document.createElement("script");
      waiting.set(name, resolve);
      script.onload = () => {
        script.remove();
        if (waiting.delete(name)) reject(new Error(`data/${file} doesn't hold ${name}`));
      };
      script.onerror = () => {
        script.remove();
        waiting.delete(name);
        reject(new Error(`data/${file} can't be read`));
      };
      script.src = `data/${file}`;
      document.head.append(script);
    });
  }

  /** Bytes of base64. */
  function bytes(text) {
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
    const found = atob(text);
    const out = new Uint8Array(found.length);
    for (let i = 0; i < out.length; i++) out[i] = found.charCodeAt(i);
    return out;
  }

  const numbers = (Kind, text) => new Kind(bytes(text).buffer);

  /** Columns of intervals, of those that are there: action, start, end, score. */
  function columns(packed) {
    return {
      action: numbers(Uint16Array, packed.action),
      start: numbers(Float64Array, packed.start),
      end: numbers(Float64Array, packed.end),
      score: packed.score ? numbers(Float32Array, packed.score) : null,
    };
  }

  /** Tiles: the latest are kept, up to so many bytes; a few are loaded at a time, those last asked for first. */
  class Tiles {
    constructor(arrived, limit = 12 << 20, atOnce = 4) {
      Object.assign(this, { arrived, limit, atOnce, kept: new Map(), queue: [], loading: new Set(), size: 0 });
    }

    /** What was asked for earlier and isn't loading yet is forgotten: it is no longer to be seen. */
    fresh() {
      this.queue.length = 0;
    }

    /** The tile, or null for one that is still to come; `read` makes of the value what is kept. */
    get(file, name, read) {
      const own = this.kept.get(name);
      if (own !== undefined) {
        this.kept.delete(name); // the latest stand last
        this.kept.set(name, own);
        return own.value;
      }
      if (!this.loading.has(name)) this.queue.push({ file, name, read });
      this.next();
      return null;
    }

    next() {
      while (this.loading.size < this.atOnce && this.queue.length) {
        const { file, name, read } = this.queue.pop();
        if (this.kept.has(name) || this.loading.has(name)) continue;
        this.loading.add(name);
        load(file, name)
          .then(read, () => ({ value: undefined, size: 64 }))
          .then((own) => {
            this.loading.delete(name);
            this.kept.set(name, own);
            this.size += own.size;
            for (const [old, it] of this.kept) {
              if (this.size <= this.limit || old === name) break;
              this.kept.delete(old);
              this.size -= it.size;
            }
            this.arrived();
            this.next();
          });
      }
    }

    clear() {
      this.queue.length = 0;
      this.kept.clear();
      this.size = 0;
    }
  }

  /** First place in a rising array whose value is above `value` (or, with `at`, not below it). */
  function place(array, value, at = false) {
    let low = 0;
    let high = array.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (at ? array[middle] < value : array[middle] <= value) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  return { give, load, bytes, numbers, columns, Tiles, place };
})();
