// What is wrong and what to do about it, in words: the facts and when to say them are the agent's (`troubles.rs`).

import { element as h } from './form.js';

const MARK = { alarm: '✕', warning: '⚠', info: 'ℹ' };
const CLASS = { alarm: 'bad', warning: '', info: 'info' };
/** Attempts that follow each other so closely are not timed for the reader. */
const SOON_MS = 5_000;

/** A trouble as a title and what to do; a code that is not known shows itself. */
export function troubleWords(trouble, tools) {
  const { text, clock, now_ms: nowMs } = tools;
  const words = text.troubles;
  switch (trouble.code) {
    case 'relay_unreachable': {
      const next = trouble.next_attempt_at_ms;
      const again = next === null ? '' : next - nowMs <= SOON_MS ? words.againSoon : words.againAt(clock(next));
      return [words.relay_unreachable(clock(trouble.since_ms)), [text.link.reasons[trouble.reason] ?? text.link.reasons.other(trouble.reason), words.kept, again].filter(Boolean).join(' ')];
    }
    case 'waiting': return waitingWords(trouble, tools);
    default: {
      const known = words[trouble.code];
      return known ? known(trouble, tools) : [trouble.code, ''];
    }
  }
}

function waitingWords(trouble, { text, clock, size, age, rate, span }) {
  const words = text.troubles;
  const why = words.waitingFor[trouble.reason](trouble, { clock, rate });
  const left = trouble.left_ms === null || trouble.reason === 'hours' ? '' : words.left(span(trouble.left_ms / 1000));
  return [words.waiting(trouble.n_objects, size(trouble.bytes), age(trouble.oldest_at_ms)), [why, left].filter(Boolean).join(' ')];
}

/** A notice for each trouble, the loudest first. */
export function notice(trouble, tools) {
  const [title, help] = troubleWords(trouble, tools);
  return h('div', { class: `note ${CLASS[trouble.level] ?? ''}`, 'data-code': trouble.code },
    h('p', {}, h('span', { class: 'mark', 'aria-hidden': 'true' }, `${MARK[trouble.level] ?? ''} `), h('strong', {}, title)),
    help ? h('p', { class: 'help' }, help) : null);
}
