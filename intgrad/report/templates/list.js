// The list: what is searched, filtered and sorted, and cards for the part of it that is seen.
"use strict";

const CARD = { width: 176, high: 236, gap: 10 };
const BEYOND = 3; // rows above and below what is seen

const list = {
  shown: [], // cards that pass the filters, in their order
  limits: [], // what full colour means on thumbnails, of each run
  built: new Map(), // elements by the number of their card
  started: false,

  start() {
    const { cards, about } = intgrad;
    this.limits = about.meanings.map(({ scale }) => commonLimit(cards, scale));
    const classes = count(cards.flatMap((card) => card.runs.map((run) => run.label)));
    byId("class").append(...[...classes].sort(compareText).map(([name, number]) => make("option", { value: name, textContent: `${name} (${number})` })));
    const states = [["", `all (${cards.length})`], ["explained", "explained"], ["failed", "failed"], ["noted", "with a note"]];
    byId("state").append(...states.map(([value, textContent]) => make("option", { value, textContent })));
    const sorts = [["", about.order], ["name", "name"], ...about.facts.map((name) => [`=${name}`, name])];
    byId("sort").append(...sorts.map(([value, textContent]) => make("option", { value, textContent })));
    const scales = new Map(about.meanings.map(({ scale }, k) => [scale, this.limits[k]]));
    byId("scale").textContent = [...scales].filter(([, limit]) => limit !== null).map(([scale, limit]) =>
      `Thumbnails are on one scale: full colour is ${say(limit)} (${scale}) in a 16 by 16th of the picture, or more.`).join(" ");
    const filters = byId("filters");
    filters.addEventListener("input", () => this.refresh());
    filters.addEventListener("submit", (event) => event.preventDefault());
    addEventListener("scroll", () => requestAnimationFrame(() => this.fill()), { passive: true });
    new ResizeObserver(() => this.fill()).observe(byId("grid"));
    this.refresh();
    this.started = true;
  },

  refresh() {
    const words = byId("search").value.trim().toLowerCase();
    const label = byId("class").value;
    const state = byId("state").value;
    this.shown = intgrad.cards.filter((card) =>
      (!words || searchable(card).includes(words))
      && (!label || card.runs.some((run) => run.label === label))
      && (!state || (state === "failed" ? card.reason : state === "noted" ? card.runs.some((run) => run.note) : !card.reason)));
    this.sort(byId("sort").value, byId("order").value === "down" ? -1 : 1);
    byId("count").textContent = `${this.shown.length} of ${intgrad.cards.length} photographs`;
    this.built = new Map();
    byId("grid").replaceChildren();
    this.fill();
  },

  /** Sort by a fact; cards that lack it come last, and equal ones stay in the order of the run. */
  sort(key, direction) {
    if (key === "" && direction < 0) this.shown.reverse();
    if (key === "name") this.shown.sort((a, b) => direction * compareText([a.name], [b.name]));
    if (!key.startsWith("=")) return;
    const fact = (card) => card.facts[key.slice(1)] ?? null;
    this.shown.sort((a, b) => {
      const [first, second] = [fact(a), fact(b)];
      if (first === null || second === null) return (first === null) - (second === null);
      return direction * (first - second);
    });
  },

  /** Have elements for the rows that are seen and a few beyond, and for no others. */
  fill() {
    const grid = byId("grid");
    const across = grid.clientWidth;
    if (!across) return; // it is hidden
    const width = Math.min(CARD.width * Math.max(1, intgrad.about.runs), across);
    const columns = Math.max(1, Math.floor((across + CARD.gap) / (width + CARD.gap)));
    const pitch = CARD.high + CARD.gap;
    grid.style.height = `${Math.ceil(this.shown.length / columns) * pitch}px`;
    const top = -grid.getBoundingClientRect().top;
    const first = columns * Math.max(0, Math.floor(top / pitch) - BEYOND);
    const last = Math.min(this.shown.length, columns * (Math.ceil((top + innerHeight) / pitch) + BEYOND));
    const wanted = new Map();
    for (let place = first; place < last; place++) {
      const card = this.shown[place];
      const item = this.built.get(card.number) ?? this.build(card);
      item.ariaPosInSet = place + 1;
      item.ariaSetSize = this.shown.length;
      const column = place % columns;
      Object.assign(item.style, {
        left: `${column * (width + CARD.gap)}px`, top: `${((place - column) / columns) * pitch}px`,
        width: `${width}px`, height: `${CARD.high}px`,
      });
      wanted.set(card.number, item);
    }
    for (const item of [...grid.children]) if (!wanted.has(Number(item.dataset.number))) item.remove();
    // In the order of the list, by which Tab and screen readers go.
    for (const [place, item] of [...wanted.values()].entries()) {
      if (grid.children[place] !== item) grid.insertBefore(item, grid.children[place] ?? null);
    }
    this.built = wanted;
  },

  build(card) {
    const thumbs = make("div", { className: "thumbs" }, ...card.runs.map((run, k) => this.buildThumb(card, run, this.limits[k])));
    const [run] = card.runs;
    const lines = card.reason ? ["failed"] : intgrad.about.runs > 1
      ? [`correlation ${say(card.facts.correlation)}`, [...new Set(card.runs.map((each) => each.label))].join(" / ")]
      : [`${run.label}${run.probability === null ? "" : ` ${percent(run.probability)}`}`, `off by ${percent(run.error)}`];
    const item = make("li", {}, make("a", { className: "card", href: `#image-${card.number}` },
      thumbs, make("b", { dir: "auto", textContent: card.name }), ...lines.map((textContent) => make("small", { dir: "auto", textContent }))));
    item.dataset.number = card.number;
    return item;
  },

  buildThumb(card, run, limit) {
    if (card.reason) return make("div", { className: "thumb" }, make("p", { textContent: card.reason }));
    if (!run.thumbnail) return make("div", { className: "thumb" }, make("p", { textContent: "not here any more" }));
    const picture = make("span", {}, make("img", { src: run.thumbnail, alt: "", loading: "lazy", decoding: "async" }));
    if (byId("tinted").checked && run.overview && limit !== null) {
      const canvas = make("canvas", { ariaHidden: "true" });
      drawCells(canvas, run.overview, limit);
      picture.append(canvas);
      picture.className = "tinted";
    }
    return make("div", { className: "thumb" }, picture);
  },
};

/** Return what nine of ten maps do not go beyond, of the runs that have this unit. */
function commonLimit(cards, scale) {
  const alike = (_, k) => intgrad.about.meanings[k].scale === scale;
  const limits = cards.filter((card) => !card.reason).flatMap((card) => card.runs.filter(alike))
    .map((run) => run.overview?.limit).filter(Boolean).sort((a, b) => a - b);
  return limits.length ? limits[Math.floor(0.9 * (limits.length - 1))] : null;
}

function searchable(card) {
  card.words ??= [card.name, ...card.runs.flatMap((run) => [run.label, run.image])].join("\n").toLowerCase();
  return card.words;
}

function count(values) {
  const found = new Map();
  for (const value of values) if (value) found.set(value, (found.get(value) ?? 0) + 1);
  return found;
}

const collator = new Intl.Collator(undefined, { numeric: true });
function compareText(a, b) {
  return collator.compare(a[0], b[0]);
}

function byId(id) {
  return document.getElementById(id);
}
