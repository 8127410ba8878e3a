// Chromium as Debian ships it, driven from outside, with what every script here needs.

import { chromium } from 'playwright-core';

const flags = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
];

export const launch = () => chromium.launch({ executablePath: '/usr/bin/chromium', args: flags });

/** A browser of one person, in Japan. */
export async function person(browser, size = { width: 1680, height: 1000 }) {
  const context = await browser.newContext({ locale: 'ja-JP', timezoneId: 'Asia/Tokyo', viewport: size });
  context.setDefaultTimeout(20_000);
  const page = await context.newPage();
  const errors = [];
  page.on('pageerror', (error) => errors.push(error.stack ?? String(error)));
  page.on('console', (message) => {
    // The page asks who is logged in before anybody is, and is told 401; that is not an error of the page.
    if (message.type() === 'error' && !message.text().includes('401')) errors.push(message.text());
  });
  return { page, errors };
}

export async function logIn(page, relay, login, password) {
  await page.goto(relay);
  await page.getByLabel('ログイン名').fill(login);
  await page.getByLabel('パスワード').fill(password);
  await page.getByRole('button', { name: 'ログイン', exact: true }).click();
}

const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

/** The control that belongs to a label, whatever mark stands behind its words. */
async function control(scope, label) {
  const words = scope.locator('label').filter({ hasText: new RegExp(`^${escaped(label)}\\s*(必須)?$`) });
  const id = await words.first().getAttribute('for');
  return scope.locator(`[id="${id}"]`);
}

/** Presses one option of a group of choices. */
export async function choose(scope, group, option) {
  const choices = scope.getByRole('group', { name: group, exact: true }).or(scope.getByRole('radiogroup', { name: group, exact: true }));
  await choices.first().locator('button').filter({ hasText: new RegExp(`^${escaped(option)}$`) }).click();
}

/** Fills a form that the page drew from the definition of a template. */
export async function fill(scope, fields, values) {
  for (const [id, value] of Object.entries(values)) {
    const field = fields.find((one) => one.id === id);
    if (!field) throw new Error(`the template has no field ${id}`);
    const label = field.label.ja;
    const words = (code) => field.options.find((option) => option.code === code).label.ja;
    if (field.type === 'group') {
      const group = scope.locator('fieldset').filter({ has: scope.page().locator(`legend:text-is("${label}")`) });
      await fill(group.first(), field.group_fields, value);
    } else if (field.type === 'multi') {
      for (const code of value) await choose(scope, label, words(code));
    } else if (field.type === 'enum') {
      await choose(scope, label, words(value));
    } else {
      await (await control(scope, label)).fill(String(value));
    }
  }
}
