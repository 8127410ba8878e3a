// The reading request form: built from fields.js, keeps answers while the page lives, marks what is missing.

import { groups, required, shown, answered } from './fields.js';

const element = (name, attributes = {}, ...children) => {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    if (key === 'class') node.className = value;
    else if (key.startsWith('on')) node.addEventListener(key.slice(2), value);
    else if (key === 'value' || key === 'checked') node[key] = value;
    else node.setAttribute(key, value === true ? '' : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
};
export { element };

const TOP = ['requested_urgency'];
/** As the node wants a number that can be dialled. */
const TELEPHONE_DIGITS_MIN = 3;
const digitsOf = (number) => number.replaceAll(/[^0-9]/g, '').length;
/** A number in the width a telephone takes, whatever it was typed in. */
const narrow = (number) => number?.normalize('NFKC');

/** Local date and time of an input as RFC 3339 with this computer's offset. */
export function withOffset(local) {
  const at = new Date(local);
  if (Number.isNaN(at.getTime())) return undefined;
  const minutes = -at.getTimezoneOffset();
  const two = (n) => String(Math.trunc(Math.abs(n))).padStart(2, '0');
  return `${local.length === 16 ? `${local}:00` : local}${minutes < 0 ? '-' : '+'}${two(minutes / 60)}:${two(minutes % 60)}`;
}

/** An input's local form of an instant in milliseconds. */
export function toLocal(ms) {
  const at = new Date(ms);
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

/** A date and time with offset as an input wants it; nothing when it is none. */
const toInput = (text) => (Number.isNaN(Date.parse(text)) ? undefined : toLocal(Date.parse(text)));
/** How far ahead of the clock a time may lie: clocks at a site differ. As the node takes it. */
const CLOCK_TOLERANCE_MS = 300_000;
/** Whether an answer holds a time that has not come yet. */
const ahead = (field, value) => {
  const times = field.type === 'time' ? [value] : field.type === 'drugs' ? (value ?? []).map((one) => one.last) : [];
  return times.some((time) => time && new Date(time).getTime() > Date.now() + CLOCK_TOLERANCE_MS);
};

/** The answers of a form that was sent, as `openRequestForm` keeps them: the inverse of what it sends. */
export function answersOf(form) {
  const { clinical_context: context, urgency, callback_number, callback_person, responsible_physician } = form;
  const values = { requested_urgency: urgency, callback_number, callback_person, responsible_physician };
  for (const field of groups.flatMap((group) => group.fields)) {
    const value = context[field.id];
    if (!answered(value)) continue;
    if (field.type === 'time') values[field.id] = toInput(value);
    else if (field.type === 'drugs') values[field.id] = value.map((one) => ({ class: one.class, drug: one.drug, last: one.last_dose_dt ? toInput(one.last_dose_dt) : undefined }));
    else values[field.id] = value;
  }
  for (const key of Object.keys(values)) if (!answered(values[key])) delete values[key];
  return values;
}

/** Required fields without an answer, in the order of the form. */
export function missingFields(values) {
  return groups.flatMap((group) => group.fields).filter((field) => shown(field, values) && required(field, values) && !answered(values[field.id]));
}

/** Opens the form for one study; `send(body)` answers with nothing or an error text. `asked` is what a reader wants to know before reading. */
export function openRequestForm(dialog, study, values, { text, lang, send, identity, asked }) {
  const label = (entry) => entry[lang] ?? entry.ja;
  const wrong = new Map();
  const commandId = crypto.randomUUID();
  const missingLine = element('p', { class: 'sub', role: 'status' });
  const body = element('div', { class: 'form-body' });
  const sendButton = element('button', { type: 'submit', class: 'main' }, text.form.send);

  const numeric = (field) => {
    const value = values[field.id];
    if (!answered(value)) return true;
    return Number.isFinite(value) && value >= field.min && value <= field.max;
  };
  const check = () => {
    wrong.clear();
    let missing = 0;
    for (const field of groups.flatMap((group) => group.fields)) {
      if (!shown(field, values)) continue;
      if (ahead(field, values[field.id])) wrong.set(field.id, text.form.ahead);
      if (required(field, values) && !answered(values[field.id])) {
        missing += 1;
        if (field.now) wrong.set(field.id, text.form.must);
      } else if (field.type === 'number' && !numeric(field)) wrong.set(field.id, `${text.form.bad} (${field.min}–${field.max})`);
      else if (field.type === 'tel' && answered(values[field.id]) && digitsOf(narrow(values[field.id])) < TELEPHONE_DIGITS_MIN) wrong.set(field.id, text.problems.callback_number_invalid);
    }
    missingLine.textContent = missing ? `${text.form.missing(missing)}・${text.form.sendPartial}` : '';
    return missing;
  };
  // Which fields the answers ask for: the form is drawn anew when they are others.
  const asksFor = () => groups.flatMap((group) => group.fields).filter((field) => shown(field, values)).map((field) => `${field.id} ${required(field, values)}`).join();
  const set = (id, value, redraw) => {
    const before = asksFor();
    if (answered(value)) values[id] = value; else delete values[id];
    check();
    if (redraw || asksFor() !== before) draw();
  };

  const choice = (field, kind) => element('div', { class: 'choices', role: kind === 'radio' ? 'radiogroup' : 'group', 'aria-labelledby': `l-${field.id}` },
    ...field.options.map((option) => element('label', {}, element('input', {
      type: kind, id: `f-${field.id}-${option.code}`, name: field.id, value: option.code,
      checked: kind === 'radio' ? values[field.id] === option.code : (values[field.id] ?? []).some((one) => (one.class ?? one) === option.code),
      onchange: (event) => {
        if (kind === 'radio') { set(field.id, option.code, true); return; }
        const drugs = field.type === 'drugs';
        const make = (code) => (drugs ? { class: code } : code);
        const code = (one) => (drugs ? one.class : one);
        let list = (values[field.id] ?? []).filter((one) => code(one) !== option.code);
        if (event.target.checked) list = option.code === field.none ? [make(option.code)] : [...list.filter((one) => code(one) !== field.none), make(option.code)];
        set(field.id, list, true);
      },
    }), label(option))));

  const drugs = (field) => element('div', {}, choice(field, 'checkbox'),
    ...(values[field.id] ?? []).filter((one) => !['none', 'unknown'].includes(one.class)).map((one) => element('div', { class: 'fields' },
      element('div', { class: 'field' }, element('label', { for: `d-${one.class}` }, label(field.options.find((option) => option.code === one.class))),
        element('input', { id: `d-${one.class}`, value: one.drug ?? '', maxlength: 100, oninput: (event) => { one.drug = event.target.value || undefined; } })),
      element('div', { class: 'field' }, element('label', { for: `t-${one.class}` }, text.form.last),
        element('input', { id: `t-${one.class}`, type: 'datetime-local', value: one.last ?? '', oninput: (event) => { one.last = event.target.value || undefined; } })))));

  const labs = (field) => element('div', { class: 'fields' }, ...field.items.map((item) => {
    const notDone = values.labs?.not_done ?? [];
    const put = (value, untested) => {
      const all = { ...values.labs, [item.code]: value, not_done: notDone.filter((code) => code !== item.code).concat(untested ? [item.code] : []) };
      for (const key of Object.keys(all)) if (!answered(all[key])) delete all[key];
      set('labs', all);
    };
    return element('div', { class: 'field' }, element('label', { for: `lab-${item.code}` }, label(item)),
      element('input', { id: `lab-${item.code}`, type: 'number', step: 'any', min: 0, disabled: notDone.includes(item.code), value: values.labs?.[item.code] ?? '',
        oninput: (event) => put(event.target.value === '' ? undefined : Number(event.target.value), false) }),
      element('label', {}, element('input', { type: 'checkbox', class: 'inline', id: `lab-${item.code}-not-done`, checked: notDone.includes(item.code),
        onchange: (event) => { put(undefined, event.target.checked); draw(); } }), ` ${text.form.notTested}`));
  }));

  // Only this field's own mark: drawing all again on leaving a field would take away the one that is being entered.
  const mark = (field, node) => {
    check();
    const bad = wrong.has(field.id) && Boolean(values.touched);
    const holder = node.closest('.field');
    holder?.classList.toggle('wrong', bad);
    holder?.querySelector('.wrong-text')?.remove();
    if (bad) holder?.append(element('span', { class: 'wrong-text' }, wrong.get(field.id)));
  };
  const input = (field) => {
    const common = { id: `f-${field.id}`, name: field.id, 'aria-required': required(field, values) };
    switch (field.type) {
      case 'enum': return choice(field, 'radio');
      case 'multi': return choice(field, 'checkbox');
      case 'drugs': return drugs(field);
      case 'labs': return labs(field);
      case 'select': return element('select', { ...common, onchange: (event) => set(field.id, event.target.value) },
        element('option', { value: '' }, text.form.choose),
        ...field.options.map((option) => {
          const node = element('option', { value: option.code }, label(option));
          node.selected = values[field.id] === option.code;
          return node;
        }));
      case 'number': return element('input', { ...common, type: 'number', inputmode: 'decimal', min: field.min, max: field.max, step: field.step, value: values[field.id] ?? '',
        oninput: (event) => set(field.id, event.target.value === '' ? undefined : Number(event.target.value)), onblur: (event) => mark(field, event.target) });
      case 'time': return element('input', { ...common, type: 'datetime-local', value: values[field.id] ?? '', max: toLocal(Date.now()), oninput: (event) => set(field.id, event.target.value), onblur: (event) => mark(field, event.target) });
      case 'text': return element('textarea', { ...common, maxlength: field.max, value: values[field.id] ?? '', oninput: (event) => set(field.id, event.target.value) });
      default: return element('input', { ...common, type: field.type === 'tel' ? 'tel' : 'text', maxlength: 80, value: values[field.id] ?? '', oninput: (event) => set(field.id, event.target.value), onblur: (event) => mark(field, event.target) });
    }
  };
  const grouped = ['enum', 'multi', 'drugs', 'labs'];
  const row = (field) => {
    const title = [label(field), required(field, values) ? element('span', { class: 'must' }, text.form.must) : null];
    const isGroup = grouped.includes(field.type);
    return element('div', { class: `field${field.wide ? ' wide' : ''}${wrong.has(field.id) && values.touched ? ' wrong' : ''}` },
      isGroup ? element('span', { class: 'label', id: `l-${field.id}` }, ...title) : element('label', { for: `f-${field.id}` }, ...title),
      input(field),
      wrong.has(field.id) && values.touched ? element('span', { class: 'wrong-text' }, wrong.get(field.id)) : null);
  };
  function draw() {
    const focused = document.activeElement?.id;
    const scroll = body.scrollTop;
    check();
    body.replaceChildren(
      ...(asked ? [element('div', { class: 'note' }, element('p', {}, element('strong', {}, text.returned.title)), element('p', { class: 'asked' }, asked))] : []),
      element('p', { class: 'sub' }, text.form.unanswered),
      ...groups.map((group, index) => element('fieldset', { class: index ? 'group' : '' }, element('legend', {}, label(group)),
        element('div', { class: 'fields' }, ...group.fields.filter((field) => shown(field, values)).map(row)))));
    body.scrollTop = scroll;
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  }

  const collect = () => {
    const context = {};
    for (const field of groups.flatMap((group) => group.fields)) {
      if (!shown(field, values) || !answered(values[field.id]) || field.top) continue;
      const value = values[field.id];
      if (field.type === 'time') context[field.id] = withOffset(value);
      else if (field.type === 'drugs') context[field.id] = value.map((one) => ({ class: one.class, drug: one.drug, last_dose_dt: one.last ? withOffset(one.last) : undefined }));
      else context[field.id] = value;
    }
    return {
      command_id: commandId, study_instance_uid: study.study_instance_uid, urgency: values.requested_urgency, clinical_context: context,
      callback_number: narrow(values.callback_number), callback_person: values.callback_person, responsible_physician: values.responsible_physician,
    };
  };

  const failure = element('p', { class: 'wrong-text', role: 'alert' });
  const form = element('form', { method: 'dialog', novalidate: true, onsubmit: async (event) => {
    event.preventDefault();
    values.touched = true;
    check();
    if (wrong.size) { draw(); body.querySelector(`[name="${[...wrong.keys()][0]}"]`)?.focus(); body.querySelector('.wrong')?.scrollIntoView({ block: 'center' }); return; }
    sendButton.disabled = true;
    sendButton.textContent = text.form.sending;
    const error = await send(collect());
    sendButton.disabled = false;
    sendButton.textContent = text.form.send;
    if (error) failure.textContent = `${text.form.failed} ${error}`; else dialog.close();
  } },
    element('div', { class: 'form-head' }, element('h2', { id: 'request-title' }, text.form.title), identity()),
    body,
    element('div', { class: 'form-foot' }, missingLine, failure,
      element('button', { type: 'button', onclick: () => dialog.close() }, text.form.cancel), sendButton));
  dialog.replaceChildren(form);
  draw();
  dialog.showModal();
  for (const id of TOP) body.querySelector(`[name="${id}"]`)?.focus();
}
