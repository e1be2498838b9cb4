// Maps over photographs, as intgrad draws them (intgrad/pictures/styles.py): the same numbers make
// the same pixels.
"use strict";

const UNCERTAIN = 160;
const OUTLINE = 80;
const OPAQUE = 0.75; // of a region at the end of the scale
const HATCHES = 150; // how many stripes a hatching has along the longer side

/** Decode an image to its pixels, which an image from a data: URL lets a page read. */
async function readPixels(source) {
  const image = new Image();
  image.src = source;
  await image.decode();
  const canvas = make("canvas", { width: image.naturalWidth, height: image.naturalHeight });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

/** Turn what a file holds into numbers (intgrad/report/views.py). */
async function decodeView(view) {
  const [photograph, maps, labels] = await Promise.all([
    readPixels(view.photograph),
    readPixels(view.maps),
    view.labels ? readPixels(view.labels) : null,
  ]);
  const size = view.height * maps.width;
  const decoded = { ...view, photograph, width: maps.width };
  let first = 0; // of the image's bytes
  for (const [name, levels] of Object.entries(view.levels)) {
    const limit = view.limits[name];
    decoded[name] = null;
    if (limit === null) continue;
    const at = first;
    decoded[name] = Float32Array.from({ length: size }, (_, k) => {
      const root = (maps.data[at + 4 * k] - 128) / levels;
      return limit * root * Math.abs(root);
    });
    first += 4 * size;
  }
  decoded.labels = labels && Uint16Array.from({ length: size }, (_, k) => 256 * labels.data[4 * k] + labels.data[4 * (size + k)]);
  return decoded;
}

/** Keep one sign of values, or both. */
function select(values, sign) {
  if (sign === "both") return values;
  return values.map((value) => (sign === "positive" ? Math.max(value, 0) : Math.min(value, 0)));
}

/** Return the percentile of the magnitudes, between neighbours as NumPy does: 1 if all are 0. */
function scaleOf(values, percentile) {
  const sorted = values.map(Math.abs).sort();
  const place = (percentile / 100) * (sorted.length - 1);
  const low = Math.floor(place);
  const high = Math.min(low + 1, sorted.length - 1);
  const end = sorted[low] + (place - low) * (sorted[high] - sorted[low]);
  return end || sorted[sorted.length - 1] || 1;
}

/** Return for each of `length` places the one of `old` that it shows: nearest neighbour. */
function stretch(length, old) {
  return Int32Array.from({ length }, (_, k) => Math.floor((k * old) / length));
}

/** Lay colours over a grey photograph: strength in 0..1, its sign that of the value. */
function blend(pixels, at, red, green, blue, strength, colours) {
  const grey = (1 - Math.abs(strength)) * (127 + (0.299 * red + 0.587 * green + 0.114 * blue) / 2);
  const end = strength > 0 ? colours.raises : colours.lowers;
  for (let channel = 0; channel < 3; channel++) {
    pixels[at + channel] = Math.trunc(grey + Math.abs(strength) * end[channel]);
  }
}

/** Fade the photograph around what the model sees, and call `paint` for each pixel of that. */
function paintPart(view, paint) {
  const { photograph, part } = view;
  const picture = new ImageData(new Uint8ClampedArray(photograph.data), photograph.width, photograph.height);
  const rows = stretch(part.height, view.height);
  const columns = stretch(part.width, view.width);
  if (part.height < picture.height || part.width < picture.width) fade(picture, part);
  for (let y = 0; y < part.height; y++) {
    for (let x = 0; x < part.width; x++) {
      const at = 4 * ((part.top + y) * picture.width + part.left + x);
      paint(picture.data, at, rows[y] * view.width + columns[x], x, y, photograph.data);
    }
  }
  return picture;
}

function fade(picture, part) {
  for (let y = 0; y < picture.height; y++) {
    for (let x = 0; x < picture.width; x++) {
      const at = 4 * (y * picture.width + x);
      const across = x >= part.left - 1 && x <= part.left + part.width;
      const framed = across && y >= part.top - 1 && y <= part.top + part.height;
      for (let channel = 0; channel < 3; channel++) {
        picture.data[at + channel] = framed ? 64 : 128 + (picture.data[at + channel] >> 1);
      }
    }
  }
}

/** Draw a map; return its picture and the end of its scale. */
function drawMap(view, values, deviations, settings) {
  const shown = select(values, settings.sign);
  const limit = scaleOf(shown, settings.percentile);
  const strength = settings.strength / 100;
  const picture = paintPart(view, (pixels, at, from, x, y, photograph) => {
    const certain = !deviations || !(Math.abs(values[from]) <= settings.threshold * deviations[from]);
    const value = certain ? Math.max(-1, Math.min(1, shown[from] / limit)) : 0;
    blend(pixels, at, photograph[at], photograph[at + 1], photograph[at + 2], strength * value, intgrad.about.colours);
  });
  return { picture, limit };
}

/** Draw what regions made of the score, those hatched that cannot be told from 0. */
function drawRegions(view, regions, settings) {
  const { attributions, deviations } = regions;
  const limit = Math.max(...attributions.map(Math.abs)) || 1;
  const certain = attributions.map((value, k) => !(Math.abs(value) <= settings.threshold * (deviations[k] ?? NaN)));
  const selected = select(attributions, settings.sign);
  const strengths = selected.map((value, k) => (certain[k] ? (OPAQUE * settings.strength * value) / (100 * limit) : 0));
  const { part } = view;
  const rows = stretch(part.height, view.height);
  const columns = stretch(part.width, view.width);
  const label = (x, y) => view.labels[rows[y] * view.width + columns[x]];
  const stripe = Math.max(2, Math.floor(Math.max(part.height, part.width) / HATCHES));
  const picture = paintPart(view, (pixels, at, from, x, y, photograph) => {
    const k = view.labels[from];
    blend(pixels, at, photograph[at], photograph[at + 1], photograph[at + 2], strengths[k], intgrad.about.colours);
    const edge = (y + 1 < part.height && label(x, y + 1) !== k) || (x + 1 < part.width && label(x + 1, y) !== k);
    const hatched = !certain[k] && Math.floor((x + y) / stripe) % 3 === 0;
    if (edge || hatched) pixels.fill(edge ? OUTLINE : UNCERTAIN, at, at + 3);
  });
  return { picture, limit };
}

/** Draw a scale from -1 to 1, or the half of it that a sign has. */
function drawBar(canvas, opaque, sign) {
  const first = sign === "positive" ? 0 : -1;
  const last = sign === "negative" ? 0 : 1;
  canvas.width = 256;
  canvas.height = 1;
  const picture = new ImageData(canvas.width, 1);
  for (let x = 0; x < canvas.width; x++) {
    const value = first + ((last - first) * x) / (canvas.width - 1);
    blend(picture.data, 4 * x, 128, 128, 128, opaque * value, intgrad.about.colours);
    picture.data[4 * x + 3] = 255;
  }
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

/** Tint a thumbnail by the sums over its cells, on a scale that all thumbnails share. */
function drawCells(canvas, overview, limit) {
  const codes = Int8Array.from(atob(overview.cells), (letter) => letter.charCodeAt(0));
  const side = Math.sqrt(codes.length);
  const cells = new ImageData(side, side);
  for (let k = 0; k < codes.length; k++) {
    const value = (codes[k] / 127) * (overview.limit / limit);
    cells.data.set(value > 0 ? intgrad.about.colours.raises : intgrad.about.colours.lowers, 4 * k);
    cells.data[4 * k + 3] = 255 * OPAQUE * Math.min(Math.abs(value), 1);
  }
  const small = make("canvas", { width: side, height: side });
  small.getContext("2d").putImageData(cells, 0, 0);
  canvas.width = canvas.height = 160;
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(small, 0, 0, 160, 160);
}
