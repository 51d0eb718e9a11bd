// tests/html/check.mjs FOLDER REPORT HOSTILE MANY FALSE PLAIN: opens reports in Chromium as a reader would.
//
// FOLDER holds node_modules with playwright-core and axe-core; REPORT is the demo's report, HOSTILE one of
// strings that would do harm, MANY one of thousands of sessions (or - for none), FALSE one of a place that timing contradicts, PLAIN one of
// media that is not encrypted.
// Asks that nothing is fetched, that nothing is written to the console, that the policy stops nothing of the page's own, that
// map, timeline, charts, evidence and filters work with a pointer and with keys, wide and narrow, light and dark, and that
// axe-core finds no serious fault. MEETSCOPE_SHOTS names a folder for pictures.
import { statSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import path from 'node:path';
import { accessibility, check, checks, faults, launch } from '../browser.mjs';

const [folder, report, hostile, many, refuted, plain] = process.argv.slice(2).map((name) => (name === '-' ? '' : path.resolve(name)));
const shots = process.env.MEETSCOPE_SHOTS;
// Pictures that docs/ shows.
const DOCS = {
  '1280-light-top': 'report-answer', '1280-light-map': 'report-map', '1280-dark-timeline': 'report-timeline',
  '1280-light-charts': 'report-charts', '390-light-top': 'report-narrow',
};
// What the list of many sessions may take.
const MOST_MS = 2000;
const MOST_BYTES = 15e6;

const browser = await launch(folder);

// A page that counts what it should not do.
const open = async (file, { width, height = 900, dark = false, script = true, reduced = false }) => {
  const context = await browser.newContext({
    viewport: { width, height }, colorScheme: dark ? 'dark' : 'light', javaScriptEnabled: script,
    reducedMotion: reduced ? 'reduce' : 'no-preference', offline: true,
  });
  const page = await context.newPage();
  const seen = { requests: [], console: [], violations: 0 };
  page.on('request', (request) => { if (request.url() !== pathToFileURL(file).href) seen.requests.push(request.url()); });
  page.on('console', (message) => { if (message.type() !== 'info') seen.console.push(message.text()); });
  page.on('pageerror', (error) => seen.console.push(String(error)));
  if (script) {
    await page.addInitScript(() => {
      window.violations = 0;
      document.addEventListener('securitypolicyviolation', () => { window.violations += 1; });
    });
  }
  await page.goto(pathToFileURL(file).href);
  return { page, seen, context };
};
const done = async (name, { page, seen, context }, script = true) => {
  check(seen.requests.length === 0, `${name}: requests ${seen.requests}`);
  check(seen.console.length === 0, `${name}: console ${seen.console.slice(0, 3)}`);
  if (script) check((await page.evaluate(() => window.violations)) === 0, `${name}: the policy stopped something`);
  await context.close();
};
const accessible = accessibility(folder);
const picture = async (page, name) => {
  if (!shots) return;
  await page.screenshot({ path: path.join(shots, name + '.png') });
  if (!DOCS[name]) return;
  const session = await page.context().newCDPSession(page);
  const { data } = await session.send('Page.captureScreenshot', { format: 'webp', quality: 72 });
  writeFileSync(path.join(shots, DOCS[name] + '.webp'), Buffer.from(data, 'base64'));
};

// As a reader goes through it.
const walk = async (name, view) => {
  const at = await open(report, view);
  const { page } = at;
  check((await page.title()).startsWith('meetscope report'), `${name}: title`);
  const headline = page.locator('.headline');
  check(await headline.isVisible(), `${name}: the answer is seen at once`);
  check(await headline.evaluate((element) => element.getBoundingClientRect().top < innerHeight), `${name}: the answer stands at the top`);
  check(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${name}: nothing runs out of the page`);
  await picture(page, `${name}-top`);
  // Map.
  const marker = page.locator('.mk[data-cc=CN]');
  await page.evaluate(() => document.getElementById('map').scrollIntoView({ behavior: 'instant' }));
  check(/^CN \(China\): 1 could hold/.test(await marker.getAttribute('aria-label')), `${name}: the marker says what it stands for`);
  await marker.hover();
  check((await page.locator('#map-tip').textContent()).startsWith('CN (China)'), `${name}: the map tells on hover`);
  await picture(page, `${name}-map`);
  await marker.click();
  check(page.url().endsWith('#in-CN'), `${name}: the marker leads to its row`);
  check(await page.locator('#in-CN').isVisible(), `${name}: the row is there`);
  // Filter from the map.
  await page.locator('#in-CN button.filter').click();
  const rows = page.locator('#list tbody tr');
  check((await rows.count()) === 1, `${name}: one session has a holder placed in China`);
  await page.locator('.filters button[type=reset]').click();
  await page.waitForFunction(() => document.querySelectorAll('#list tbody tr').length === 4);
  await page.selectOption('#f-app', 'Zoom');
  check((await rows.count()) === 2, `${name}: two sessions are of Zoom`);
  await page.fill('#f-q', 'zoomcn52');
  check((await rows.count()) === 1, `${name}: a server's name finds its session`);
  check(/^1 of 4 sessions/.test(await page.locator('#f-count').textContent()), `${name}: the count is told`);
  await page.locator('.filters button[type=reset]').click();
  await page.waitForFunction(() => document.querySelectorAll('#list tbody tr').length === 4);
  await page.fill('#f-q', 'no such thing');
  check(/No session fits/.test(await page.locator('#list tbody').textContent()), `${name}: a list of nothing says so`);
  await page.locator('#list tbody button', { hasText: 'Clear' }).click();
  await page.waitForFunction(() => document.querySelectorAll('#list tbody tr').length === 4);
  check(await page.locator('#list').evaluate((element) => element.scrollWidth <= element.parentNode.clientWidth), `${name}: the list fits`);
  // Sort.
  await page.locator('#list th[data-k=id] button').click();
  check((await page.locator('#list th[data-k=id]').getAttribute('aria-sort')) === 'ascending', `${name}: sorting is told`);
  const ids = await page.locator('#list tbody th').allTextContents();
  check(ids.join() === [...ids].sort((a, b) => a.slice(1) - b.slice(1)).join(), `${name}: sorted by number, ${ids}`);
  await page.locator('#list').scrollIntoViewIfNeeded();
  await picture(page, `${name}-list`);
  // A session.
  await page.locator('#list a[href="#s193"]').click();
  const session = page.locator('#s193');
  check(await session.evaluate((element) => element.open), `${name}: the session is open`);
  check((await session.locator('.chip', { hasText: 'could hold' }).count()) === 4, `${name}: four servers could hold the key`);
  await page.waitForTimeout(view.reduced ? 0 : 700);
  await picture(page, `${name}-session`);
  // Evidence, one click away.
  const evidence = session.locator('.findings details.pk').first();
  const link = () => evidence.locator('summary').evaluate((element) => element.getBoundingClientRect().top + scrollY);
  const before0 = await link();
  await evidence.locator('summary').click();
  check(Math.abs((await link()) - before0) < 1, `${name}: the packet stays where it is when it is clicked`);
  check(await evidence.evaluate((element) => element.querySelector('code').getBoundingClientRect().top >= element.querySelector('summary').getBoundingClientRect().bottom - 1),
    `${name}: the filter stands under it`);
  check(/^frame\.number/.test(await evidence.locator('code').textContent()), `${name}: a filter for Wireshark`);
  check(await evidence.locator('code').isVisible(), `${name}: the filter is seen`);
  await session.locator('summary', { hasText: 'Figures behind it' }).click();
  check(await session.getByText('Blocks tested').isVisible(), `${name}: the figures of the cipher verdict`);
  // Timeline.
  const lanes = session.locator('.lanes');
  await lanes.scrollIntoViewIfNeeded();
  check((await lanes.locator('.lane').count()) >= 6, `${name}: a lane for each server`);
  check(await lanes.getByText('52.81.151.250').first().isVisible(), `${name}: the lane of the key server`);
  await picture(page, `${name}-timeline`);
  // Charts.
  const plot = session.locator('.plot svg').first();
  await plot.scrollIntoViewIfNeeded();
  check((await session.locator('.chart').count()) >= 8, `${name}: charts of sound and pictures`);
  const box = await plot.boundingBox();
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  check(/about sent/.test(await session.locator('.plot output').first().textContent()), `${name}: a chart tells its values`);
  check(/mean .* highest/.test(await session.locator('.chart .said').first().textContent()), `${name}: a chart has words`);
  await picture(page, `${name}-charts`);
  await session.locator('summary', { hasText: 'Why this app' }).click();
  check(await session.getByText('zoom_framing').first().isVisible(), `${name}: why it is Zoom`);
  // Footer.
  const about = page.locator('#about');
  check(/[0-9a-f]{64}/.test(await about.locator('code').nth(1).textContent()), `${name}: the sum of the input`);
  check(/meetscope.* replay .*--format html/.test(await about.locator('code').first().textContent()), `${name}: the command line`);
  await about.scrollIntoViewIfNeeded();
  await picture(page, `${name}-about`);
  // The other theme.
  const before = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  await page.locator('#theme').click();
  check(before !== (await page.evaluate(() => getComputedStyle(document.body).backgroundColor)), `${name}: the theme changes`);
  await page.locator('#theme').click();
  await page.evaluate(() => { for (const fold of document.querySelectorAll('details')) fold.open = true; });
  check(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${name}: opened, nothing runs out of the page`);
  await accessible(name, page);
  await done(name, at);
};

// Without a pointer: to the answer, a marker, a session, its evidence.
const keys = async () => {
  const at = await open(report, { width: 1280, reduced: true });
  const { page } = at;
  const focus = () => page.evaluate(() => document.activeElement.className?.baseVal ?? document.activeElement.className);
  await page.keyboard.press('Tab');
  check((await focus()) === 'skip', 'keys: the first stop skips to the answer');
  await page.keyboard.press('Enter');
  let stops = 0;
  while (!(await focus()).startsWith('mk') && stops < 60) { await page.keyboard.press('Tab'); stops += 1; }
  check((await focus()).startsWith('mk'), `keys: markers are reached, after ${stops} stops`);
  check(await page.locator('#map-tip').isVisible(), 'keys: the map tells on focus');
  await page.keyboard.press('Enter');
  check(page.url().includes('#in-'), 'keys: a marker leads to its row');
  await page.locator('#list a').first().focus();
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.activeElement.tagName === 'SUMMARY');
  check(await page.evaluate(() => document.activeElement.parentElement.open), 'keys: a session opens and has the focus');
  await page.keyboard.press('Tab');
  check((await page.evaluate(() => document.activeElement.hash)) === '#m193', 'keys: in it, its meeting comes first');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.activeElement.tagName === 'SUMMARY');
  check((await page.evaluate(() => document.activeElement.closest('details[open]')?.id)) === 'm193', 'keys: the link opens it and hands on the focus');
  await done('keys', at);
};

// What does not need the script.
const bare = async () => {
  const at = await open(report, { width: 1280, script: false });
  const { page } = at;
  check(await page.locator('.headline').isVisible(), 'no script: the answer');
  check((await page.locator('#list tbody tr').count()) === 4, 'no script: the list');
  check(!(await page.locator('.filters').isVisible()), 'no script: no controls that do nothing');
  await page.locator('#s391 > summary').click();
  check(await page.locator('#s391').getByText('How keys arose').isVisible(), 'no script: a session opens');
  await done('no script', at, false);
};

const paper = async () => {
  const at = await open(report, { width: 1280 });
  const { page } = at;
  await page.emulateMedia({ media: 'print' });
  check(!(await page.locator('#theme').isVisible()), 'print: no controls');
  const pdf = await page.pdf({ format: 'A4', printBackground: true });
  check(pdf.length > 20000, 'print: pages come out');
  const shown = await page.evaluate(() => [...document.querySelectorAll('details.session')].length);
  check(shown === 4, 'print: every session');
  if (shots) { writeFileSync(path.join(shots, 'print.pdf'), pdf); }
  // On the width of paper nothing is cut, whatever is open.
  await page.setViewportSize({ width: 720, height: 1000 });
  const values = await page.evaluate(() => {
    for (const fold of document.querySelectorAll('details:not(.pk):not(.vals)')) fold.open = true;
    return [...document.querySelectorAll('table.values')].filter((table) => table.getBoundingClientRect().height > 0).length;
  });
  check(values === 0, `print: ${values} tables of values that nobody opened`);
  const cut = await page.evaluate(() => {
    for (const fold of document.querySelectorAll('details:not(.pk)')) fold.open = true;
    return [...document.querySelectorAll('.scroll')].filter((box) => box.scrollWidth > box.clientWidth).map((box) => box.ariaLabel);
  });
  check(cut.length === 0, `print: wider than the paper: ${cut}`);
  await done('print', at);
};

// Strings that would do harm: every session is opened, and nothing of them runs, fetches or becomes an element.
const harmless = async () => {
  const at = await open(hostile, { width: 1280 });
  const { page } = at;
  let asked = 0;
  page.on('dialog', (dialog) => { asked += 1; dialog.dismiss(); });
  const ids = await page.locator('#list tbody th a').allTextContents();
  check(ids.length === 22, `hostile: ${ids.length} sessions`);
  for (const id of ids) {
    await page.evaluate((name) => { location.hash = name; }, id);
    await page.waitForFunction((name) => /How keys arose|Protection/.test(document.getElementById(name)?.textContent), id);
  }
  await page.evaluate(() => { for (const fold of document.querySelectorAll('details')) fold.open = true; });
  await page.fill('#f-q', 'hx0');
  check((await page.locator('#list tbody tr').count()) > 0, 'hostile: they can be searched for');
  const strange = await page.evaluate(() => document.querySelectorAll('img, iframe, object, embed, form:not(.filters), [onerror], [onload], [onmouseover], [style], a:not([href^="#"])').length);
  check(strange === 0, `hostile: ${strange} elements that nobody wrote`);
  check(asked === 0, 'hostile: nothing asks');
  check((await page.evaluate(() => /[\u0000-\u0008\u200b-\u200f\u202a-\u202e\u2066-\u2069]/.test(document.body.innerText))) === false, 'hostile: no character that misleads');
  await page.evaluate(() => scrollTo({ top: 0, behavior: 'instant' }));
  await picture(page, 'hostile');
  await done('hostile', at);
};

// Timing that contradicts a place: on the map, in its legend, beside the server.
const contradicted = async () => {
  const at = await open(refuted, { width: 1280 });
  const { page } = at;
  const marker = page.locator('.mk[data-cc=AU]');
  check(/timing contradicts this place/.test(await marker.getAttribute('aria-label')), 'false place: the marker says it');
  check((await marker.locator('use[href="#g-not"]').count()) === 1, 'false place: the marker has a sign of its own');
  check(/timing contradicts/.test(await page.locator('.legend').textContent()), 'false place: the legend has it');
  check(/timing contradicts this place/.test(await page.locator('#in-AU').textContent()), 'false place: the row says it');
  await accessible('false place', page);
  await done('false place', at);
};

// Media without a key: nobody could hold one.
const unencrypted = async () => {
  const at = await open(plain, { width: 1280 });
  const { page } = at;
  const said = await page.evaluate(() => [...document.querySelectorAll('details')].map((fold) => { fold.open = true; }) && document.querySelector('#details').textContent);
  check(/could read/.test(said) && !/could hold|service of any/.test(said), 'plain media: could read, and no key to hold');
  check(/could read unencrypted media/.test(await page.locator('.mk[data-cc=DE]').getAttribute('aria-label')), 'plain media: the map says read');
  await accessible('plain media', page);
  await done('plain media', at);
};

// Thousands of sessions.
const thousands = async () => {
  const bytes = statSync(many).size;
  check(bytes < MOST_BYTES, `many: ${bytes} bytes`);
  const at = await open(many, { width: 1280 });
  const { page } = at;
  // The best of three: what else the machine does is not the page's.
  let took = Infinity;
  for (let run = 0; run < 3; run += 1) {
    if (run > 0) await page.reload();
    took = Math.min(took, await page.evaluate(() => {
      const { loadEventEnd, startTime } = performance.getEntriesByType('navigation')[0];
      return loadEventEnd - startTime;
    }));
  }
  const sessions = Number((await page.locator('#f-count').textContent()).split(' ')[0]);
  check(took < MOST_MS, `many: loads in ${took.toFixed(0)} ms`);
  check(sessions >= 5000, `many: ${sessions} sessions`);
  check((await page.locator('#list tbody tr').count()) === 100, 'many: a page of the list');
  const timed = async (what) => { const begun = Date.now(); await what(); return Date.now() - begun; };
  const search = await timed(async () => {
    await page.fill('#f-q', 'no such thing');
    await page.waitForFunction(() => /^0 of/.test(document.getElementById('f-count').textContent));
  });
  await page.fill('#f-q', '');
  const sorting = await timed(() => page.locator('#list th[data-k=at] button').click());
  await page.getByRole('button', { name: 'Next' }).click();
  const last = page.locator('#list tbody tr').last();
  const id = (await last.locator('a').getAttribute('href')).slice(1);
  const opening = await timed(async () => {
    await last.locator('a').click();
    await page.waitForFunction((name) => document.getElementById(name)?.open && document.getElementById(name).textContent.includes('How keys arose'), id);
  });
  check(await page.locator(`#${id}`).getByText('How keys arose').isVisible(), 'many: a session that was kept in pieces opens');
  await picture(page, 'many');
  await accessible('many', page);
  console.log(`many: ${sessions} sessions, ${(bytes / 1e6).toFixed(1)} MB, loaded in ${took.toFixed(0)} ms, search ${search} ms, sort ${sorting} ms, open ${opening} ms`);
  await done('many', at);
};

for (const width of [1280, 390]) {
  for (const dark of [false, true]) await walk(`${width}-${dark ? 'dark' : 'light'}`, { width, dark, reduced: dark });
}
await keys();
await bare();
await paper();
await harmless();
if (refuted) await contradicted();
if (plain) await unencrypted();
if (many) await thousands();
await browser.close();
console.log(`${checks} checks, ${faults.length} faults`);
process.exit(faults.length ? 1 : 0);
