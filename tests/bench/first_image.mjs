// Waits on the worklist, opens the first request that appears, and says when its first image is drawn.
// Arguments: address of the relay, login, password.

import { launch, logIn, person } from '../browser/browser.mjs';

const [relay, login, password] = process.argv.slice(2);
const browser = await launch();
try {
  const { page } = await person(browser);
  // The last part of the viewer, which is loaded while the reader looks at the worklist.
  const decoder = page.context().waitForEvent('requestfinished', (request) => request.url().endsWith('.wasm'));
  await logIn(page, relay, login, password);
  await page.getByText('待っている依頼はありません').waitFor();
  await decoder;
  const claim = page.getByRole('button', { name: '担当して開く' });
  console.log('waiting');
  await claim.click({ timeout: 60_000 });
  // The window is written on the picture only once an image is drawn; its own clock is the system's.
  const drawn = await page.waitForFunction(
    () => /W \d+ +L -?\d+/.test(document.querySelector('.overlay-text')?.textContent ?? '') && Date.now(),
    undefined,
    { polling: 'raf' },
  );
  console.log(JSON.stringify({ drawn_at_ms: await drawn.jsonValue() }));
} finally {
  await browser.close();
}
