// @vitest-environment happy-dom
// The technologist's page of the node agent is plain JavaScript beside its server; it is tested here with the other page.
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
// @ts-expect-error plain JavaScript without declarations
import { differences } from '../../node-agent/src/page/assets/attention.js';
// @ts-expect-error plain JavaScript without declarations
import { drawLine, kind, lossText, nearest, rateText, readout, rttText, runs, spread, summary } from '../../node-agent/src/page/assets/line.js';
// @ts-expect-error plain JavaScript without declarations
import { en, ja } from '../../node-agent/src/page/assets/strings.js';
// @ts-expect-error plain JavaScript without declarations
import { troubleWords } from '../../node-agent/src/page/assets/troubles.js';

const assets = join(dirname(fileURLToPath(import.meta.url)), '../../node-agent/src/page/assets');

const patient = (id: string, ideographic: string, birth: string) => ({
  patient_name: { alphabetic: 'DOTO^HANAKO', ideographic, phonetic: 'どうとう^はなこ' },
  name_uncertain: false,
  patient_id: id,
  birth_date: birth,
  birth_date_era: birth === '19500102' ? '昭和25年' : '昭和36年',
  sex: 'F',
});
const studyPatient = patient('P-100', '道東^花子', '19500102');
const heldPatient = patient('P-200', '<img src=x>^太郎', '19610304');
const held = {
  held_id: '0123456789abcdef0123456789abcdef', study_patient: studyPatient, patient: heldPatient, calling_ae: 'CT1',
  n_objects: 3, bytes: 3000, first_received_at_ms: 1_700_000_000_000, last_received_at_ms: 1_700_000_001_000,
};
const quarantined = { object_id: '01890000-0000-7000-8000-000000000001', at_ms: 1_700_000_000_000, calling_ae: 'MR1', code: 'unreadable_in_spool', bytes: 512 };
const doubt = { calling_ae: 'CT7', declared: 'ISO_IR 13', elements: ['00081030', '00100010', '00400254'], n_studies: 2, last_received_at_ms: 1_700_000_000_000 };
const card = {
  calling_ae: 'CT8', first_at_ms: 1, last_at_ms: 1_700_000_000_000, n_objects: 40, n_series: 2,
  faults: [{
    code: 'images_missing', n: 1, of: 2, is_of_series: true, last_at_ms: 1_700_000_000_000, detail: '3',
    what: { ja: 'シリーズの途中の画像が届いていません', en: 'images inside a series did not come' }, fix: { ja: '再送', en: 'send the series again' },
  }],
};
const pacs = {
  name: 'pacs', ae_title: 'PACS', address: '192.0.2.7:104', storage_commitment: true, doing: 'pausing', next_try_at_ms: 1_700_000_060_000,
  last_error: { code: 'peer_unreachable', at_ms: 1_700_000_000_000 }, n_waiting: 2, bytes_waiting: 2048, n_delivered: 40, n_committed: 38, n_uncommitted: 2,
  n_not_committed: 0, n_failed: 1, n_gone: 0, n_withheld: 0, reasons: [{ code: 'peer_refuses_sop_class', n: 1 }],
};
const refused = { at_ms: 1_700_000_000_000, calling_ae: 'CT9', called_ae: 'TANCHO', address: '192.0.2.9', code: 'calling_ae_unknown', n_times: 4 };
const study = {
  study_instance_uid: '1.2.3', ...studyPatient, study_date: '20260101', study_time: '1200', description: 'Head', text_uncertain: false, modalities: ['CT'],
  priority: 'routine', closed: true, generation: 1, first_received_at_ms: 1, last_received_at_ms: 2,
  n_received: 8, n_durable: 5, n_coding: 0, n_refused: 0, n_held: 3, n_damaged: 0, bytes_total: 10, bytes_sent: 10, bytes_sent_now: 0, n_shown: 0, last_sent_at_ms: null, bytes_per_second: 0, request: null,
};
const picture = {
  now_ms: 1_700_000_002_000, ae_title: 'TANCHO', ae_title_stat: 'TANCHO_STAT', dimse_address: '127.0.0.1:11112',
  link: {
    state: 'connected', since_ms: 1, transport: 'quic', bytes_sent: 0, bytes_per_second: 0, rtt_ms: null, loss: null, last_sent_at_ms: null,
    relay_defers: null, is_capped: false, routine_waits_until_ms: null,
  },
  troubles: [],
  studies: [study], held: [held], uncertain_texts: [doubt], quarantine: [quarantined], quarantine_is_full: false, refusals: [refused], conformance: [card],
  deliveries: [pacs], promises: { n_open: 0, code: null },
};

const START = 1_700_000_000_000;
interface Point {
  at_ms: number;
  span_ms: number;
  up_ms: number;
  down_ms: number;
  tcp_ms: number;
  capped_ms: number;
  bytes: number;
  bytes_per_second: number | null;
  rtt_ms: number | null;
  loss: number | null;
}
/** Point `n` of ten seconds: connected and idle, unless said otherwise. */
const point = (n: number, patch: Partial<Point> = {}): Point => ({
  at_ms: START + n * 10_000, span_ms: 10_000, up_ms: 10_000, down_ms: 0, tcp_ms: 0, capped_ms: 0, bytes: 0, bytes_per_second: null, rtt_ms: 40, loss: null, ...patch,
});
const busy = (n: number, rate: number, patch: Partial<Point> = {}) => point(n, { bytes: rate * 10, bytes_per_second: rate, loss: 0.01, ...patch });
const down = (n: number) => point(n, { up_ms: 0, down_ms: 10_000, rtt_ms: null });
const view = { now_ms: START + 3_600_000, window_ms: 3_600_000, points: [point(0), busy(1, 125_000), busy(2, 250_000), down(3), point(9, { tcp_ms: 10_000 })] };

let show: (state: object) => void;
let breakOff: () => void;
let reopened = 0;
let alive = true;
const answers: Response[] = [];
const posted: [string, unknown][] = [];

const section = (id: string) => document.getElementById(`${id}-section`) as HTMLElement;
const dialog = () => document.getElementById('confirm') as HTMLDialogElement;
const press = (root: ParentNode, selector: string) => (root.querySelector(selector) as HTMLButtonElement).click();
const submit = async () => {
  dialog().querySelector('form')?.dispatchEvent(new Event('submit', { cancelable: true }));
  await vi.waitFor(() => expect(answers).toHaveLength(0));
};

beforeAll(async () => {
  const html = readFileSync(join(assets, 'index.html'), 'utf8');
  document.body.innerHTML = html.slice(html.indexOf('<body>') + 6, html.indexOf('</body>'));
  vi.stubGlobal('EventSource', class {
    static readonly CLOSED = 2;
    readyState = 1;
    constructor() {
      reopened += 1;
    }
    close() {
      this.readyState = 2;
    }
    addEventListener(name: string, listener: (event: { data: string }) => void) {
      if (name === 'state') show = (state) => listener({ data: JSON.stringify(state) });
      else
        breakOff = () => {
          this.readyState = 2;
          listener({ data: '' });
        };
    }
  });
  vi.stubGlobal('fetch', (path: string | Request, init?: { body: string }) => {
    if (typeof path !== 'string') return alive ? Promise.resolve(new Response('ok')) : Promise.reject(new TypeError('refused'));
    if (!init) return Promise.resolve(new Response(JSON.stringify(view)));
    posted.push([path, JSON.parse(init.body)]);
    return Promise.resolve(answers.shift());
  });
  localStorage.setItem('tancho.language', 'en');
  // @ts-expect-error plain JavaScript without declarations
  await import('../../node-agent/src/page/assets/app.js');
});

beforeEach(() => show(picture));
afterEach(() => {
  posted.length = 0;
  dialog().close();
});

describe('the technologist’s page', () => {
  it('hides what needs nobody', () => {
    show({ ...picture, held: [], uncertain_texts: [], quarantine: [], refusals: [], deliveries: [] });
    for (const id of ['held', 'texts', 'quarantine', 'refusals', 'deliveries']) expect(section(id).hidden, id).toBe(true);
  });

  it('shows both patients of held images, as text, and where they differ', () => {
    expect(section('held').hidden).toBe(false);
    const text = section('held').textContent ?? '';
    for (const part of ['道東 花子', 'P-100', '<img src=x> 太郎', 'P-200', 'Differs: patient ID, birth date, name', '3 images', 'CT1']) expect(text).toContain(part);
    expect(section('held').querySelector('img')).toBeNull();
    expect(document.getElementById('studies')?.textContent).toContain('3 images are held back: another patient under the same Study Instance UID');
  });

  it('releases held images only after both patients were shown and the tick was set', async () => {
    press(section('held'), '[data-act=release]');
    expect(dialog().open).toBe(true);
    for (const id of ['P-100', 'P-200']) expect(dialog().textContent).toContain(id);
    const go = dialog().querySelector('[type=submit]') as HTMLButtonElement;
    expect(go.disabled).toBe(true);
    expect(posted).toEqual([]);
    press(dialog(), '#confirm-tick');
    expect(go.disabled).toBe(false);
    answers.push(new Response(JSON.stringify({ detail: 'these images are no longer held back' }), { status: 404 }));
    await submit();
    await vi.waitFor(() => expect(dialog().textContent).toContain('no longer held back'));
    expect(dialog().open).toBe(true);
    answers.push(new Response(null, { status: 204 }));
    await submit();
    await vi.waitFor(() => expect(dialog().open).toBe(false));
    expect(posted).toEqual([['/api/held/release', { held_id: held.held_id }], ['/api/held/release', { held_id: held.held_id }]]);
    expect(document.getElementById('announce')?.textContent).toBe('3 held images released');
  });

  it('takes held images out of the study only after both patients were shown and the tick was set', async () => {
    press(section('held'), '[data-act=take-out]');
    for (const id of ['P-100', 'P-200']) expect(dialog().textContent).toContain(id);
    expect((dialog().querySelector('[type=submit]') as HTMLButtonElement).disabled).toBe(true);
    press(dialog(), '#confirm-tick');
    expect(posted).toEqual([]);
    answers.push(new Response(null, { status: 204 }));
    await submit();
    await vi.waitFor(() => expect(dialog().open).toBe(false));
    expect(posted).toEqual([['/api/held/dismiss', { held_id: held.held_id }]]);
    expect(document.getElementById('announce')?.textContent).toBe('3 images taken out of the study');
  });

  it('says that older quarantined images follow when the list is full', () => {
    expect(section('quarantine').textContent).not.toContain('older ones follow');
    show({ ...picture, quarantine_is_full: true });
    expect(section('quarantine').textContent).toContain('older ones follow');
    show(picture);
  });

  it('takes a quarantined image off the list after a question', async () => {
    expect(section('quarantine').textContent).toContain('disk cannot read it');
    press(section('quarantine'), '[data-act=dismiss]');
    expect(dialog().textContent).toContain('MR1');
    expect(posted).toEqual([]);
    answers.push(new Response(null, { status: 204 }));
    await submit();
    await vi.waitFor(() => expect(dialog().open).toBe(false));
    expect(posted).toEqual([['/api/quarantine/dismiss', { object_id: quarantined.object_id }]]);
  });

  it('reads a quarantined image again after a question, and says in words why it still cannot go', async () => {
    press(section('quarantine'), '[data-act=again]');
    expect(dialog().textContent).toContain('could be taken for another image');
    answers.push(new Response(JSON.stringify({ code: 'uid_malformed', detail: 'x' }), { status: 409 }));
    await submit();
    await vi.waitFor(() => expect(dialog().textContent).toContain(en.reasons.uid_malformed));
    expect(dialog().textContent).toContain('corrected at the scanner');
    answers.push(new Response(JSON.stringify({ outcome: 'held' }), { status: 200 }));
    await submit();
    await vi.waitFor(() => expect(dialog().open).toBe(false));
    expect(document.getElementById('announce')?.textContent).toBe(en.again.outcomes.held);
    const once = ['/api/quarantine/release', { object_id: quarantined.object_id }];
    expect(posted).toEqual([once, once]);
  });

  it('saves a quarantined image as a file after a question', async () => {
    const saved: string[] = [];
    vi.spyOn(HTMLAnchorElement.prototype, 'click').mockImplementation(function (this: HTMLAnchorElement) {
      saved.push(this.download);
    });
    press(section('quarantine'), '[data-act=save]');
    expect(dialog().textContent).toContain('may name a patient');
    answers.push(new Response(JSON.stringify({ code: 'quarantine_not_kept' }), { status: 404 }));
    await submit();
    await vi.waitFor(() => expect(dialog().textContent).toContain(en.problems.quarantine_not_kept));
    answers.push(new Response('bytes', { status: 200, headers: { 'content-disposition': 'attachment; filename="quarantine-1.dcm"' } }));
    await submit();
    await vi.waitFor(() => expect(dialog().open).toBe(false));
    expect(saved).toEqual(['quarantine-1.dcm']);
  });

  it('shows a card for each scanner, with what to ask of its vendor', () => {
    const row = section('conformance').querySelector('tbody tr')?.textContent ?? '';
    for (const part of ['images inside a series', '1 of 2 series', '3', 'send the series again']) expect(row).toContain(part);
    expect(section('conformance').textContent).toContain('CT8');
    press(document.body, '[data-lang=ja]');
    expect(section('conformance').textContent).toContain('2 シリーズ中 1');
    press(document.body, '[data-lang=en]');
    show({ ...picture, conformance: [{ ...card, faults: [] }] });
    expect(section('conformance').textContent).toContain(en.cards.good);
  });

  it('shows who was refused and what to do', () => {
    const row = section('refusals').querySelector('tbody tr')?.textContent ?? '';
    for (const part of ['CT9', 'TANCHO', '192.0.2.9', 'dimse.allow', '4']) expect(row).toContain(part);
  });

  it('says of each destination what waits, why, and what can be done', async () => {
    show(picture);
    const row = section('deliveries').querySelector('tbody tr')?.textContent ?? '';
    for (const part of ['pacs', 'PACS 192.0.2.7:104', '2 images (2.0 kB)', '40 delivered', '38 committed', '1 given up', 'Next try at', 'Nobody answers', 'does not take this kind of image']) expect(row).toContain(part);
    answers.push(new Response(null, { status: 204 }));
    press(section('deliveries'), '[data-act=retry]');
    await vi.waitFor(() => expect(answers).toHaveLength(0));
    expect(posted.at(-1)).toEqual(['/api/deliveries/retry', { destination: 'pacs' }]);
    show({ ...picture, deliveries: [{ ...pacs, doing: 'idle', n_waiting: 0, n_failed: 0, reasons: [], last_error: null, next_try_at_ms: null }], promises: { n_open: 3, code: 'peer_unreachable' } });
    expect(section('deliveries').querySelector('button')).toBeNull();
    expect(section('deliveries').textContent).toContain('3 requests of scanners for storage commitment');
    show(picture);
  });

  it('names scanners whose text does not fit what they declare', () => {
    const row = section('texts').querySelector('tbody tr')?.textContent ?? '';
    for (const part of ['CT7', 'ISO_IR 13', 'study description, patient name, (0040,0254)', '2 studies']) expect(row).toContain(part);
    show({ ...picture, uncertain_texts: [{ ...doubt, declared: '', elements: [] }] });
    expect(section('texts').textContent).toContain('none declared');
  });

  it('marks a name and a text that could not be read for sure', () => {
    const drawn = (patch: object) => {
      show({ ...picture, held: [], studies: [{ ...study, ...patch }] });
      return document.getElementById('studies')?.textContent ?? '';
    };
    expect(drawn({})).not.toContain('Character set unknown');
    expect(drawn({ text_uncertain: true })).toContain('Character set unknown: check the text');
    expect(drawn({ text_uncertain: true, name_uncertain: true })).toContain('Character set unknown: check the patient ID, not the name');
  });

  it('shows half-width katakana in full width and the era beside a birth date', () => {
    const names = { alphabetic: 'ﾔﾏﾀﾞ^ﾀﾛｳ', ideographic: '', phonetic: '' };
    show({ ...picture, held: [], studies: [{ ...study, patient_name: names, description: 'ﾄｳﾌﾞ' }] });
    const list = document.getElementById('studies') as HTMLElement;
    for (const part of ['ヤマダ タロウ', 'トウブ', '1950-01-02']) expect(list.textContent).toContain(part);
    expect(list.textContent).not.toContain('昭和');
    press(document.body, '[data-lang=ja]');
    expect(list.textContent).toContain('1950-01-02(昭和25年)');
    press(document.body, '[data-lang=en]');
  });

  it('says what was asked for and what the relay still lacks', () => {
    const form = { urgency: 'critical', clinical_context: { clinical_question: '出血？', request_template: 'ich' }, callback_number: '0153-24-3201', callback_person: null, responsible_physician: null };
    const request = { pending: false, refused: null, case_code: '4723', state: 'requested', reader_name: null, clinical_context_complete: false, form };
    show({ ...picture, callback_number: '0153-24-3201', studies: [{ ...study, study_instance_uid: '1.2.4', request }] });
    const text = document.getElementById('studies')?.textContent ?? '';
    for (const part of ['Requested: Critical', 'Sent as routine', 'Clinical context incomplete: Age (years), Sex, Ask for, Responsible physician and']) expect(text).toContain(part);
    expect(text).not.toContain('Clinical context missing');
    press(document.getElementById('studies') as HTMLElement, '[data-act=request]');
    const asked = document.getElementById('request') as HTMLDialogElement;
    expect((asked.querySelector('[name=requested_urgency]:checked') as HTMLInputElement).value).toBe('critical');
    expect((asked.querySelector('#f-callback_number') as HTMLInputElement).value).toBe('0153-24-3201');
    expect((asked.querySelector('#f-clinical_question') as HTMLTextAreaElement).value).toBe('出血？');
    asked.close();
  });

  it('names the form by what it is for: to ask, to add what lacks, to change what is there', () => {
    const word = (request: object | null) => {
      show({ ...picture, studies: [{ ...study, request }] });
      return document.querySelector('#studies [data-act=request]')?.textContent;
    };
    const known = { pending: false, refused: null, case_code: '4723', state: 'requested', reader_name: null, clinical_context_complete: true, form: null };
    expect(word(null)).toBe(en.request);
    expect(word({ ...known, clinical_context_complete: false })).toBe(en.completeRequest);
    expect(word(known)).toBe(en.changeRequest);
    expect(word({ ...known, returned: { reason: '', by: '', at_ms: START } })).toBe(en.completeRequest);
  });

  const openForm = (patch: object) => {
    show({ ...picture, studies: [{ ...study, ...patch }] });
    press(document.getElementById('studies') as HTMLElement, '[data-act=request]');
    return document.getElementById('request') as HTMLDialogElement;
  };
  const answer = (form: HTMLElement, id: string, value: string) => {
    const control = form.querySelector(`#f-${id}`) as HTMLInputElement;
    control.value = value;
    control.dispatchEvent(new Event(control.tagName === 'SELECT' ? 'change' : 'input'));
  };

  it('tells what a reader asks for, on the card and above the form, and what to do', () => {
    const returned = { reason: 'Last known well, please', by: '齋藤 守', at_ms: START };
    const request = { pending: false, refused: null, case_code: '4723', state: 'returned', reader_name: null, clinical_context_complete: true, form: null, returned };
    const form = openForm({ study_instance_uid: '1.2.6', request });
    const card = document.getElementById('studies')?.textContent ?? '';
    for (const part of [returned.reason, returned.by, en.returned.title, en.returned.next(en.completeRequest)]) expect(card).toContain(part);
    expect(form.querySelector('.form-body')?.textContent).toContain(returned.reason);
    form.close();
    show({ ...picture, studies: [{ ...study, request: { ...request, state: 'readable', returned: null } }] });
    expect(document.getElementById('studies')?.textContent).not.toContain(en.returned.title);
  });

  it('asks at once for what another answer makes necessary, and no longer when that is taken back', () => {
    const form = openForm({ study_instance_uid: '1.2.7' });
    for (const [id, value, follows] of [['trauma_mechanism', 'fall_from_height', 'fall_height_m'], ['advance_directive', 'present', 'advance_directive_text']] as const) {
      expect(form.querySelector(`#f-${follows}`), follows).toBeNull();
      answer(form, id, value);
      expect(form.querySelector(`#f-${follows}`), follows).not.toBeNull();
      answer(form, id, '');
      expect(form.querySelector(`#f-${follows}`), follows).toBeNull();
    }
    form.close();
  });

  it('takes a call-back number in any width and refuses one that cannot be dialled, in the language of the page', async () => {
    press(document.body, '[data-lang=ja]');
    const form = openForm({ study_instance_uid: '1.2.8' });
    const sendIt = () => form.querySelector('form')?.dispatchEvent(new Event('submit', { cancelable: true }));
    (form.querySelector('#f-requested_urgency-urgent') as HTMLInputElement).click();
    answer(form, 'callback_number', '代表へ');
    sendIt();
    expect(form.textContent).toContain(ja.problems.callback_number_invalid);
    expect(posted).toEqual([]);
    answer(form, 'callback_number', '０１５３−００−１１１１');
    answers.push(new Response(JSON.stringify({ code: 'callback_number_invalid', detail: 'give a call-back number' }), { status: 422 }));
    sendIt();
    await vi.waitFor(() => expect(form.querySelector('[role=alert]')?.textContent).toContain(ja.problems.callback_number_invalid));
    expect(posted[0]?.[1]).toMatchObject({ callback_number: expect.stringContaining('0153') });
    answers.push(new Response(JSON.stringify({ code: 'of_a_newer_node', detail: 'english' }), { status: 422 }));
    sendIt();
    await vi.waitFor(() => expect(form.querySelector('[role=alert]')?.textContent).toContain(ja.problems.unknown('of_a_newer_node')));
    press(document.body, '[data-lang=en]');
  });

  it('has words for every refusal of the agent', () => {
    const sources = ['api.rs', 'problem.rs'].map((name) => readFileSync(join(assets, '..', name), 'utf8')).join('\n');
    const codes = [...sources.matchAll(/(?:invalid|gone)\(\s*"([a-z_]+)"|StatusCode::[A-Z_]+,\s*"([a-z_]+)"|rejection\.status\(\),\s*"([a-z_]+)"/g)].map((found) => found.slice(1).find(Boolean) ?? '');
    expect(codes.length).toBeGreaterThan(7);
    for (const code of codes) for (const words of [ja, en]) expect(words.problems[code], code).toBeTruthy();
  });

  it('starts a form with the number of the site', () => {
    show({ ...picture, callback_number: '0153-24-3201', studies: [{ ...study, study_instance_uid: '1.2.5' }] });
    press(document.getElementById('studies') as HTMLElement, '[data-act=request]');
    const asked = document.getElementById('request') as HTMLDialogElement;
    expect((asked.querySelector('#f-callback_number') as HTMLInputElement).value).toBe('0153-24-3201');
    asked.close();
  });

  it('offers stat on every study, or says why not', () => {
    const offer = (patch: object) => {
      show({ ...picture, studies: [{ ...study, ...patch }] });
      const button = document.querySelector('#studies [data-act=stat]') as HTMLButtonElement;
      return [button.disabled, (button.nextElementSibling as HTMLElement | null)?.tagName === 'P' ? button.nextElementSibling?.textContent : null];
    };
    expect(offer({ n_held: 0 })).toEqual([false, null]);
    expect(offer({ priority: 'stat', n_held: 0 })).toEqual([true, 'It is stat already.']);
    expect(offer({})).toEqual([true, 'No image is waiting to be sent, so there is nothing to hurry.']);
    // More may come, and would come as stat.
    expect(offer({ closed: false })[0]).toBe(false);
  });

  it('compares only what both patients have', () => {
    expect(differences(studyPatient, { ...studyPatient, patient_id: '', birth_date: '' })).toEqual([]);
    expect(differences(studyPatient, null)).toEqual([]);
    const otherScript = { ...studyPatient, patient_name: { ...studyPatient.patient_name, ideographic: '' } };
    expect(differences(studyPatient, otherScript)).toEqual([]);
  });

  it('has every reason in both languages', () => {
    for (const pick of [(words: typeof ja) => words.reasons, (words: typeof ja) => words.refusals.reasons, (words: typeof ja) => words.held.fields, (words: typeof ja) => words.texts.elements]) {
      expect(Object.keys(pick(en))).toEqual(Object.keys(pick(ja)));
    }
  });

  it('says the same words in both languages for everything that can be wrong', () => {
    const keys = (words: object): string[] =>
      Object.entries(words).flatMap(([key, value]) => (typeof value === 'object' && value ? keys(value).map((below) => `${key}.${below}`) : [key]));
    for (const part of ['link', 'troubles', 'line', 'why', 'problems', 'returned', 'form'] as const) expect(keys(en[part]), part).toEqual(keys(ja[part]));
  });
});

describe('what is wrong', () => {
  const tools = (text: typeof ja) => ({
    text, now_ms: START, clock: (ms: number) => `T${(ms - START) / 1000}`, day: (ms: number) => `D${(ms - START) / 1000}`, size: (n: number) => `${n} B`,
    age: (ms: number) => `age ${(START - ms) / 1000}`, duration: (ms: number) => `${ms / 1000} s`, span: (seconds: number) => `${seconds} s`, rate: rateText, loss: lossText,
  });
  const say = (trouble: object, text: typeof ja = en) => troubleWords(trouble, tools(text)).join(' | ');
  const waits = { code: 'waiting', level: 'info', n_objects: 33, bytes: 900, oldest_at_ms: START - 60_000, until_ms: null, cap_bytes_per_s: null, left_ms: 90_000 };

  it('is told with what to do, and since when', () => {
    const unreachable = { code: 'relay_unreachable', level: 'alarm', since_ms: START - 5_000, reason: 'unreachable', next_attempt_at_ms: START + 1_000 };
    expect(say(unreachable)).toBe(
      'No connection to the relay since T-5 | The relay does not answer. Check the line, the router and the network cable. Images are kept safely here and sent by themselves when the line is back. If it is urgent, phone the reading centre. It is tried again every second.',
    );
    expect(say({ ...unreachable, next_attempt_at_ms: START + 20_000 })).toContain('The next attempt is at T20.');
    expect(say({ ...unreachable, reason: 'brand_new', next_attempt_at_ms: null })).toContain('(brand_new)');
    expect(say({ code: 'udp_blocked', level: 'warning', since_ms: START, relay_address: 'relay.example:4433' })).toContain('let UDP from this computer to relay.example:4433 through');
    expect(say({ code: 'clock_off', level: 'warning', offset_ms: -120_000 })).toContain('120 s fast');
    expect(say({ code: 'clock_off', level: 'warning', offset_ms: 120_000 })).toContain('120 s slow');
    expect(say({ code: 'heavy_loss', level: 'warning', loss: 0.073 })).toContain('7.3 %');
    expect(say({ code: 'disk_low', level: 'warning', free_bytes: 30, reserve_bytes: 20 })).toContain('At 20 B new images are refused');
    expect(say({ code: 'certificate_ends', level: 'alarm', ends_at_ms: START + 9_000 })).toContain('ends on D9');
    expect(say({ code: 'relay_defers', level: 'warning', reason: 'disk_full' })).toContain('its disk is full');
    expect(say({ code: 'not_known_yet', level: 'warning' })).toContain('not_known_yet');
  });

  it('names what images wait for, and for how long', () => {
    expect(say({ ...waits, reason: 'line' })).toBe(
      '33 images (900 B) waiting to be sent, the oldest came age 60 | They are sent in turn, the urgent ones first. About 90 s left at the present rate.',
    );
    expect(say({ ...waits, reason: 'hours', until_ms: START + 7_000 })).toContain('Routine studies go from T7 on');
    expect(say({ ...waits, reason: 'hours', until_ms: START + 7_000 })).not.toContain('left at');
    expect(say({ ...waits, reason: 'cap', cap_bytes_per_s: 250_000 })).toContain('The site allows 2.0 Mbit/s');
    for (const reason of ['offline', 'relay']) expect(say({ ...waits, reason, left_ms: null })).toContain('aiting');
    expect(say({ ...waits, reason: 'offline' }, ja)).toContain('33 画像(900 B)が送信待ちです。最も古いものは age 60に受信');
  });

  it('stands above the studies and is read out once', () => {
    const trouble = { code: 'heavy_loss', level: 'warning', loss: 0.07 };
    show({ ...picture, troubles: [trouble] });
    expect(document.getElementById('notices')?.textContent).toContain('The line loses data (7.0 % in the last 5 minutes)');
    const alarm = document.getElementById('alarm') as HTMLElement;
    expect(alarm.textContent).toContain('The line loses data');
    alarm.textContent = '';
    show({ ...picture, troubles: [{ ...trouble, loss: 0.08 }] });
    expect(document.getElementById('notices')?.textContent).toContain('8.0 %');
    expect(alarm.textContent).toBe('');
    show(picture);
    expect(document.getElementById('notices')?.textContent).toBe('');
  });

  it('says of each study what it waits for, and what of it can be seen', () => {
    const text = (patch: object, link: object = {}) => {
      show({ ...picture, held: [], link: { ...picture.link, ...link }, studies: [{ ...study, n_held: 0, n_received: 245, n_durable: 212, bytes_total: 100_000, bytes_sent: 90_000, ...patch }] });
      return document.getElementById('studies')?.textContent ?? '';
    };
    expect(text({})).toContain('212 of 245 images verified at the relay');
    expect(text({ bytes_per_second: 1_000 })).toContain('8 kbit/s, about 10 s left');
    expect(text({ n_shown: 245 })).toContain('A reader can look at 245 of 245 (33 as preview)');
    expect(text({ last_sent_at_ms: picture.now_ms - 20_000 })).toMatch(/Last data 2[01] s ago/);
    expect(text({}, { routine_waits_until_ms: START })).toContain('Waiting for the hours of routine studies');
    expect(text({ priority: 'stat' }, { routine_waits_until_ms: START })).not.toContain('hours of routine');
    expect(text({ bytes_sent_now: 5 }, { is_capped: true })).toContain('within the site\'s cap');
    expect(text({}, { relay_defers: 'disk_full' })).toContain('until the relay can take it');
  });
});

describe('a node that is gone', () => {
  const box = () => document.getElementById('link')?.textContent ?? '';

  it('is never shown as connected, and opened again by itself', async () => {
    expect(box()).toContain('Connected to the relay');
    breakOff();
    expect(box()).toContain('Lost this node, reconnecting');
    expect(document.getElementById('line-now')?.textContent).toContain(en.line.down);
    const before = reopened;
    await vi.waitFor(() => expect(reopened).toBe(before + 1), { timeout: 5_000 });
    show(picture);
    expect(box()).toContain('Connected to the relay');
  });

  it('is missed soon when it goes without a word', async () => {
    show(picture);
    alive = false;
    await vi.waitFor(() => expect(box()).toContain('Lost this node'), { timeout: 6_000 });
    alive = true;
    show(picture);
  }, 8_000);
});

describe('the graph of the line', () => {
  const tools = {
    text: en, span: '1h', span_words: '1 hour', clock: (ms: number) => `T${(ms - START) / 1000}`, hour: () => '12:00', size: (n: number) => `${n} B`, duration: (ms: number) => `${ms / 1000} s`,
    chosen_ms: null, chosen: () => undefined,
  };

  it('has idle time without a rate, and gaps where nothing is known', () => {
    expect(view.points.map(kind)).toEqual(['idle', 'busy', 'busy', 'down', 'idle']);
    const of = (has: (one: Point) => boolean) => runs(view.points, has).map((run: Point[]) => run.map((one) => (one.at_ms - START) / 10_000));
    expect(of((one) => one.bytes_per_second !== null)).toEqual([[1, 2]]);
    expect(of((one) => one.up_ms > 0)).toEqual([[0, 1, 2], [9]]);
  });

  it('has the same figures in its table', () => {
    expect(spread([3, null, 1, 2, 10])).toEqual({ min: 1, median: 2.5, max: 10 });
    expect(spread([null])).toBeNull();
    const found = summary(view.points);
    expect(found.rate).toEqual({ min: 125_000, median: 187_500, max: 250_000 });
    expect([found.down_ms, found.tcp_ms, found.bytes]).toEqual([10_000, 10_000, 3_750_000]);
    expect([rateText(187_500), rttText(3.14), rttText(612.4), lossText(0), lossText(0.0123), lossText(0.5)]).toEqual(['1.5 Mbit/s', '3.1 ms', '612 ms', '0 %', '1.2 %', '50 %']);
  });

  it('is read by pointer, by keyboard and by ear', () => {
    const root = document.createElement('div');
    drawLine(root, view, tools);
    expect(root.querySelector('svg')?.getAttribute('aria-label')).toBe('Graph of the line over the last 1 hour. Medians: rate 1.5 Mbit/s, round trip 40 ms, loss 1.0 %. The table below has the figures.');
    expect(root.querySelectorAll('.curve.rate')).toHaveLength(1);
    expect(root.querySelectorAll('rect.down')).toHaveLength(1);
    expect(root.querySelectorAll('rect.tcp')).toHaveLength(1);
    expect([...root.querySelectorAll('.key')].map((key) => key.textContent)).toEqual(['idle: nothing to send', 'no connection', 'over TCP']);
    expect([...root.querySelectorAll('tbody tr:first-child > *')].map((cell) => cell.textContent)).toEqual(['Rate while sending', '1.0 Mbit/s', '1.5 Mbit/s', '2.0 Mbit/s']);
    const slider = root.querySelector('input') as HTMLInputElement;
    slider.value = '3';
    slider.dispatchEvent(new Event('input'));
    expect(slider.getAttribute('aria-valuetext')).toBe('T30, no connection');
    expect(root.querySelector('output')?.textContent).toBe('T30, no connection');
    expect(readout(view.points[4], tools)).toBe('T90, idle (0 B sent), round trip 40 ms, TCP');
    expect(readout(busy(1, 125_000, { capped_ms: 1, down_ms: 1_500 }), tools)).toBe('T10, rate 1.0 Mbit/s, no connection for 2 s of it, round trip 40 ms, loss 1.0 %, held by the site\'s cap');
    expect([nearest(view.points, START - 5), nearest(view.points, START + 15_000), nearest(view.points, START + 60_000 * 60)]).toEqual([0, 1, 4]);
  });

  it('says so when nothing is recorded', () => {
    const root = document.createElement('div');
    drawLine(root, { ...view, points: [] }, tools);
    expect(root.textContent).toBe(en.line.nothing);
  });

  it('stands on the page, in the chosen span', async () => {
    await vi.waitFor(() => expect(document.querySelector('#line-graph svg')).not.toBeNull());
    expect(document.getElementById('line-now')?.textContent).toContain('QUIC, idle');
    const [, six] = document.querySelectorAll<HTMLButtonElement>('[data-span]');
    six?.click();
    expect(six?.getAttribute('aria-pressed')).toBe('true');
    await vi.waitFor(() => expect(document.querySelector('#line-graph svg')?.getAttribute('aria-label')).toContain('6 hours'));
  });
});
