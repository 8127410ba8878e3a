// The technologist's page: draws the node's state as it changes and sends the technologist's acts.
// Patient data lives in this page's memory only; nothing is written to browser storage but the language.

import { ja, en } from './strings.js';
import { groups } from './fields.js';
import { answersOf, element as h, missingFields, openRequestForm } from './form.js';
import { conformanceCards, heldList, quarantineTable, refusalTable, uncertainTextTable } from './attention.js';
import { deliveryReason, deliveryTable, promiseNote } from './deliveries.js';
import { drawLine, lossText, rateText, rttText } from './line.js';
import { notice, troubleWords } from './troubles.js';

const strings = { ja, en };
const RETRY_MS = 2_000;
/** Silence after which the node is asked for a sign of life, and how long that may take; a picture comes at least every ten seconds. */
const SILENT_MS = 3_000;
const ANSWER_MS = 3_000;
/** How long a stream that is being opened is left alone. */
const OPENING_MS = 10_000;
const ANSWERS_MAX = 50;
/** How often the graph is asked for: its newest points are ten seconds or minutes long. */
const GRAPH_MS = { '1h': 10_000, '6h': 60_000, '48h': 60_000 };
/** How often ages are written anew. */
const AGE_MS = 1_000;
let lang = localStorage.getItem('tancho.language') === 'en' ? 'en' : 'ja';
let state = null;
let reachable = true;
/** When the node was last heard, by this computer's clock. */
let heardMs = Date.now();
let span = '1h';
let line = null;
let lineFailed = false;
let chosenMs = null;
/** This computer's clock minus the node's: ages are those of the node. */
let skewMs = 0;
const answers = new Map();
const known = new Set();
const $ = (id) => document.getElementById(id);
const t = () => strings[lang];

const locale = () => (lang === 'ja' ? 'ja-JP' : 'en-GB');
// With the year when it is not the present one.
const clock = (ms) => {
  const year = new Date(ms).getFullYear() === new Date(nodeNow()).getFullYear() ? {} : { year: 'numeric' };
  return new Intl.DateTimeFormat(locale(), { ...year, month: 'numeric', day: 'numeric', hour: '2-digit', minute: '2-digit', second: '2-digit' }).format(ms);
};
const size = (n) => {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let step = 0;
  while (n >= 1000 && step < units.length - 1) { n /= 1000; step += 1; }
  return `${n.toFixed(n < 10 && step ? 1 : 0)} ${units[step]}`;
};
const lasting = (seconds) => (seconds < 60 ? t().seconds(Math.ceil(seconds)) : seconds < 5400 ? t().minutes(Math.ceil(seconds / 60)) : t().hours(Math.round(seconds / 3600)));
const duration = (ms) => lasting(ms / 1000);
const nodeNow = () => Date.now() - skewMs;
const age = (ms) => t().ago(lasting(Math.max(0, nodeNow() - ms) / 1000));
const day = (ms) => new Intl.DateTimeFormat(locale(), { year: 'numeric', month: 'numeric', day: 'numeric', hour: '2-digit', minute: '2-digit' }).format(ms);
const hour = (ms) => new Intl.DateTimeFormat(locale(), { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }).format(ms);
// A birth date with the era beside the western year for a Japanese reader.
const born = ({ birth_date: text, birth_date_era: era }) => {
  if (!/^\d{8}$/.test(text ?? '')) return text || '';
  const western = `${text.slice(0, 4)}-${text.slice(4, 6)}-${text.slice(6, 8)}`;
  return lang === 'ja' && era ? `${western}(${era})` : western;
};
// Text of a header as it is shown: half-width katakana, which old scanners send, in full width.
const headerText = (text) => text.replace(/[\uff61-\uff9f]+/g, (kana) => kana.normalize('NFKC'));
const nameOf = (group) => headerText(group.split('^').filter(Boolean).join(' '));

async function post(path, body) {
  try {
    const answer = await fetch(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
    return answer.ok ? null : await refusal(answer);
  } catch {
    return t().pageOffline;
  }
}

/** As `post`, and what the agent answers. */
async function ask(path, body) {
  try {
    const answer = await fetch(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
    return answer.ok ? { answer: await answer.json() } : { error: await refusal(answer) };
  } catch {
    return { error: t().pageOffline };
  }
}

/** Why the agent would not, in words: by its code, else as it says itself where that is the language. */
async function refusal(answer) {
  const { code, detail } = await answer.json().catch(() => ({}));
  if (t().problems[code]) return t().problems[code];
  if (t().reasons[code]) return t().again.still(t().reasons[code]);
  // What the agent says is English.
  return (lang === 'en' && detail) || t().problems.unknown(code ?? `HTTP ${answer.status}`);
}

/** Has the browser keep what the agent answers, under the name it gives. */
async function save(path, body) {
  try {
    const answer = await fetch(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
    if (!answer.ok) return await refusal(answer);
    const name = /filename="([^"]+)"/.exec(answer.headers.get('content-disposition') ?? '')?.[1] ?? '';
    const link = h('a', { href: URL.createObjectURL(await answer.blob()), download: name });
    link.click();
    URL.revokeObjectURL(link.href);
    return null;
  } catch {
    return t().pageOffline;
  }
}
const say = (text) => { $('announce').textContent = text; };

function identity(study) {
  if (!study) return h('p', { class: 'name' }, t().held.unknown);
  const name = study.patient_name;
  const written = nameOf(name.ideographic) || nameOf(name.alphabetic) || t().unnamed;
  const sound = [name.phonetic, name.ideographic ? name.alphabetic : ''].map(nameOf).filter(Boolean).join(' / ');
  return h('div', {},
    h('p', { class: 'name' }, written),
    sound ? h('p', { class: 'kana' }, sound) : null,
    h('p', { class: 'facts' },
      h('span', {}, `${t().patientId} `, h('b', {}, study.patient_id || '—')),
      h('span', {}, `${t().birth} `, h('b', {}, born(study) || '—')),
      h('span', {}, t().sex[study.sex] ?? '')),
    study.name_uncertain ? h('span', { class: 'tag warn' }, `⚠ ${t().uncertainName}`) : null);
}

// Images that are on their way; not those that wait for a person.
const unsent = (study) => study.n_received - study.n_durable - study.n_refused - study.n_held - study.n_damaged;

function why(study) {
  const waiting = unsent(study);
  if (study.n_held) return t().why.held(study.n_held);
  if (study.n_damaged) return t().why.damaged(study.n_damaged);
  if (study.n_refused) return t().why.refused(study.n_refused);
  if (!waiting) return study.closed ? t().why.done : t().why.receiving;
  if (state.link.state === 'not_enrolled') return t().why.not_enrolled;
  if (state.link.state !== 'connected') return t().why.offline;
  if (study.priority === 'routine' && state.link.routine_waits_until_ms !== null) return t().why.hours(clock(state.link.routine_waits_until_ms));
  if (state.link.relay_defers) return t().why.deferred;
  if (study.bytes_sent_now > 0) return state.link.is_capped ? t().why.capped : t().why.sending;
  if (study.n_coding) return t().why.coding(study.n_coding);
  return t().why.waiting;
}

const LABELS_MAX = 4;
const urgencyOf = (study) => (study.request?.refused ? undefined : study.request?.form?.urgency);
const urgencyLabel = (code) => {
  const option = groups.flatMap((group) => group.fields).find((field) => field.id === 'requested_urgency').options.find((one) => one.code === code);
  return option ? option[lang] ?? option.ja : code;
};

// Answers that did not arrive, by name and reason: the person believes they were sent.
function leftOut(r) {
  if (!r?.left_out?.length) return null;
  const fields = groups.flatMap((group) => group.fields);
  const name = ({ field: path, code }) => {
    const field = fields.find((one) => one.id === path.split(/[.[]/)[0]);
    return `${field ? field[lang] ?? field.ja : path} (${t().leftOutWhy[code] ?? code})`;
  };
  return h('p', { class: 'tag warn', role: 'note' }, `⚠ ${t().leftOut(r.left_out.map(name))}`);
}

// What the relay still lacks, by name: a question that was given is never called missing.
function incomplete(r) {
  const missing = r.form ? missingFields(answersOf(r.form)) : [];
  if (!missing.length) return t().incomplete;
  const labels = missing.slice(0, LABELS_MAX).map((field) => field[lang] ?? field.ja);
  return t().incompleteOf(labels, missing.length - labels.length);
}

// What the reader asks for before the study can be read, and what to do about it.
function returned({ reason, by, at_ms: atMs }) {
  return h('div', { class: 'note' },
    h('p', {}, h('strong', {}, t().returned.title)),
    h('p', { class: 'asked' }, reason),
    h('p', { class: 'help' }, t().returned.by(by, clock(atMs))),
    h('p', { class: 'help' }, t().returned.next(t().completeRequest)));
}

function request(study) {
  const r = study.request;
  if (!r) return null;
  const parts = [];
  if (r.case_code) parts.push(h('p', { class: 'sub' }, t().caseCode), h('p', { class: 'code' }, r.case_code));
  if (r.refused) parts.push(h('span', { class: 'tag bad' }, `✕ ${t().refusedRequest(r.refused)}`));
  else if (r.pending) parts.push(h('span', { class: 'tag warn' }, `… ${t().sentRequest}`));
  if (r.state) parts.push(h('span', { class: `tag ${['final', 'acknowledged', 'closed', 'acted_on'].includes(r.state) ? 'good' : ''}` }, t().state[r.state] ?? r.state));
  if (r.reader_name) parts.push(h('p', { class: 'sub' }, t().reader(r.reader_name)));
  if (r.case_code && r.clinical_context_complete === false) parts.push(h('span', { class: 'tag warn' }, `⚠ ${incomplete(r)}`));
  return h('div', {}, h('div', { class: 'tags' }, ...parts), r.returned ? returned(r.returned) : null);
}

// Of a study that is still on its way: how old its newest byte is. Written anew every second.
function lastByte(study) {
  if (unsent(study) <= 0 || !study.last_sent_at_ms) return null;
  return h('span', { 'data-age': study.last_sent_at_ms }, t().lastByte(age(study.last_sent_at_ms)));
}

// What a reader can already look at; silent when that is everything, or not known.
function shown(study) {
  const seen = Math.max(study.n_shown, study.n_durable);
  if (!seen || unsent(study) <= 0) return null;
  return h('p', { class: 'why' }, t().shown(Math.min(seen, study.n_received), study.n_received, Math.max(0, seen - study.n_durable)));
}

// What the form is for, as the request stands: to ask, to add what the reader lacks, or to correct.
function formWord(r) {
  if (!r?.case_code) return t().request;
  return r.clinical_context_complete && !r.returned ? t().changeRequest : t().completeRequest;
}

function studyCard(study) {
  const left = study.bytes_total - study.bytes_sent;
  const moving = state.link.state === 'connected' && study.bytes_per_second > 0 && left > 0;
  const open = () => openRequestForm($('request'), study, remembered(study), {
    text: t(), lang, identity: () => identity(study), asked: study.request?.returned?.reason,
    send: async (body) => {
      const error = await post('/api/requests', body);
      if (!error) { say(t().form.saved); answers.delete(study.study_instance_uid); }
      return error;
    },
  });
  const uid = study.study_instance_uid;
  const noStat = study.priority === 'stat' ? t().noStat.already : unsent(study) <= 0 && study.closed ? t().noStat.nothing : null;
  return h('article', { class: `study ${study.priority}`, 'aria-label': `${t().patientId} ${study.patient_id}` },
    h('div', {}, identity(study),
      h('p', { class: 'facts' }, h('b', {}, study.modalities.join(', ')), h('span', {}, headerText(study.description)), h('span', {}, `${t().received} ${clock(study.last_received_at_ms)}`)),
      study.text_uncertain && !study.name_uncertain ? h('span', { class: 'tag warn' }, `⚠ ${t().uncertainText}`) : null),
    h('div', {},
      h('div', { class: 'tags' },
        h('span', { class: `tag ${study.priority === 'stat' ? 'bad' : ''}` }, `${study.priority === 'stat' ? '● ' : ''}${t().transfer(t().priority[study.priority])}`),
        urgencyOf(study) ? h('span', { class: `tag ${['stroke_code', 'critical'].includes(urgencyOf(study)) ? 'bad' : ''}` }, t().asked(urgencyLabel(urgencyOf(study)))) : null,
        h('span', { class: `tag ${study.closed ? 'good' : ''}` }, study.closed ? t().closed : t().open)),
      h('progress', { max: study.bytes_total || 1, value: study.bytes_total ? study.bytes_sent : 0, 'aria-label': t().verified(study.n_durable, study.n_received) }),
      h('p', { class: 'count' }, h('strong', {}, t().verified(study.n_durable, study.n_received)), h('span', {}, t().bytes(size(study.bytes_sent), size(study.bytes_total)))),
      h('p', { class: 'why' }, moving ? `${why(study)} ${t().rate(rateText(study.bytes_per_second), lasting(left / study.bytes_per_second))}` : why(study), ' ', lastByte(study)),
      shown(study),
      request(study),
      leftOut(study.request)),
    h('div', { class: 'acts' },
      h('button', { type: 'button', class: 'main', onclick: open, 'data-act': 'request' }, formWord(study.request)),
      h('button', { type: 'button', class: 'stat', 'data-act': 'stat', disabled: Boolean(noStat), onclick: async () => say((await post('/api/studies/priority', { study_instance_uid: uid, priority: 'stat' })) ?? t().announce.stat) }, t().makeStat),
      noStat ? h('p', { class: 'sub' }, noStat) : null,
      study.closed ? null : h('button', { type: 'button', onclick: async () => say((await post('/api/studies/close', { study_instance_uid: uid })) ?? t().announce.closed) }, t().closeNow)));
}

// Study Date and Time are the scanner's local time; the input wants the same, without a zone.
function scanTime(study) {
  const [, year, month, day] = /^(\d{4})(\d{2})(\d{2})$/.exec(study.study_date) ?? [];
  const [, hour, minute] = /^(\d{2})(\d{2})/.exec(study.study_time) ?? [];
  return year && hour ? `${year}-${month}-${day}T${hour}:${minute}` : undefined;
}

// Whole years between two DICOM dates; nothing when either is not a date.
function ageAt(birth, day) {
  if (!/^\d{8}$/.test(birth) || !/^\d{8}$/.test(day)) return undefined;
  const years = Math.floor((Number(day) - Number(birth)) / 10_000);
  return years >= 0 && years <= 120 ? years : undefined;
}

function remembered(study) {
  const uid = study.study_instance_uid;
  if (!answers.has(uid)) {
    if (answers.size >= ANSWERS_MAX) answers.delete(answers.keys().next().value);
    answers.set(uid, { scan_dt: scanTime(study), age_years: ageAt(study.birth_date, study.study_date), sex: { M: 'male', F: 'female', O: 'other' }[study.sex], ...(study.priority === 'stat' ? { requested_urgency: 'critical' } : {}),
      ...(state.callback_number ? { callback_number: state.callback_number } : {}), ...(study.request?.form ? answersOf(study.request.form) : {}) });
  }
  return answers.get(uid);
}

function drawLink() {
  const link = state.link;
  const box = $('link');
  // What the node said last is no longer known to be so.
  if (!reachable) {
    box.className = 'link bad';
    box.textContent = `✕ ${t().link.lost(lasting((Date.now() - heardMs) / 1000))}`;
    return;
  }
  const kind = { connected: link.transport === 'tcp' ? 'warn' : 'good', offline: 'bad', not_enrolled: 'bad' }[link.state] ?? 'warn';
  box.className = `link ${kind}`;
  const mark = { connected: '●', connecting: '…', offline: '✕', not_enrolled: '!' }[link.state];
  let text = t().link[link.state];
  if (link.state === 'connected') text = t().link.connected(link);
  if (link.state === 'offline') text = t().link.offline(clock(link.since_ms));
  const words = `${mark} ${text}`;
  if (box.textContent !== words) box.textContent = words;
}

const lineTools = () => ({
  text: t(), clock, size, day, hour, age, duration, span: lasting, rate: rateText, loss: lossText, now_ms: nodeNow(), deliveryReason: (code) => deliveryReason(t(), code),
});

let told = new Set();
function drawNotices() {
  const tools = state ? lineTools() : null;
  const notes = (state?.troubles ?? []).map((trouble) => notice(trouble, tools));
  if (!reachable) notes.unshift(h('div', { class: 'note bad' }, h('p', {}, t().pageOffline)));
  if ($('notices').textContent !== notes.map((node) => node.textContent).join('')) $('notices').replaceChildren(...notes);
  // Read out once, when it begins: texts with times in them change all the while.
  const now = new Set([...(reachable ? [] : ['page']), ...(state?.troubles ?? []).filter(({ level }) => level !== 'info').map(({ code }) => code)]);
  const fresh = [...now].filter((code) => !told.has(code));
  told = now;
  if (fresh.length) $('alarm').textContent = fresh.map((code) => (code === 'page' ? t().pageOffline : troubleWords(state.troubles.find((one) => one.code === code), tools)[0])).join(' ');
}

function drawLineNow() {
  const { link } = state;
  const words = t().line;
  const parts = [];
  if (reachable && link.state === 'connected') {
    parts.push(link.transport === 'tcp' ? 'TCP' : 'QUIC', link.bytes_per_second > 0 ? words.rate(rateText(link.bytes_per_second)) : words.quiet);
    if (link.rtt_ms !== null) parts.push(words.rtt(rttText(link.rtt_ms)));
    if (link.loss !== null) parts.push(words.loss(lossText(link.loss)));
  } else parts.push(words.down);
  if (link.last_sent_at_ms) parts.push(words.lastSent(age(link.last_sent_at_ms)));
  $('line-now').textContent = words.now(parts);
}

function drawGraph() {
  for (const button of document.querySelectorAll('[data-span]')) {
    button.textContent = t().line.spans[button.dataset.span];
    button.setAttribute('aria-pressed', String(button.dataset.span === span));
  }
  $('spans').setAttribute('aria-label', t().line.spansLabel);
  if (!$('line').open) return;
  const root = $('line-graph');
  if (!line) { root.replaceChildren(h('p', { class: 'sub' }, lineFailed ? t().line.failed : t().loading)); return; }
  const focused = document.activeElement?.id === 'line-at';
  drawLine(root, line, { ...lineTools(), span, span_words: t().line.spans[span], chosen_ms: chosenMs, chosen: (ms) => { chosenMs = ms; } });
  if (focused) $('line-at').focus();
}

let asked = 0;
async function fetchLine() {
  if (!$('line').open || document.hidden) return;
  const mine = ++asked;
  try {
    const answer = await fetch(`/api/line?span=${span}`);
    if (!answer.ok) throw new Error(String(answer.status));
    const view = await answer.json();
    // Another span was chosen meanwhile.
    if (mine !== asked) return;
    line = view;
    lineFailed = false;
  } catch {
    lineFailed = true;
  }
  drawGraph();
}

// Ages grow without news from the node.
function drawAges() {
  if (!state) return;
  if (!reachable) drawLink();
  for (const node of document.querySelectorAll('[data-age]')) node.textContent = t().lastByte(age(Number(node.dataset.age)));
  drawLineNow();
}

function keepFocus(root, draw) {
  const cards = [...root.querySelectorAll('button')];
  const at = cards.indexOf(document.activeElement);
  draw();
  if (at >= 0) [...root.querySelectorAll('button')][at]?.focus();
}

function draw() {
  document.documentElement.lang = lang;
  document.title = t().title;
  for (const node of document.querySelectorAll('[data-text]')) node.textContent = t()[node.dataset.text];
  for (const node of document.querySelectorAll('[data-lang]')) node.setAttribute('aria-pressed', String(node.dataset.lang === lang));
  drawNotices();
  const list = $('studies');
  if (!state) { list.replaceChildren(h('p', { class: 'empty' }, t().loading)); return; }
  list.setAttribute('aria-busy', 'false');
  $('where').textContent = t().where(state);
  $('totals').textContent = t().totals(state.studies.length, state.studies.reduce((sum, study) => sum + unsent(study), 0));
  drawLink();
  drawLineNow();
  keepFocus(list, () => list.replaceChildren(...(state.studies.length ? state.studies.map(studyCard)
    : [h('p', { class: 'empty' }, h('strong', {}, t().emptyTitle), t().emptyHelp(state))])));
  const tools = { text: t(), clock, size, identity, post, ask, save, say };
  section('deliveries', state.deliveries, (list) => [deliveryTable(list, tools), promiseNote(state.promises, tools)].filter(Boolean));
  section('held', state.held, (list) => heldList(list, $('confirm'), tools));
  section('texts', state.uncertain_texts, (list) => [uncertainTextTable(list, tools)]);
  section('quarantine', state.quarantine, (list) => [quarantineTable(list, $('confirm'), tools),
    ...(state.quarantine_is_full ? [h('p', { class: 'sub' }, t().quarantineFull(list.length))] : [])]);
  section('conformance', state.conformance, (list) => conformanceCards(list, lang, tools));
  section('refusals', state.refusals, (list) => [refusalTable(list, tools)]);
}

function section(id, list, make) {
  $(`${id}-section`).hidden = list.length === 0;
  keepFocus($(id), () => $(id).replaceChildren(...make(list)));
}

let source;
let openedMs = 0;
function listen() {
  source?.close();
  source = new EventSource('/api/events');
  openedMs = Date.now();
  source.addEventListener('state', (event) => {
    heardMs = Date.now();
    const next = JSON.parse(event.data);
    const fresh = next.studies.filter((study) => !known.has(study.study_instance_uid));
    fresh.forEach((study) => known.add(study.study_instance_uid));
    if (state && fresh.length) say(t().announce.arrived(fresh.length));
    state = next;
    skewMs = Date.now() - next.now_ms;
    reachable = true;
    draw();
  });
  source.addEventListener('error', lost);
}

function lost() {
  reachable = false;
  drawNotices();
  if (state) { drawLink(); drawLineNow(); }
}

// A node that goes without a word is missed within SILENT_MS and ANSWER_MS; the browser itself would not notice.
let asking = false;
let askedMs = 0;
async function look() {
  if (asking || Date.now() - askedMs < RETRY_MS || (reachable && Date.now() - heardMs < SILENT_MS)) return;
  asking = true;
  askedMs = Date.now();
  const answers = await fetch(new Request('/healthz', { cache: 'no-store', signal: AbortSignal.timeout(ANSWER_MS) })).then((answer) => answer.ok, () => false);
  asking = false;
  if (!answers) { if (reachable) lost(); return; }
  if (reachable) heardMs = Date.now();
  else if (source.readyState === EventSource.CLOSED || Date.now() - openedMs >= OPENING_MS) listen();
}

for (const button of document.querySelectorAll('[data-lang]')) {
  button.addEventListener('click', () => { lang = button.dataset.lang; localStorage.setItem('tancho.language', lang); draw(); drawGraph(); });
}
for (const button of document.querySelectorAll('[data-span]')) {
  button.addEventListener('click', () => { ({ span } = button.dataset); line = null; chosenMs = null; drawGraph(); void fetchLine(); });
}
// On a small screen the studies come first; one touch opens the graph.
if (matchMedia('(max-width: 40rem)').matches) $('line').open = false;
$('line').addEventListener('toggle', () => { void fetchLine(); });
addEventListener('resize', drawGraph);
document.addEventListener('visibilitychange', () => { void fetchLine(); });
let lineAt = 0;
setInterval(() => {
  drawAges();
  void look();
  if (Date.now() - lineAt >= GRAPH_MS[span]) { lineAt = Date.now(); void fetchLine(); }
}, AGE_MS);
draw();
drawGraph();
listen();
void fetchLine();
