// @vitest-environment happy-dom
// The technologist's page of the node agent is plain JavaScript beside its server; it is tested here with the other page.
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
// @ts-expect-error plain JavaScript without declarations
import { differences } from '../../node-agent/src/page/assets/attention.js';
// @ts-expect-error plain JavaScript without declarations
import { en, ja } from '../../node-agent/src/page/assets/strings.js';

const assets = join(dirname(fileURLToPath(import.meta.url)), '../../node-agent/src/page/assets');

const patient = (id: string, ideographic: string, birth: string) => ({
  patient_name: { alphabetic: 'DOTO^HANAKO', ideographic, phonetic: 'どうとう^はなこ' },
  name_uncertain: false,
  patient_id: id,
  birth_date: birth,
  sex: 'F',
});
const studyPatient = patient('P-100', '道東^花子', '19500102');
const heldPatient = patient('P-200', '<img src=x>^太郎', '19610304');
const held = {
  held_id: '0123456789abcdef0123456789abcdef', study_patient: studyPatient, patient: heldPatient, calling_ae: 'CT1',
  n_objects: 3, bytes: 3000, first_received_at_ms: 1_700_000_000_000, last_received_at_ms: 1_700_000_001_000,
};
const quarantined = { object_id: '01890000-0000-7000-8000-000000000001', at_ms: 1_700_000_000_000, calling_ae: 'MR1', code: 'unreadable_in_spool', bytes: 512 };
const refused = { at_ms: 1_700_000_000_000, calling_ae: 'CT9', called_ae: 'TANCHO', address: '192.0.2.9', code: 'calling_ae_unknown', n_times: 4 };
const study = {
  study_instance_uid: '1.2.3', ...studyPatient, study_date: '20260101', study_time: '1200', description: 'Head', modalities: ['CT'],
  priority: 'routine', closed: true, generation: 1, first_received_at_ms: 1, last_received_at_ms: 2,
  n_received: 8, n_durable: 5, n_coding: 0, n_refused: 0, n_held: 3, n_damaged: 0, bytes_total: 10, bytes_sent: 10, bytes_sent_now: 0, request: null,
};
const picture = {
  now_ms: 1_700_000_002_000, ae_title: 'TANCHO', ae_title_stat: 'TANCHO_STAT', dimse_address: '127.0.0.1:11112',
  link: { state: 'connected', since_ms: 1, transport: 'quic', bytes_sent: 0, bytes_per_second: 0 },
  disk: { free_bytes: 1e12, low: false, full: false },
  studies: [study], held: [held], quarantine: [quarantined], refusals: [refused],
};

let show: (state: object) => void;
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
    addEventListener(name: string, listener: (event: { data: string }) => void) {
      if (name === 'state') show = (state) => listener({ data: JSON.stringify(state) });
    }
  });
  vi.stubGlobal('fetch', (path: string, init: { body: string }) => {
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
    show({ ...picture, held: [], quarantine: [], refusals: [] });
    for (const id of ['held', 'quarantine', 'refusals']) expect(section(id).hidden, id).toBe(true);
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

  it('shows who was refused and what to do', () => {
    const row = section('refusals').querySelector('tbody tr')?.textContent ?? '';
    for (const part of ['CT9', 'TANCHO', '192.0.2.9', 'dimse.allow', '4']) expect(row).toContain(part);
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
    for (const pick of [(words: typeof ja) => words.reasons, (words: typeof ja) => words.refusals.reasons, (words: typeof ja) => words.held.fields]) {
      expect(Object.keys(pick(en))).toEqual(Object.keys(pick(ja)));
    }
  });
});
