// What a person has to look at: images held back because they name another patient, scanners whose text does not fit
// its character set, images that cannot be read, callers that were refused, and the conformance card of each scanner. Acts on them only after a confirmation
// that shows what they concern.

import { element as h } from './form.js';

const table = (columns, rows) => h('div', { class: 'scroll' }, h('table', {},
  h('thead', {}, h('tr', {}, ...columns.map((text) => h('th', { scope: 'col' }, text)))),
  h('tbody', {}, ...rows)));

/** Fields in which two patients differ, of those that both have; of a name one written form is enough. */
export function differences(one, other) {
  if (!one || !other) return [];
  const differ = (a, b) => Boolean(a && b && a !== b);
  const found = ['patient_id', 'birth_date', 'sex'].filter((key) => differ(one[key], other[key]));
  const forms = ['ideographic', 'alphabetic'].filter((form) => one.patient_name[form] && other.patient_name[form]);
  if (forms.some((form) => differ(one.patient_name[form], other.patient_name[form]))) found.push('patient_name');
  return found;
}

/** Asks before an act: `body` says what it concerns; the act waits for the tick when there is one to set. */
function confirm(dialog, { text, title, body, tick, act, label, danger }) {
  const failure = h('p', { class: 'wrong-text', role: 'alert' });
  const go = h('button', { type: 'submit', class: danger ? 'main danger' : 'main', disabled: Boolean(tick) }, label);
  const checkbox = tick ? h('input', { type: 'checkbox', class: 'inline', id: 'confirm-tick', onchange: (event) => { go.disabled = !event.target.checked; } }) : null;
  const form = h('form', { method: 'dialog', onsubmit: async (event) => {
    event.preventDefault();
    go.disabled = true;
    const error = await act();
    go.disabled = false;
    if (error) failure.textContent = error; else dialog.close();
  } },
    h('div', { class: 'form-head' }, h('h2', { id: 'confirm-title' }, title)),
    h('div', { class: 'form-body' }, ...body, tick ? h('label', { class: 'tick', for: 'confirm-tick' }, checkbox, ` ${tick}`) : null),
    h('div', { class: 'form-foot' }, failure, h('button', { type: 'button', onclick: () => dialog.close() }, text.confirm.cancel), go));
  dialog.replaceChildren(form);
  dialog.showModal();
}

function comparison(held, { text, identity }) {
  const differ = differences(held.study_patient, held.patient);
  return h('div', { class: 'compare' },
    h('div', {}, h('h3', {}, text.held.studyPatient), identity(held.study_patient)),
    h('div', {}, h('h3', {}, text.held.heldPatient), identity(held.patient)),
    h('p', { class: 'tag bad' }, `⚠ ${text.held.differ(differ.map((key) => text.held.fields[key]))}`));
}

/** Opens the question whether held images may go to the relay; it shows both patients. */
export function askRelease(dialog, held, tools) {
  const { text, post, say } = tools;
  confirm(dialog, {
    text,
    title: text.held.releaseTitle(held.n_objects),
    body: [comparison(held, tools), h('p', {}, text.held.releaseHelp)],
    tick: text.held.releaseTick,
    label: text.held.release,
    danger: true,
    act: async () => {
      const error = await post('/api/held/release', { held_id: held.held_id });
      if (!error) say(text.held.released(held.n_objects));
      return error;
    },
  });
}

/** Opens the question whether held images are of another patient and no part of the study; it shows both patients. */
export function askTakeOut(dialog, held, tools) {
  const { text, post, say } = tools;
  confirm(dialog, {
    text,
    title: text.held.takeOutTitle(held.n_objects),
    body: [comparison(held, tools), h('p', {}, text.held.takeOutHelp)],
    tick: text.held.takeOutTick,
    label: text.held.takeOut,
    act: async () => {
      const error = await post('/api/held/dismiss', { held_id: held.held_id });
      if (!error) say(text.held.takenOut(held.n_objects));
      return error;
    },
  });
}

/** Opens a question about a quarantined image: what it is, and what the act means. */
function askAbout(dialog, one, { text, clock, size, say }, { words, act }) {
  const facts = [clock(one.at_ms), one.calling_ae, reason(text, one.code), size(one.bytes)];
  confirm(dialog, {
    text,
    title: words.title,
    body: [h('ul', {}, ...facts.map((fact) => h('li', {}, fact))), h('p', {}, words.help)],
    label: words.label,
    act: async () => {
      const { error, done } = await act({ object_id: one.object_id });
      if (!error) say(done ?? words.done);
      return error;
    },
  });
}

/** Opens the question whether a quarantined image may leave the list. */
export function askDismiss(dialog, one, tools) {
  askAbout(dialog, one, tools, { words: tools.text.dismiss, act: async (body) => ({ error: await tools.post('/api/quarantine/dismiss', body) }) });
}

/** Opens the question whether a quarantined image is read again, and sent if it can be used. */
export function askAgain(dialog, one, tools) {
  const words = tools.text.again;
  const act = async (body) => {
    const { error, answer } = await tools.ask('/api/quarantine/release', body);
    return { error, done: words.outcomes[answer?.outcome] };
  };
  askAbout(dialog, one, tools, { words, act });
}

/** Opens the question whether a quarantined image is kept as a file, for whoever looks after the scanner. */
export function askSave(dialog, one, tools) {
  askAbout(dialog, one, tools, { words: tools.text.save, act: async (body) => ({ error: await tools.save('/api/quarantine/file', body) }) });
}

/** A code in words; one that is not known shows itself, for the administrator. */
export function reason(text, code) {
  return text.reasons[code] ?? `${text.reasons.other} (${code})`;
}

/** Held images, one entry for each study and other patient. */
export function heldList(list, dialog, tools) {
  const { text, clock } = tools;
  return list.map((held) => h('article', { class: 'study held', 'aria-label': text.held.label(held.n_objects) },
    comparison(held, tools),
    h('div', { class: 'acts' },
      h('p', { class: 'sub' }, `${text.held.images(held.n_objects)}・${held.calling_ae}・${clock(held.last_received_at_ms)}`),
      h('button', { type: 'button', 'data-act': 'release', onclick: () => askRelease(dialog, held, tools) }, text.held.look),
      h('button', { type: 'button', 'data-act': 'take-out', onclick: () => askTakeOut(dialog, held, tools) }, text.held.lookTakeOut))));
}

/** Quarantined images with the reason in words. */
export function quarantineTable(list, dialog, tools) {
  const { text, clock, size } = tools;
  return table(text.quarantineColumns, list.map((one) => h('tr', {},
    h('td', {}, clock(one.at_ms)), h('td', {}, one.calling_ae), h('td', {}, reason(text, one.code)), h('td', {}, size(one.bytes)),
    h('td', {}, h('div', { class: 'acts' }, ...[['save', askSave], ['again', askAgain], ['dismiss', askDismiss]].map(([act, ask]) =>
      h('button', { type: 'button', 'data-act': act, onclick: () => ask(dialog, one, tools) }, text[act].look)))))));
}

/** Scanners whose text does not fit the character set they declare, with what to have corrected. */
export function uncertainTextTable(list, { text, clock }) {
  const { texts } = text;
  return table(texts.columns, list.map((one) => h('tr', {},
    h('td', {}, one.calling_ae), h('td', {}, one.declared || texts.nothing),
    h('td', {}, one.elements.map((tag) => texts.elements[tag] ?? `(${tag.slice(0, 4)},${tag.slice(4)})`).join(texts.and) || texts.unknownTerm),
    h('td', {}, texts.studies(one.n_studies)), h('td', {}, clock(one.last_received_at_ms)))));
}

/** Callers that were refused, with what to do. */
export function refusalTable(list, { text, clock }) {
  return table(text.refusals.columns, list.map((one) => h('tr', {},
    h('td', {}, clock(one.at_ms)), h('td', {}, one.calling_ae || '—'), h('td', {}, one.called_ae || '—'), h('td', {}, one.address),
    h('td', {}, text.refusals.reasons[one.code] ?? one.code), h('td', {}, String(one.n_times)))));
}

/** A card for each modality: what it gets wrong, how often, when last, and what to ask of its vendor. */
export function conformanceCards(list, lang, { text, clock }) {
  const { cards } = text;
  return list.map((card) => h('article', { class: 'card', 'aria-label': cards.label(card.calling_ae) },
    h('h3', {}, card.calling_ae),
    h('p', { class: 'sub' }, cards.looked(card.n_objects, card.n_series, clock(card.last_at_ms))),
    card.faults.length === 0 ? h('p', {}, cards.good)
      : table(cards.columns, card.faults.map((fault) => h('tr', {},
        h('td', {}, fault.what[lang]), h('td', {}, cards.evidence(fault.n, fault.of, fault.is_of_series)), h('td', {}, fault.detail || '—'),
        h('td', {}, clock(fault.last_at_ms)), h('td', {}, fault.fix[lang]))))));
}
