// What the page shows and how it comes in: by scripts, because a page that was opened from a file
// may read nothing else; or from the page itself, if it holds everything.
"use strict";

const VIEWS_KEPT = 12;

const intgrad = {
  about: null, // what holds for all photographs
  cards: [], // what the list shows of each
  details: new Map(), // full records, by the number of their chunk
  views: new Map(), // photographs and maps, by their files: the last few

  async begin(about) {
    this.about = about;
    await Promise.all(about.files.map((name) => addScript(`report/records/${name}`)));
    start();
  },
  add(chunk, cards) {
    for (const [row, card] of cards.entries()) {
      this.cards.push({ ...card, chunk, row, number: this.cards.length });
    }
  },
  addDetails(chunk, records) {
    this.details.set(chunk, records);
  },
  addView(view) {
    this.views.set(document.currentScript.dataset.key, view);
  },

  /** Return the records of a card, one for each run. */
  async findDetails(card) {
    if (card.reason) return [null];
    const name = `${String(card.chunk).padStart(4, "0")}.details.js`;
    if (!this.details.has(card.chunk)) await addScript(`report/records/${name}`);
    return this.details.get(card.chunk)?.[card.row] ?? card.runs.map(() => null);
  },
  /** Return what is drawn of a run of a card. */
  async findView(file) {
    const held = document.querySelector(`script[data-view="${CSS.escape(file)}"]`);
    if (held) return JSON.parse(held.textContent);
    if (!this.views.has(file)) await addScript(file, file);
    const view = this.views.get(file) ?? null;
    this.views.delete(file); // and to the end of the line
    if (view) this.views.set(file, view);
    if (this.views.size > VIEWS_KEPT) this.views.delete(this.views.keys().next().value);
    return view;
  },
};

/** Run a script, or complain; either way go on. */
function addScript(source, key) {
  return new Promise((done) => {
    const script = document.createElement("script");
    script.async = false; // in the order in which they are added
    script.src = source;
    if (key !== undefined) script.dataset.key = key;
    script.onload = () => { script.remove(); done(); };
    script.onerror = () => {
      complain(`${source} cannot be read. Is the folder whole? The command that made it, or intgrad report, writes again what is missing.`);
      done();
    };
    document.head.append(script);
  });
}

function complain(text) {
  const problem = document.getElementById("problem");
  problem.textContent = text;
  problem.hidden = false;
}

/** Make an element; texts are only ever set as texts. */
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** Say a number in a few digits. */
function say(value, digits = 3) {
  return value === null || value === undefined ? "unknown" : String(Number(value.toPrecision(digits)));
}

function percent(value) {
  return value === null || value === undefined ? "unknown" : `${(100 * value).toFixed(1)} %`;
}
