// Names in every script, as the technologist, the reader and the referring physician see them, and how a reader finds
// a patient. Started by main.rs, which has sent the studies. Says each step on a line of its own and takes a picture.

import { mkdir, rm } from 'node:fs/promises';
import { launch, logIn, person } from './browser.mjs';

const { TANCHO_RELAY: relay, TANCHO_AGENT: agent, TANCHO_PASSWORD: password } = process.env;
const pictures = new URL('./screenshots/names/', import.meta.url).pathname;
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
  const { page, errors } = await person(browser, { width: 1280, height: 1500 });
  await page.goto(agent);
  const study = (id) => page.getByRole('article', { name: `患者ID ${id}`, exact: true });
  await study('NM-1').getByText('山田 太郎').waitFor();
  await study('NM-1').getByText('1948-03-12(昭和23年)').waitFor();
  await study('NM-2').getByText('ヤマダ タロウ').waitFor();
  await study('NM-2').getByText('1926-12-25(昭和元年)').waitFor();
  await study('NM-3').getByText('髙橋 﨑子').waitFor();
  await study('NM-4').getByText('文字コード不明・氏名は患者IDで確認').waitFor();
  expect((await study('NM-1').getByText('文字コード不明').count()) === 0, 'no mark on a name that is certain');
  const attention = page.getByRole('region', { name: '文字コードが合わない装置' });
  await attention.getByRole('row').filter({ hasText: 'ISO_IR 100' }).getByText('患者氏名').waitFor();
  await attention.getByRole('row').filter({ hasText: '宣言なし' }).getByText('CT01').waitFor();
  await step(page, 'technologist sees names and what does not fit');
  const card = page.getByRole('article', { name: '装置 CT01 の適合カード' });
  const undeclared = card.getByRole('row').filter({ hasText: '文字コードを宣言せずに' });
  await undeclared.getByText('装置の業者に').waitFor();
  await undeclared.getByText('6 画像中 1').waitFor();
  // Brought into view again when the list is drawn anew.
  await undeclared.getByText('装置の業者に').hover();
  await step(page, 'technologist sees what to ask of the vendor');
  expect(errors.length === 0, `no errors on the agent's page: ${errors}`);
}

async function search(page) {
  const field = page.getByRole('searchbox');
  const rows = page.getByRole('row').filter({ hasText: 'NM-' });
  await rows.nth(5).waitFor();
  await step(page, 'reader sees every name');
  await rows.filter({ hasText: 'NM-4' }).getByText('文字不確実').first().waitFor();
  for (const text of ['山田', 'やまだ', 'ﾔﾏﾀﾞ', 'YAMADA TARO', 'yamada tarō']) {
    await field.fill(text);
    await page.getByText('検索結果 2件').waitFor();
    expect((await rows.count()) === 2, `two are found by ${text}`);
    await field.fill('');
    await page.getByText('6件', { exact: true }).waitFor();
  }
  await field.fill('ﾔﾏﾀﾞ');
  await page.getByText('検索結果 2件').waitFor();
  await step(page, 'reader searches by half-width kana');
  await field.fill('佐藤');
  await page.getByText('検索に合う依頼はありません').waitFor();
  await step(page, 'nobody is found');
  await page.getByRole('button', { name: '報告済も含めて探す' }).click();
  await page.getByText('検索に合う依頼はありません').waitFor();
  expect((await page.getByRole('button', { name: '報告済も含めて探す' }).count()) === 0, 'nothing more is offered');
  await page.getByRole('button', { name: '検索を消す' }).click();
  await rows.nth(5).waitFor();
  expect(!page.url().includes('q='), 'no patient data in an address');
}

async function read(page, id, texts) {
  const row = page.getByRole('row').filter({ hasText: id });
  await row.getByRole('button').click();
  const identity = page.getByRole('region', { name: '患者情報' });
  for (const text of texts) await identity.getByText(text).first().waitFor();
  await page.locator('.overlay-text').getByText(/^W /).waitFor();
  await step(page, `reader reads ${id}`);
}

await rm(pictures, { recursive: true, force: true });
await mkdir(pictures, { recursive: true });
const browser = await launch();
const open = [];
try {
  await technologist(browser);
  const asked = [];
  const reader = await person(browser);
  open.push(reader);
  reader.page.on('request', (request) => asked.push(request.url()));
  await logIn(reader.page, relay, 'reader', password);
  await search(reader.page);
  await read(reader.page, 'NM-4', ['鈴木 次郎', 'Suzuki Jiro', '1989-01-07(昭和64年)', '文字不確実', '氏名の文字コードを確定できません', '表示ソフト']);
  await reader.page.locator('.overlay-text').getByText('文字不確実').waitFor();
  await reader.page.getByRole('link', { name: '読影一覧' }).click();
  await read(reader.page, 'NM-2', ['山田 太郎', 'ヤマダ タロウ', '1926-12-25(昭和元年)', 'トウブ']);
  expect(reader.errors.length === 0, `no errors on the reader's page: ${reader.errors}`);
  const leaks = asked.map((url) => decodeURIComponent(url)).filter((url) => /山田|やまだ|YAMADA|yamada|佐藤|NM-/.test(url));
  expect(leaks.length === 0, `no search text in an address: ${leaks}`);

  const referrer = await person(browser, { width: 1440, height: 1000 });
  open.push(referrer);
  await logIn(referrer.page, relay, 'referrer', password);
  await referrer.page.getByText('髙橋 﨑子').waitFor();
  await referrer.page.getByText('2019-05-01(令和元年)').waitFor();
  await step(referrer.page, 'referrer sees the requests');
  const card = referrer.page.getByRole('article').filter({ hasText: 'NM-5' });
  await card.getByRole('link', { name: /報告書を見る|開く/ }).click();
  for (const text of ['知床 一郎', '1912-07-30(大正元年)', '文字不確実']) await referrer.page.getByText(text).first().waitFor();
  await step(referrer.page, 'referrer opens an uncertain name');
  expect(referrer.errors.length === 0, `no errors on the referrer's page: ${referrer.errors}`);
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
