// OHIF as its publisher made it, on our DICOMweb: the series list, a head CT, scrolling, and three planes. Started by
// main.rs, which has sent the study. Says each step on a line of its own and takes a picture.

import { mkdir, rm } from 'node:fs/promises';
import { launch, logIn, person } from './browser.mjs';

const { TANCHO_RELAY: relay, TANCHO_PASSWORD: password, TANCHO_STUDY: study, TANCHO_PICTURES: kind } = process.env;
const images = Number(process.env.TANCHO_IMAGES);
/** Whether the slices lie at one distance. */
const isEven = process.env.TANCHO_SLICES === 'even';
const pictures = new URL(`./screenshots/ohif-${kind}/`, import.meta.url).pathname;
let count = 0;
/** Warnings that say nothing of us: of the browser without a graphics card, and of this script's own look at the pictures. */
const tolerated = [/GPU stall due to ReadPixels/, /Automatic fallback to software WebGL/, /GL Driver Message/, /willReadFrequently/];

async function step(page, name) {
  count += 1;
  await page.screenshot({ path: `${pictures}${String(count).padStart(2, '0')}-${name.replaceAll(' ', '-')}.png` });
  console.log(JSON.stringify({ step: name }));
}

function expect(condition, what) {
  if (!condition) throw new Error(`expected: ${what}`);
}

/** Everything the page asks for, by host, and every answer that was an error. */
function watch(page) {
  const seen = { hosts: new Set(), refused: [], warnings: [] };
  page.on('request', (request) => {
    const url = new URL(request.url());
    if (!['data:', 'blob:'].includes(url.protocol)) seen.hosts.add(url.host);
  });
  page.on('response', (response) => {
    if (response.status() >= 400) seen.refused.push(`${response.status()} ${response.url()}`);
  });
  page.on('console', (message) => {
    if (message.type() === 'warning') seen.warnings.push(message.text());
  });
  return seen;
}

/** How many greys each drawn viewport has: one that shows an image has many. */
const greys = (page) =>
  page.evaluate(() =>
    [...document.querySelectorAll('canvas.cornerstone-canvas')].map((canvas) => {
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      return new Set(data.filter((_, at) => at % 4 === 0)).size;
    }),
  );

/** Waits until so many viewports show an image. */
const shown = (page, n) => page.waitForFunction(
  (wanted) => {
    const drawn = [...document.querySelectorAll('canvas.cornerstone-canvas')].filter((canvas) => {
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      return new Set(data.filter((_, at) => at % 4 === 0)).size > 32;
    });
    return drawn.length === wanted;
  }, n, { polling: 500 });

await rm(pictures, { recursive: true, force: true });
await mkdir(pictures, { recursive: true });
const browser = await launch();
try {
  const { page, errors } = await person(browser);
  // A program of 17 MB, and pictures drawn without a graphics card.
  page.setDefaultTimeout(120_000);
  // Who is not logged in is led to the login.
  await page.goto(`${relay}/ohif/viewer?StudyInstanceUIDs=${study}`);
  await page.getByLabel('ログイン名').waitFor();
  await logIn(page, relay, 'reader', password);
  await page.getByText('新規').or(page.getByRole('row')).first().waitFor();
  errors.length = 0;
  const seen = watch(page);

  // Its list of studies would write names into the address: the relay's own worklist is there instead.
  await page.goto(`${relay}/ohif/?patientName=x`);
  await page.getByText('新規').or(page.getByRole('row')).first().waitFor();
  expect(!page.url().includes('patientName'), 'no name in the address');

  await page.goto(`${relay}/ohif/viewer?StudyInstanceUIDs=${study}`);
  await page.locator('[data-cy=study-browser-thumbnail]').first().waitFor();
  expect((await page.locator('[data-cy=study-browser-thumbnail]').count()) === 1, 'one series in the list');
  await page.locator('[data-cy=study-browser-thumbnail] img').waitFor();
  await shown(page, 1);
  const where = page.locator('[data-cy=viewport-overlay-bottom-right]').first();
  await where.filter({ hasText: `(1/${images})` }).waitFor();
  await page.getByText('Confirm and hide').click();
  const tour = page.getByText('Skip all');
  if (await tour.isVisible()) await tour.click();
  await step(page, 'series list and first image');

  await page.locator('[data-cy=viewport-pane]').hover();
  for (let at = 2; at <= 8; at += 1) {
    await page.mouse.wheel(0, 100);
    await where.filter({ hasText: `(${at}/${images})` }).waitFor();
  }
  await shown(page, 1);
  await step(page, 'scrolled');

  await page.locator('[data-cy=Layout]').click();
  const planes = page.locator('[data-cy=MPR]');
  await planes.waitFor();
  if (isEven) {
    await planes.click();
    await shown(page, 3);
    expect((await page.locator('[data-cy=viewport-pane]').count()) === 3, 'three planes');
    // Their slices come in while the planes stand.
    await page.waitForLoadState('networkidle');
    const drawn = await greys(page);
    expect(drawn.every((n) => n > 32), `an image in each plane: ${drawn}`);
    await step(page, 'three planes');
  } else {
    // OHIF stacks even slices only, and knows from our metadata that these are not.
    expect((await planes.evaluate((entry) => getComputedStyle(entry).pointerEvents)) === 'none', 'no planes of uneven slices');
    await step(page, 'no planes of uneven slices');
  }

  expect(errors.length === 0, `no error of the page: ${errors.join('; ')}`);
  expect(seen.refused.length === 0, `no refusal: ${seen.refused.join('; ')}`);
  const other = seen.warnings.filter((text) => !tolerated.some((known) => known.test(text)));
  expect(other.length === 0, `no warning: ${other.join('; ')}`);
  expect([...seen.hosts].join() === new URL(relay).host, `no other host: ${[...seen.hosts]}`);
} finally {
  await browser.close();
}
