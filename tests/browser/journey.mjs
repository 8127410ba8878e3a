// A reader's night, as the people see it: the technologist completes the request, the reader reads while images still
// arrive, phones, writes, signs; the referring physician reads and acknowledges; the reader sees that it was.
//
// Started by main.rs, which plays the scanner. Says each step on a line of its own and takes a picture of it.

import { mkdir, rm } from 'node:fs/promises';
import { choose, fill, launch, logIn, person } from './browser.mjs';

const { TANCHO_RELAY: relay, TANCHO_AGENT: agent, TANCHO_PASSWORD: password, TANCHO_IMAGES: total } = process.env;
const pictures = new URL('./screenshots/', import.meta.url).pathname;
let count = 0;

async function step(page, name) {
  count += 1;
  await page.screenshot({ path: `${pictures}${String(count).padStart(2, '0')}-${name.replaceAll(' ', '-')}.png` });
  console.log(JSON.stringify({ step: name }));
}

function expect(condition, what) {
  if (!condition) throw new Error(`expected: ${what}`);
}

async function technologist(browser) {
  const { page, errors } = await person(browser, { width: 1280, height: 900 });
  await page.goto(agent);
  const study = page.locator('article.study');
  await study.getByText('道東 花子').waitFor();
  await step(page, 'technologist sees the study');
  await study.locator('[data-act=request]').click();
  const form = page.locator('dialog#request');
  const set = (name, value) => form.locator(`[name="${name}"]`).fill(value);
  const pick = (name, value) => form.locator(`select[name="${name}"]`).selectOption(value);
  const tick = (name, value) => form.locator(`input[name="${name}"][value="${value}"]`).check();
  await tick('requested_urgency', 'stroke_code');
  await pick('request_template', 'ich');
  await set('clinical_question', '右片麻痺と意識障害。出血の有無、手術適応について。');
  await set('callback_number', '0153-00-1111');
  await set('callback_person', '北 健二');
  await set('responsible_physician', '北 健二');
  await tick('onset_kind', 'witnessed');
  await set('onset_dt', '2026-01-23T01:10');
  await set('door_dt', '2026-01-23T01:52');
  await pick('jcs', 'II-20');
  await pick('gcs_e', '2');
  await pick('gcs_v', '2');
  await pick('gcs_m', '5');
  for (const side of ['right', 'left']) {
    await set(`pupil_${side}_size_mm`, '3');
    await pick(`pupil_${side}_light_reflex`, 'brisk');
  }
  await tick('deficits', 'hemiparesis_right');
  await tick('deficits', 'aphasia');
  await set('sbp', '196');
  await set('dbp', '104');
  await tick('antithrombotics', 'none');
  await form.locator('#lab-inr').fill('1.0');
  await tick('local_capability', 'observation_24h');
  await step(page, 'technologist fills in the request');
  await form.locator('button[type=submit]').click();
  await form.waitFor({ state: 'hidden' });
  await study.locator('.code').waitFor();
  await step(page, 'technologist has the case code');
  expect(errors.length === 0, `no errors on the agent's page: ${errors}`);
  return page;
}

/** Reading what is on the picture: "3 / 20", the window, the number of verified images. */
const overlay = (page) => page.locator('.overlay-text');

async function reading(page) {
  const row = page.getByRole('row').filter({ hasText: '道東' });
  await row.waitFor();
  expect((await row.getByText('臨床情報未入力').count()) === 0, 'everything that the technologist typed has arrived');
  await step(page, 'reader sees the worklist');
  await row.getByRole('button', { name: '担当して開く' }).click();
  await overlay(page).getByText(/^W 80 +L 40$/).waitFor();
  const identity = page.getByRole('region', { name: '患者情報' });
  for (const text of ['道東', '花子', 'TN-000417', '1948']) await identity.getByText(text).first().waitFor();
  console.log(JSON.stringify({ wants: 'rest' }));
  await overlay(page).getByText(/枚 検証済.*受信中/).waitFor();
  await step(page, 'reader reads while images arrive');
  await overlay(page).getByText(`${total} / ${total} 枚 検証済`).waitFor({ timeout: 60_000 });
  await overlay(page).getByText(/全画像/).waitFor({ timeout: 60_000 });

  const picture = page.getByRole('region', { name: '画像ビューア' }).locator('canvas:visible').first();
  const box = await picture.boundingBox();
  const middle = { x: box.x + box.width / 2, y: box.y + box.height / 2 };
  await page.mouse.move(middle.x, middle.y);
  await page.keyboard.press('Home');
  await overlay(page).getByText(`1 / ${total}`, { exact: true }).waitFor();
  for (let n = 0; n < 3; n += 1) await page.mouse.wheel(0, 120);
  await overlay(page).getByText(new RegExp(`^[2-9] / ${total}$`)).waitFor();
  await page.keyboard.press('Home');
  for (let n = 1; n < 19; n += 1) await page.keyboard.press('ArrowDown');
  await overlay(page).getByText(`19 / ${total}`, { exact: true }).waitFor();
  for (const preset of ['骨', '硬膜下', '脳卒中', '脳']) {
    await page.getByRole('button', { name: new RegExp(`^${preset} `) }).click();
    await step(page, `window ${preset}`);
  }
  await page.keyboard.press('l');
  await page.mouse.move(middle.x + 30, middle.y - 40);
  await page.mouse.down();
  await page.mouse.move(middle.x + 100, middle.y - 40, { steps: 5 });
  await page.mouse.up();
  await overlay(page).getByText('計測・矢印 1').waitFor();
  await page.keyboard.press('k');
  await page.getByText('キー画像に追加しました').waitFor();
  await step(page, 'reader measures and picks a key image');
}

async function call(page) {
  await page.keyboard.press('p');
  const panel = page.getByRole('region', { name: '電話連絡記録' });
  await panel.getByRole('button', { name: /^発信/ }).first().click();
  await panel.getByRole('button', { name: '通話成立' }).click();
  await panel.getByLabel(/^相手の氏名/).fill('北 健二');
  await panel.getByLabel(/^相手の役割/).last().selectOption('attending');
  await panel.getByLabel('相互に名乗り、登録番号で確認した').check();
  for (const name of ['氏名', '生年月日']) await choose(panel, '患者の確認(2項目以上)', name);
  await panel.getByLabel(/^評価時刻/).fill('2026-01-23T02:05');
  const templates = await (await page.request.get(`${relay}/api/v1/templates`)).json();
  const context = templates.items.find(({ id }) => id === 'ctx');
  const background = panel.getByRole('region', { name: 'B 背景 — 聞いた状態' });
  await fill(background, context.fields, { jcs: 'II-20', sbp: 190, dbp: 100 });
  await panel.getByRole('button', { name: '今の画像を追加' }).click();
  await panel.getByLabel(/^伝えた所見/).fill('左被殻出血 約30 mL、正中偏位 6 mm');
  await panel.getByLabel(/^合意した方針/).fill('降圧 SBP 140以下(主治医、ただちに)、救急車で転院');
  await panel.getByLabel(/^相手の復唱内容/).fill('左被殻 30、正中偏位 6、降圧、転院');
  await choose(panel, '復唱は一致したか', 'はい');
  await step(page, 'reader writes down the call');
  await panel.getByRole('button', { name: '通話を終えて記録を確定' }).click();
  await page.getByText('確定済み。変更できません。').first().waitFor();
  await step(page, 'the call record is closed');
}

async function findings(page) {
  await page.getByRole('tab', { name: /^所見/ }).click();
  const panel = page.getByRole('tabpanel');
  const templates = await (await page.request.get(`${relay}/api/v1/templates`)).json();
  const template = (id) => templates.items.find((one) => one.id === id);
  const ich = template('ich');
  await panel.getByRole('button', { name: `+ ${ich.title.ja}` }).click();
  const block = panel.getByRole('region', { name: ich.title.ja });
  await fill(block, ich.fields, {
    location: ['putamen'], side: 'left', a_mm: 50, b_mm: 32, c_mm: 38, ivh: 'absent', surrounding_oedema: 'mild',
    sah_component: 'absent', sdh_component: 'absent', secondary_cause: ['none'],
    mass: { mls_mm: 6, mls_to: 'right', cisterns: 'compressed', herniation: ['subfalcine'], hydrocephalus: 'absent' },
  });
  await block.getByText('30.4').first().waitFor();
  await step(page, 'scores are computed');
  const report = template('rpt');
  const choices = (ids) => Object.fromEntries(Object.entries(ids));
  await fill(panel, report.fields, choices({ criticality: 'crit_red', image_quality: 'good', limits: ['diagnostic_monitor'] }));
  const plan = template('disposition').fields.find(({ id }) => id === 'transfer_requested');
  const dispositions = panel.getByRole('region', { name: '推奨方針' });
  await dispositions.getByRole('button', { name: `+ ${plan.label.ja}` }).click();
  await fill(dispositions, plan.group_fields, { urgency: 'now', candidate_facilities: '読影センター', mode: 'ambulance', fallback_mode: 'doctor_heli' });
  await panel.getByRole('button', { name: /項目から文章を作る/ }).click();
  await panel.getByLabel(/^診断・結論/).fill('左被殻出血。正中偏位を伴う。');
  await panel.getByLabel(/^推奨/).last().fill('降圧し、転院を勧める。');
  await page.getByText(/下書き保存/).waitFor();
  await step(page, 'reader writes the findings');
}

async function refusedWithoutCall(page) {
  await page.getByRole('tab', { name: /^署名/ }).click();
  const final = page.getByRole('region', { name: '確定として署名' });
  await final.getByText('署名の前に必要なこと').waitFor();
  expect(await final.getByRole('button', { name: '確定として署名' }).isDisabled(), 'no final signature without a call');
  await step(page, 'a red finding cannot be made final yet');
}

async function signed(page) {
  await page.getByRole('tab', { name: /^署名/ }).click();
  await page.getByRole('region', { name: '確定として署名' }).getByRole('button', { name: '確定として署名' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByText('TN-000417').waitFor();
  await dialog.getByLabel('署名者のパスワード').fill(password);
  await step(page, 'the patient once more');
  await dialog.getByRole('button', { name: /署名$/ }).click();
  await page.getByText(/第1版に署名しました/).waitFor();
  await step(page, 'signed');
}

async function acknowledged(page) {
  await page.getByText('報告書が届きました').first().waitFor();
  await step(page, 'referrer sees the notice');
  await page.getByRole('link', { name: '報告書を見る' }).first().click();
  await page.getByRole('region', { name: '電話連絡記録' }).waitFor();
  await page.getByText('左被殻出血。正中偏位を伴う。').first().waitFor();
  await step(page, 'referrer reads the report');
  const form = page.getByRole('region', { name: '受領確認' });
  await choose(form, '自院の対応', '転送');
  await form.getByRole('button', { name: '受領確認' }).click();
  await page.getByText(/が受領確認/).first().waitFor();
  await step(page, 'referrer acknowledges');
}

await rm(pictures, { recursive: true, force: true });
await mkdir(pictures, { recursive: true });
const browser = await launch();
const open = [];
try {
  await technologist(browser);
  const reader = await person(browser);
  open.push(reader);
  await reader.page.goto(relay);
  await step(reader.page, 'login');
  await logIn(reader.page, relay, 'reader', password);
  await reading(reader.page);
  await findings(reader.page);
  await refusedWithoutCall(reader.page);
  await call(reader.page);
  await signed(reader.page);
  const referrer = await person(browser, { width: 1440, height: 1000 });
  open.push(referrer);
  await logIn(referrer.page, relay, 'referrer', password);
  await acknowledged(referrer.page);
  await reader.page.bringToFront();
  await reader.page.getByRole('tab', { name: /^経過/ }).click();
  for (const fact of ['配信', '閲覧', '受領確認']) await reader.page.getByText(fact).first().waitFor();
  await reader.page.getByText('北 健二').first().waitFor();
  await reader.page.getByRole('link', { name: '読影一覧' }).click();
  const red = reader.page.getByRole('region', { name: '未受領の赤所見' });
  await red.getByText('0件').waitFor();
  await red.getByText(/^✓ 北 健二 が受領確認/).waitFor();
  expect(reader.errors.length === 0, `no errors on the reader's page: ${reader.errors}`);
  expect(referrer.errors.length === 0, `no errors on the referrer's page: ${referrer.errors}`);
  await step(reader.page, 'acknowledged');
} catch (error) {
  for (const [n, { page, errors }] of open.entries()) {
    await page.screenshot({ path: `${pictures}failed-${n}.png` });
    console.error(`errors of page ${n}:`, errors);
  }
  console.error(error);
  process.exitCode = 1;
} finally {
  await browser.close();
}
