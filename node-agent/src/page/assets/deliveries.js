// Where received images are delivered to, how many each destination has, what waits and why, and what a person can do.

import { element as h } from './form.js';

/** What a delivery's code means and what to do; a status of the peer that has no words of its own shows itself. */
export function deliveryReason(text, code) {
  const { reasons } = text.deliveries;
  return reasons[code] ?? text.reasons[code] ?? `${reasons.other_status} (${code})`;
}

function standing(one, { text, clock }) {
  const words = text.deliveries;
  if (one.doing === 'pausing' && one.next_try_at_ms !== null) return words.pausing(clock(one.next_try_at_ms));
  if (one.doing === 'sending') return words.sending;
  return one.n_waiting ? words.waiting : words.idle;
}

function counts(one, words) {
  return [
    words.delivered(one.n_delivered),
    one.storage_commitment ? words.committed(one.n_committed, one.n_uncommitted) : '',
    one.n_not_committed ? words.notCommitted(one.n_not_committed) : '',
    one.n_failed ? words.failed(one.n_failed) : '',
    one.n_gone ? words.gone(one.n_gone) : '',
    one.n_withheld ? words.withheld(one.n_withheld) : '',
  ].filter(Boolean);
}

async function act(path, one, { post, say }, done) {
  say((await post(path, { destination: one.name })) ?? done);
}

/** A row for each destination. */
export function deliveryTable(list, tools) {
  const { text, clock, size } = tools;
  const words = text.deliveries;
  const row = (one) => {
    const lost = one.n_failed + one.n_not_committed + one.n_gone + one.n_withheld;
    const reasons = one.reasons.map((reason) => h('li', {}, words.reason(reason.n, deliveryReason(text, reason.code))));
    return h('tr', { 'data-destination': one.name },
      h('td', {}, one.name, h('br'), h('span', { class: 'sub' }, `${one.ae_title} ${one.address}`)),
      h('td', {}, words.count(one.n_waiting, size(one.bytes_waiting))),
      h('td', {}, h('ul', {}, ...counts(one, words).map((line) => h('li', {}, line)))),
      h('td', {}, h('p', {}, standing(one, tools)),
        reasons.length ? h('ul', {}, ...reasons) : null,
        one.last_error ? h('p', { class: 'sub' }, words.lastError(clock(one.last_error.at_ms), deliveryReason(text, one.last_error.code))) : null),
      h('td', {},
        one.n_failed + one.n_not_committed ? h('button', { type: 'button', 'data-act': 'retry', onclick: () => act('/api/deliveries/retry', one, tools, words.retried) }, words.retry) : null,
        lost ? h('button', { type: 'button', 'data-act': 'dismiss', onclick: () => act('/api/deliveries/dismiss', one, tools, words.dismissed) }, words.dismiss) : null));
  };
  return h('div', { class: 'scroll' }, h('table', {},
    h('thead', {}, h('tr', {}, ...words.columns.map((column) => h('th', { scope: 'col' }, column)))),
    h('tbody', {}, ...list.map(row))));
}

/** Storage commitment that modalities wait for; nothing when none does. */
export function promiseNote(promises, { text }) {
  if (!promises.n_open) return null;
  const why = promises.code ? deliveryReason(text, promises.code) : text.deliveries.promisesOpen;
  return h('p', { class: 'sub' }, text.deliveries.promises(promises.n_open, why));
}
