// One photograph: its maps, drawn anew as the sliders move, its regions in a table, its record.
"use strict";

const VIEW_FORMAT = 1; // as in intgrad/report/views.py
const REGIONS_TOLD = 8;

const view = {
  card: null,
  columns: [], // of each run: its decoded maps, its record, and what is drawn into

  start() {
    if (!intgrad.about.meanings.some(({ signed }) => signed)) byId("sign").parentNode.hidden = true;
    const form = byId("sliders");
    form.addEventListener("input", () => this.draw());
    form.addEventListener("reset", () => setTimeout(() => this.draw()));
    form.addEventListener("submit", (event) => event.preventDefault());
    byId("previous").addEventListener("click", () => this.step(-1));
    byId("next").addEventListener("click", () => this.step(1));
    byId("key").replaceChildren(...intgrad.about.key.map(({ colour, text, ofBars }) =>
      make("li", { className: ofBars ? "of-bars" : "" }, Object.assign(make("i"), { style: `background: rgb(${colour})` }), text)));
  },

  async show(card, focus) {
    this.card = card;
    this.columns = [];
    const name = make("bdi", { textContent: card.name });
    byId("name").replaceChildren(name);
    this.tellPlace();
    if (focus) byId("view").focus({ preventScroll: true });
    byId("runs").replaceChildren(make("p", { className: "quiet", textContent: "Reading…" }));
    const records = await intgrad.findDetails(card);
    const columns = await Promise.all(card.runs.map(async (run, k) => {
      const raw = run.view && await intgrad.findView(run.view);
      const maps = raw?.format === VIEW_FORMAT ? await decodeView(raw) : null;
      return this.build(card, run, records[k], maps, k);
    }));
    if (this.card !== card) return; // the next one was asked for meanwhile
    this.columns = columns;
    byId("runs").classList.toggle("many", columns.length > 1);
    byId("runs").style.setProperty("--runs", columns.length);
    byId("runs").replaceChildren(...columns.map(({ element }) => element));
    const known = columns.some(hasBars);
    for (const each of [byId("threshold").parentNode, ...document.querySelectorAll(".of-bars")]) each.hidden = !known;
    this.draw();
    for (const direction of [1, -1]) { // what is likely to be asked for next
      for (const run of this.neighbour(direction)?.runs ?? []) if (run.view) intgrad.findView(run.view);
    }
  },

  tellPlace() {
    const place = list.shown.indexOf(this.card);
    byId("place").textContent = place < 0 ? "" : `${place + 1} of ${list.shown.length}`;
    byId("told").textContent = `${this.card.name}, ${byId("place").textContent}`;
    byId("previous").disabled = !this.neighbour(-1);
    byId("next").disabled = !this.neighbour(1);
  },

  neighbour(direction) {
    const place = list.shown.indexOf(this.card);
    return place < 0 ? undefined : list.shown[place + direction];
  },

  step(direction) {
    const card = this.neighbour(direction);
    if (!card) return;
    this.card = card; // at once: another key may come before the address has changed
    location.replace(`#image-${card.number}`);
  },

  build(card, run, record, maps, k) {
    const element = make("section");
    if (intgrad.about.runs > 1) element.append(make("h3", { textContent: intgrad.about.titles[k] }));
    const column = { element, maps, record, panels: [], meaning: intgrad.about.meanings[k] };
    if (card.reason) element.append(make("p", { className: "problem", textContent: card.reason }));
    if (record && !("seen" in record)) {
      element.append(make("p", { className: "problem", textContent: "An older version wrote this record: what the model saw of the photograph is unknown, and maps are drawn over all of it." }));
    }
    if (record?.note) element.append(make("p", { className: "problem", textContent: record.note }));
    if (maps) {
      const frame = make("div", { className: "maps" });
      column.panels = describePanels(maps, record, intgrad.about.meanings[k]).map((panel) => {
        const made = buildPanel(panel, card.name);
        frame.append(made.element);
        return made;
      });
      element.append(frame);
    } else if (!card.reason) {
      element.append(make("p", { className: "problem", textContent: "The maps of this photograph are not here: intgrad report FOLDER makes them anew." }));
    }
    if (!card.reason) element.append(...tellFacts(run, record));
    if (record?.regions) element.append(make("h3", { textContent: "Regions that made most of the score" }), buildTable(record.regions, maps, intgrad.about.meanings[k]));
    if (run.picture) element.append(make("p", {}, make("a", { href: run.picture, textContent: "The picture to keep (PNG)" })));
    if (record) {
      element.append(make("details", {}, make("summary", { textContent: "Record" }),
        make("pre", { tabIndex: 0, textContent: JSON.stringify(record, null, 1) })));
    }
    return column;
  },

  settings() {
    const number = (id) => Number(byId(id).value);
    return { strength: number("strength"), percentile: number("percentile"), threshold: number("threshold"), sign: byId("sign").value };
  },

  draw() {
    const settings = this.settings();
    byId("strength-value").textContent = `${settings.strength} %`;
    byId("percentile-value").textContent = String(settings.percentile);
    byId("threshold-value").textContent = settings.threshold ? `hide what is within ${settings.threshold} sd of 0` : "show all";
    for (const { panels, meaning } of this.columns) {
      const sign = meaning.signed ? settings.sign : "positive";
      for (const { canvas, bar, low, high, draw, opaque } of panels) {
        const { picture, limit } = draw({ ...settings, sign });
        canvas.width = picture.width;
        canvas.height = picture.height;
        canvas.getContext("2d").putImageData(picture, 0, 0);
        if (!bar) continue;
        drawBar(bar, (opaque * settings.strength) / 100, sign);
        low.textContent = sign === "positive" ? "0" : say(-limit);
        high.textContent = sign === "negative" ? "0" : say(limit);
      }
    }
  },
};

/** Say whether anything of a run has error bars. */
function hasBars({ maps, record }) {
  return Boolean(maps?.deviations || record?.regions?.deviations.some((each) => each !== null));
}

/** Say what is drawn of a run, in what order. */
function describePanels(maps, record, meaning) {
  const panels = [{ title: "Photograph", draw: () => ({ picture: maps.photograph }) }];
  if (maps.labels && record?.regions) {
    panels.push({ title: "Regions", unit: meaning.regionUnit, opaque: OPAQUE, draw: (settings) => drawRegions(maps, record.regions, settings) });
  }
  panels.push({ title: meaning.title, unit: meaning.unit, opaque: 1, draw: (settings) => drawMap(maps, maps.attributions, maps.deviations, settings) });
  if (maps.gradient) {
    panels.push({ title: "Plain gradient", unit: meaning.gradientUnit, opaque: 1, draw: (settings) => drawMap(maps, maps.gradient, null, settings) });
  }
  return panels;
}

function buildPanel(panel, name) {
  const canvas = make("canvas", { ariaLabel: `${panel.title}: ${name}` });
  const caption = make("figcaption", {}, make("b", { textContent: panel.title }));
  const made = { ...panel, canvas, element: make("figure", {}, canvas, caption) };
  canvas.setAttribute("role", "img");
  if (panel.unit) {
    Object.assign(made, { bar: make("canvas", { ariaHidden: "true" }), low: make("span"), high: make("span") });
    caption.append(make("div", { className: "bar" }, made.low, made.bar, made.high), make("span", { textContent: panel.unit }));
  }
  return made;
}

/** Say in a few lines what was explained and how far it may be off. */
function tellFacts(run, record) {
  if (!record) return [];
  const top = record.top.map(([label, , probability]) => `${label} ${percent(probability)}`).join(", ");
  const facts = [
    ["Explained", `${record.label ?? record.target}, ${record.output} ${say(record.score)}${record.baseline_score === null ? "" : `; ${say(record.baseline_score)} on ${record.baseline}`}`],
    ["Most probable", top],
    ["Error", `${percent(record.error)} of the attributions, ${record.evaluations} gradients`],
    ["Completeness gap", record.delta === null ? "none is defined" : say(record.delta)],
    ["File", record.image],
    ...Object.entries(record.metrics ?? {}).map(([name, { value, error, note }]) =>
      [name, note || `${say(value)}${error === null ? "" : ` ± ${say(error, 2)}`}`]),
  ];
  return [make("dl", { className: "facts" }, ...facts.map(([term, textContent]) => make("div", {}, make("dt", { textContent: term }), make("dd", { dir: "auto", textContent }))))];
}

/** Say in words where each region lies, for those who are told and do not see. */
function placeRegions(maps, count) {
  const sums = Array.from({ length: count }, () => ({ x: 0, y: 0, pixels: 0 }));
  for (const [at, k] of maps.labels.entries()) {
    sums[k].x += at % maps.width;
    sums[k].y += Math.floor(at / maps.width);
    sums[k].pixels += 1;
  }
  const third = (value, length) => Math.min(2, Math.floor((3 * value) / length));
  return sums.map(({ x, y, pixels }) => {
    const down = ["top", "middle", "bottom"][third(y / pixels, maps.height)];
    const across = ["left", "centre", "right"][third(x / pixels, maps.width)];
    return `${down} ${across}`;
  });
}

function buildTable(regions, maps, meaning) {
  const places = maps?.labels ? placeRegions(maps, regions.ids.length) : null;
  const order = regions.attributions.map((_, k) => k).sort((a, b) => Math.abs(regions.attributions[b]) - Math.abs(regions.attributions[a]));
  const rows = order.slice(0, REGIONS_TOLD).map((k) => {
    const value = regions.attributions[k];
    const error = regions.deviations[k];
    return make("tr", {}, make("td", { textContent: places ? `${regions.ids[k]}, ${places[k]}` : regions.ids[k] }),
      make("td", { className: value > 0 ? "raises" : "lowers", textContent: say(value) }),
      make("td", { textContent: error === null ? "unknown" : `± ${say(error, 2)}` }), make("td", { textContent: regions.pixels[k] }));
  });
  const head = ["region", meaning.regionUnit, "1 standard deviation", "pixels"].map((textContent) => make("th", { scope: "col", textContent }));
  return make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows));
}
