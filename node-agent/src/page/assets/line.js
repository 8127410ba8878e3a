// The graph of the line: rate, round trip and loss over the last hours, as SVG drawn here, with a readout for pointer
// and keyboard and a table that says the same in numbers.

import { element as h } from './form.js';

const SVG = 'http://www.w3.org/2000/svg';
const HEIGHT = { rate: 112, rtt: 44, loss: 36 };
const GAP = 20;
const LEFT = 58;
const RIGHT = 10;
const AXIS = 22;
const MINUTE_MS = 60_000;
const WIDTH_MIN = 240;
/** Where nothing is laid out, as in a test. */
const WIDTH_UNKNOWN = 720;
/** Narrower than this, every second time label is left out. */
const WIDTH_NARROW = 480;
/** A mark of an outage is never narrower. */
const MARK_MIN = 2;
const TICK_MS = { '1h': 10 * MINUTE_MS, '6h': 60 * MINUTE_MS, '48h': 6 * 60 * MINUTE_MS };
/** Below this the scale would make a well line look ill. */
const SCALE_MIN = { rate: 125_000, rtt: 20, loss: 0.02 };
const FIGURES = { rate: 'bytes_per_second', rtt: 'rtt_ms', loss: 'loss' };

/** `1.4 Mbit/s`, `320 kbit/s`: lines are sold and measured in bits. */
export function rateText(bytesPerSecond) {
  const kbit = (bytesPerSecond * 8) / 1000;
  if (kbit >= 10_000) return `${Math.round(kbit / 1000)} Mbit/s`;
  return kbit >= 1000 ? `${(kbit / 1000).toFixed(1)} Mbit/s` : `${Math.max(1, Math.round(kbit))} kbit/s`;
}

/** `0.8 %`; without a digit that says nothing. */
export const lossText = (loss) => `${(loss * 100).toFixed(loss > 0 && loss < 0.1 ? 1 : 0)} %`;
export const rttText = (ms) => `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;

/** Smallest, middle and largest of the values that are known; nothing when none is. */
export function spread(values) {
  const known = values.filter((value) => value !== null && value !== undefined).sort((a, b) => a - b);
  if (!known.length) return null;
  const middle = known.length >> 1;
  const median = known.length % 2 ? known[middle] : (known[middle - 1] + known[middle]) / 2;
  return { min: known[0], median, max: known.at(-1) };
}

/** What the graph shows, in numbers. */
export function summary(points) {
  const sum = (key) => points.reduce((total, point) => total + point[key], 0);
  const of = (key) => spread(points.map((point) => point[key]));
  return { rate: of('bytes_per_second'), rtt: of('rtt_ms'), loss: of('loss'), down_ms: sum('down_ms'), tcp_ms: sum('tcp_ms'), bytes: sum('bytes') };
}

/** How a point is told: the line was down, carried at a rate, or had nothing to carry. */
export function kind(point) {
  if (point.up_ms === 0) return 'down';
  return point.bytes_per_second === null ? 'idle' : 'busy';
}

/** Points side by side of which `has` holds, as runs: a gap in time or in what is known ends one. */
export function runs(points, has) {
  const found = [];
  let before = null;
  for (const point of points) {
    const follows = before && before.at_ms + before.span_ms === point.at_ms;
    if (!has(point)) { before = null; continue; }
    if (follows) found.at(-1).push(point); else found.push([point]);
    before = point;
  }
  return found;
}

/** The next of 1, 2, 5 times a power of ten. */
function nice(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value * 0.999);
}

function svg(name, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, String(value));
  node.append(...children.filter(Boolean));
  return node;
}

/** The span's chosen points with a place for each on the picture. */
function scales(view, width) {
  const from = view.now_ms - view.window_ms;
  const inner = width - LEFT - RIGHT;
  const x = (ms) => LEFT + (Math.min(Math.max(ms - from, 0), view.window_ms) / view.window_ms) * inner;
  return { x, from, end: (point) => x(Math.min(point.at_ms + point.span_ms, view.now_ms)) };
}

/** One curve in steps: each point is as wide as the time it stands for. */
function steps(run, { x, end }, y) {
  return run.map((point, index) => `${index ? 'L' : 'M'}${x(point.at_ms).toFixed(1)} ${y(point).toFixed(1)}L${end(point).toFixed(1)} ${y(point).toFixed(1)}`).join('');
}

/** Draws one panel and gives its nodes; `top` is its upper edge. */
function panel(name, view, scale, top, { text, width, label }) {
  const key = FIGURES[name];
  const height = HEIGHT[name];
  const bottom = top + height;
  const largest = Math.max(SCALE_MIN[name], ...view.points.map((point) => point[key] ?? 0));
  // The rate is labelled in bits, so its scale is round in bits.
  const max = name === 'rate' ? nice(largest * 8) / 8 : nice(largest);
  const y = (point) => bottom - (Math.min(point[key], max) / max) * height;
  const nodes = [
    svg('line', { class: 'grid', x1: LEFT, x2: width - RIGHT, y1: bottom, y2: bottom }),
    svg('line', { class: 'grid faint', x1: LEFT, x2: width - RIGHT, y1: top, y2: top }),
    svg('text', { class: 'scale', x: LEFT - 6, y: top + 4, 'text-anchor': 'end' }, document.createTextNode(label(max))),
    svg('text', { class: 'scale', x: LEFT - 6, y: bottom + 1, 'text-anchor': 'end' }, document.createTextNode('0')),
    svg('text', { class: 'title', x: LEFT + 4, y: top - 4 }, document.createTextNode(text.line.figures[name])),
  ];
  for (const run of runs(view.points, (point) => point[key] !== null)) {
    const curve = steps(run, scale, y);
    const close = `L${scale.end(run.at(-1)).toFixed(1)} ${bottom}L${scale.x(run[0].at_ms).toFixed(1)} ${bottom}Z`;
    if (name !== 'rtt') nodes.push(svg('path', { class: `area ${name}`, d: curve + close }));
    nodes.push(svg('path', { class: `curve ${name}`, d: curve }));
  }
  return nodes;
}

/** Where the line was down, idle, held by the cap, or ran over TCP: marked by form and words, not by colour alone. */
function marks(view, { x, end }, top, height) {
  const rateBottom = top + HEIGHT.rate;
  const nodes = [];
  for (const run of runs(view.points, (point) => kind(point) === 'idle')) {
    nodes.push(svg('line', { class: 'idle', x1: x(run[0].at_ms), x2: end(run.at(-1)), y1: rateBottom - 2, y2: rateBottom - 2 }));
  }
  for (const run of runs(view.points, (point) => point.tcp_ms > 0)) {
    nodes.push(svg('rect', { class: 'tcp', x: x(run[0].at_ms), y: rateBottom + 1, width: Math.max(MARK_MIN, end(run.at(-1)) - x(run[0].at_ms)), height: 5 }));
  }
  for (const run of runs(view.points, (point) => point.down_ms > 0 && kind(point) === 'down')) {
    nodes.push(svg('rect', { class: 'down', fill: 'url(#hatch)', x: x(run[0].at_ms), y: top, width: Math.max(MARK_MIN, end(run.at(-1)) - x(run[0].at_ms)), height }));
  }
  for (const point of view.points.filter((one) => one.down_ms > 0 && one.up_ms > 0)) {
    const share = point.down_ms / (point.down_ms + point.up_ms);
    nodes.push(svg('rect', { class: 'down', fill: 'url(#hatch)', x: x(point.at_ms), y: top, width: Math.max(MARK_MIN, (end(point) - x(point.at_ms)) * share), height }));
  }
  return nodes;
}

function ticks(view, { x, from }, bottom, { width, span, hour }) {
  const every = TICK_MS[span] * (width < WIDTH_NARROW ? 2 : 1);
  const offset = new Date(view.now_ms).getTimezoneOffset() * MINUTE_MS;
  const nodes = [];
  for (let at = Math.ceil((from - offset) / every) * every + offset; at <= view.now_ms; at += every) {
    nodes.push(
      svg('line', { class: 'grid faint', x1: x(at), x2: x(at), y1: GAP, y2: bottom }),
      svg('text', { class: 'scale', x: Math.min(x(at), width - RIGHT - 14), y: bottom + 15, 'text-anchor': 'middle' }, document.createTextNode(hour(at))),
    );
  }
  return nodes;
}

/** The hatch that means "no connection", so that it does not hang on colour. */
function hatch() {
  return svg('defs', {}, svg('pattern', { id: 'hatch', width: 6, height: 6, patternUnits: 'userSpaceOnUse', patternTransform: 'rotate(45)' },
    svg('rect', { class: 'hatch-ground', width: 6, height: 6 }), svg('line', { class: 'hatch-line', x1: 0, y1: 0, x2: 0, y2: 6 })));
}

/** One point in words. */
export function readout(point, { text, clock, size }) {
  const words = text.line;
  const parts = [clock(point.at_ms)];
  const state = kind(point);
  if (state === 'down') parts.push(words.down);
  else parts.push(state === 'idle' ? words.idle(size(point.bytes)) : words.rate(rateText(point.bytes_per_second)));
  if (state !== 'down' && point.down_ms > 0) parts.push(words.wasDown(text.seconds(Math.ceil(point.down_ms / 1000))));
  if (point.rtt_ms !== null) parts.push(words.rtt(rttText(point.rtt_ms)));
  if (point.loss !== null) parts.push(words.loss(lossText(point.loss)));
  if (point.tcp_ms > 0) parts.push(words.overTcp);
  if (point.capped_ms > 0) parts.push(words.capped);
  return parts.join(words.separator);
}

function figuresTable(found, { text }) {
  const show = { rate: rateText, rtt: rttText, loss: lossText };
  const cells = (name) => ['min', 'median', 'max'].map((key) => h('td', {}, found[name] ? show[name](found[name][key]) : '—'));
  return h('table', { class: 'figures' },
    h('caption', { class: 'visually-hidden' }, text.line.tableTitle),
    h('thead', {}, h('tr', {}, ...['', ...text.line.columns].map((word) => h('th', { scope: 'col' }, word)))),
    h('tbody', {}, ...Object.keys(FIGURES).map((name) => h('tr', {}, h('th', { scope: 'row' }, text.line.figures[name]), ...cells(name)))));
}

function legend(view, { text }) {
  const has = (test) => view.points.some(test);
  const entry = (name, shown) => (shown ? h('span', { class: `key ${name}` }, text.line.legend[name]) : null);
  return h('p', { class: 'legend sub' }, entry('idle', has((point) => kind(point) === 'idle')), entry('down', has((point) => point.down_ms > 0)), entry('tcp', has((point) => point.tcp_ms > 0)));
}

/** Draws a view of the line into `root`. The chosen point stays where the reader was. */
export function drawLine(root, view, tools) {
  const { text, span, span_words: spanWords, duration, hour, size } = tools;
  if (!view.points.length) {
    root.replaceChildren(h('p', { class: 'sub' }, text.line.nothing));
    return;
  }
  // Where the picture will stand is laid out first, as its width is that of its place.
  if (!root.querySelector('.picture')) root.replaceChildren(h('div', { class: 'picture' }), h('div', { class: 'numbers' }));
  const width = Math.max(WIDTH_MIN, root.querySelector('.picture')?.clientWidth || root.clientWidth || WIDTH_UNKNOWN);
  const scale = scales(view, width);
  const tops = { rate: GAP, rtt: GAP + HEIGHT.rate + GAP + 6, loss: GAP + HEIGHT.rate + HEIGHT.rtt + 2 * (GAP + 4) };
  const bottom = tops.loss + HEIGHT.loss;
  const labels = { rate: rateText, rtt: rttText, loss: lossText };
  const found = summary(view.points);
  const middle = (name) => (found[name] ? labels[name](found[name].median) : '—');
  const cursor = svg('line', { class: 'cursor', y1: GAP, y2: bottom, x1: -9, x2: -9 });
  const picture = svg('svg', { role: 'img', width, height: bottom + AXIS, viewBox: `0 0 ${width} ${bottom + AXIS}`, 'aria-label': text.line.label(spanWords, middle('rate'), middle('rtt'), middle('loss')) },
    hatch(), ...ticks(view, scale, bottom, { width, span, hour }), ...marks(view, scale, GAP, bottom - GAP),
    ...Object.keys(FIGURES).flatMap((name) => panel(name, view, scale, tops[name], { text, width, label: labels[name] })), cursor);

  const said = h('output', { class: 'readout', for: 'line-at' });
  const slider = h('input', { type: 'range', id: 'line-at', min: 0, max: view.points.length - 1, step: 1, 'aria-label': text.line.slider });
  const show = (index) => {
    const point = view.points[index];
    const words = readout(point, tools);
    const at = (scale.x(point.at_ms) + scale.end(point)) / 2;
    cursor.setAttribute('x1', at);
    cursor.setAttribute('x2', at);
    said.textContent = words;
    slider.setAttribute('aria-valuetext', words);
  };
  const pick = (index) => { slider.value = index; tools.chosen(view.points[index].at_ms); show(index); };
  slider.addEventListener('input', () => pick(Number(slider.value)));
  picture.addEventListener('pointermove', (event) => {
    const box = picture.getBoundingClientRect();
    const ms = scale.from + ((event.clientX - box.left - LEFT) / (width - LEFT - RIGHT)) * view.window_ms;
    pick(nearest(view.points, ms));
  });
  const notes = [text.line.totals(size(found.bytes), duration(found.down_ms), duration(found.tcp_ms)), found.tcp_ms > 0 ? text.line.noLoss : ''];
  root.replaceChildren(
    h('div', { class: 'picture' }, picture, slider, said, legend(view, tools)),
    h('div', { class: 'numbers' }, figuresTable(found, tools), h('p', { class: 'sub' }, notes.join(' '))),
  );
  const index = tools.chosen_ms === null ? view.points.length - 1 : nearest(view.points, tools.chosen_ms);
  slider.value = index;
  show(index);
}

/** The point that holds an instant, or lies nearest to it. */
export function nearest(points, ms) {
  let best = 0;
  const far = (point) => (ms < point.at_ms ? point.at_ms - ms : Math.max(0, ms - point.at_ms - point.span_ms));
  points.forEach((point, index) => { if (far(point) <= far(points[best])) best = index; });
  return best;
}
