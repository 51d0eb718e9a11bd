// tests/web/check.mjs FOLDER ADDRESS: goes through the dashboard in Chromium while calls go on, as script/web-test plays them.
//
// FOLDER holds node_modules with playwright-core and axe-core. MEETSCOPE_PID is the run, which is ended here to see how the page takes
// it; PLAY is the command that plays calls of strangers who would do harm. Truth comes from how captures/ were made: a Zoom meeting of
// 2 April 2020 with two participants, of which one had its key from 52.81.151.250, which the databases place in CN.
import { execFile, spawn } from 'node:child_process';
import path from 'node:path';
import { accessibility, check, checks, faults, launch } from '../browser.mjs';

const [folder, address] = process.argv.slice(2);
const shots = process.env.MEETSCOPE_SHOTS;
const origin = new URL(address).origin;

const begun = Date.now();
const since = () => ((Date.now() - begun) / 1000).toFixed(0) + ' s';

const browser = await launch(folder, ', EXCLUDE 127.0.0.1');
const open = async ({ width, height = 900, dark = false }) => {
  const context = await browser.newContext({
    viewport: { width, height }, colorScheme: dark ? 'dark' : 'light', reducedMotion: 'reduce',
  });
  const page = await context.newPage();
  const seen = { elsewhere: [], console: [] };
  page.on('request', (request) => { if (new URL(request.url()).origin !== origin) seen.elsewhere.push(request.url()); });
  page.on('console', (message) => { if (message.type() !== 'info') seen.console.push(message.text()); });
  page.on('pageerror', (error) => seen.console.push(String(error)));
  page.on('dialog', (dialog) => { seen.console.push('dialog ' + dialog.message()); dialog.dismiss(); });
  await page.addInitScript(() => {
    window.violations = 0;
    document.addEventListener('securitypolicyviolation', () => { window.violations += 1; });
  });
  await page.goto(address);
  return { page, seen, context };
};
const done = async (name, { page, seen, context }) => {
  check(seen.elsewhere.length === 0, `${name}: asked elsewhere ${seen.elsewhere}`);
  check(seen.console.length === 0, `${name}: console ${seen.console.slice(0, 3)}`);
  check((await page.evaluate(() => window.violations)) === 0, `${name}: the policy stopped something`);
  await context.close();
};
const accessible = accessibility(folder);
const picture = async (page, name, element) => {
  if (!shots) return;
  if (element) await page.locator(element).scrollIntoViewIfNeeded();
  await page.screenshot({ path: path.join(shots, name + '.png') });
};
const fits = (page) => page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);

// Wide and light, from before the first call to the end of the run.
const wide = await open({ width: 1280 });
const { page } = wide;
await page.waitForSelector('#link[data-state=live]', { timeout: 15000 });
check((await page.title()) === 'meetscope watch', 'title');
const zoom = page.locator('#list tbody tr', { hasText: 'Zoom' });
await zoom.first().waitFor({ timeout: 60000 });
console.log(`a Zoom call is seen after ${since()}`);
check((await page.locator('#link').textContent()) === 'live', 'the page is live while the call goes on');
await page.waitForFunction(() => /calls? goes? on/.test(document.querySelector('.headline')?.textContent ?? ''), null, { timeout: 15000 });
check(true, 'the answer comes first');
check(await page.locator('.headline').evaluate((element) => element.getBoundingClientRect().top < innerHeight), 'the answer stands at the top');
await picture(page, '1280-light-live');

// It goes on: the row changes by itself.
const row = () => page.locator('#list tbody tr', { hasText: '142.1.217.44' }).first();
await row().waitFor({ timeout: 60000 });
const lengthOf = async () => row().locator('td').nth(5).textContent();
const before = await lengthOf();
await page.waitForFunction((before) => [...document.querySelectorAll('#list tbody tr')].some((row) =>
  row.textContent.includes('142.1.217.44') && row.cells[6].textContent !== before), before, { timeout: 20000 });
check(true, 'a call that goes on is told of again');

// The policy fires as soon as the key server is seen.
const alert = page.locator('#alerts-in li.high').first();
await alert.waitFor({ timeout: 60000 });
console.log(`the alert is seen after ${since()}`);
check(/no-cn-keys/.test(await alert.textContent()), 'the alert names its rule');
check(/52\.81\.151\.250/.test(await alert.textContent()), 'the alert names the server');
await page.waitForFunction(() => /Alert: |New call /.test(document.getElementById('news').textContent), null, { timeout: 10000 });
check((await page.locator('#news').getAttribute('aria-live')) === 'polite', 'news do not interrupt');
await page.waitForSelector('.mk[data-cc=CN]', { timeout: 20000 });
check(/^CN \(China\): 1 could hold/.test(await page.locator('.mk[data-cc=CN]').getAttribute('aria-label')), 'the map marks the key server');
check((await page.locator('#map path[data-l=CN]').first().getAttribute('class')) === 'land key', 'the country is filled');
await picture(page, '1280-light-map', '#map');
await page.locator('#in-CN button.filter').click();
await page.waitForFunction(() => document.querySelectorAll('#list tbody tr').length === 1);
check(true, 'the map filters the list');
await page.locator('#sessions .filters button[type=reset]').click();

// Filter and sort.
await page.fill('#f-q', '52.81.151.250');
check((await page.locator('#list tbody tr').count()) === 1, 'a server finds its session');
await page.fill('#f-q', 'no such thing');
check(/No call fits/.test(await page.locator('#list tbody').textContent()), 'a list of nothing says so');
await page.locator('#list tbody button', { hasText: 'Clear' }).click();
await page.locator('#list th[data-k=ip] button').click();
check((await page.locator('#list th[data-k=ip]').getAttribute('aria-sort')) === 'ascending', 'sorting is told');

// A session in place, read anew while it goes on.
await row().locator('a').click();
await page.waitForSelector('#detail-in .title');
check(await page.evaluate(() => document.activeElement.classList.contains('title')), 'the session has the focus');
check(/goes on/.test(await page.locator('#detail-state').textContent()), 'it says that the call goes on');
const holders = page.locator('#detail-in .chip', { hasText: 'could hold' });
check((await holders.count()) >= 1, 'servers that could hold the key');
check(/52\.81\.151\.250/.test(await page.locator('#detail-in').textContent()), 'the key server is named');
const fold = page.locator('#detail-in details.fold').first();
await fold.locator('summary').first().click();
const kept = await page.locator('#detail-in .title').evaluate((element) => { element.old = true; return true; });
await page.waitForFunction(() => !document.querySelector('#detail-in .title').old, null, { timeout: 20000 });
check(kept && (await page.locator('#detail-in details.fold').first().evaluate((element) => element.open)), 'what is open stays open when it is read anew');
await picture(page, '1280-light-session', '#detail');
check(await fits(page), 'nothing runs out of the page');
await accessible('wide', page);
await page.keyboard.press('Escape');
check(await page.locator('#detail').isHidden(), 'Escape closes it');
check(await page.evaluate(() => document.activeElement.closest('#list') !== null), 'the focus goes back to the list');

// Readers that take nothing, beside all this.
const slow = new Promise((resolve) => {
  execFile('python3', ['tests/web/slow.py', '127.0.0.1', new URL(address).port, '', '--all'], (error, out, errors) => resolve({ error, out: out + errors }));
});

// Narrow and dark, without a pointer.
const small = await open({ width: 390, height: 844, dark: true });
await small.page.waitForSelector('#list tbody tr a', { timeout: 20000 });
check(await fits(small.page), 'narrow: nothing runs out of the page');
await picture(small.page, '390-dark-live');
await small.page.keyboard.press('Tab');
check(await small.page.evaluate(() => document.activeElement.className === 'skip'), 'keys: the first stop skips to the answer');
await small.page.keyboard.press('Enter');
for (let stops = 0; stops < 80; stops += 1) {
  if (await small.page.evaluate(() => document.activeElement.closest('#list tbody') !== null)) break;
  await small.page.keyboard.press('Tab');
}
check(await small.page.evaluate(() => document.activeElement.closest('#list tbody') !== null), 'keys: the list is reached');
await small.page.keyboard.press('Enter');
await small.page.waitForSelector('#detail-in .title');
check(await fits(small.page), 'narrow: a session fits');
await picture(small.page, '390-dark-session', '#detail');
await accessible('narrow and dark', small.page);
const light = await small.page.evaluate(() => getComputedStyle(document.body).backgroundColor);
await small.page.locator('#theme').click();
check(light !== (await small.page.evaluate(() => getComputedStyle(document.body).backgroundColor)), 'the theme changes');
await done('narrow', small);

// Strangers that would do harm.
const [command, ...rest] = process.env.PLAY.split(' ');
await new Promise((resolve) => spawn(command, rest, { stdio: 'ignore' }).on('exit', resolve));
await page.waitForFunction(() => document.querySelectorAll('#list tbody tr').length > 15, null, { timeout: 30000 });
await page.waitForTimeout(3500);
for (const id of await page.locator('#list tbody th a').allTextContents()) {
  const answer = await page.evaluate(async (id) => {
    const answer = await fetch(`/api/v1/sessions/${id}/page`);
    const frame = document.createElement('div');
    frame.hidden = true;
    document.body.append(frame);
    frame.innerHTML = await answer.text();
    const bad = frame.querySelectorAll('script, img, iframe, object, embed, [onerror], [onload], [onclick], [style], [src]').length;
    frame.remove();
    return { ok: answer.ok, bad };
  }, id);
  check(answer.ok && answer.bad === 0, `${id}: harmless`);
}
check((await page.evaluate(() => document.querySelectorAll('main script, main img, main iframe, main [onerror], main [onload]').length)) === 0, 'the page holds nothing of theirs');
await picture(page, '1280-light-hostile', '#sessions');

const result = await slow;
console.log(result.out.trim());
check(!result.error, 'slow readers');
const counted = await page.locator('#run').textContent();
check(Number(counted.match(/(\d+) connections cut/)?.[1]) >= 40, `those that were cut are told: ${counted}`);
await picture(page, '1280-light-counters', '#counters');

// A run that stands still is told, and one that goes on again is taken up.
process.kill(Number(process.env.MEETSCOPE_PID), 'SIGSTOP');
await page.waitForSelector('#link[data-state=away]', { timeout: 15000 });
check(/what was known at/.test(await page.locator('#away').textContent()), 'silence is told, with the time of what is shown');
process.kill(Number(process.env.MEETSCOPE_PID), 'SIGCONT');
await page.waitForSelector('#link[data-state=live]', { timeout: 30000 });
check(await page.locator('#away').isHidden(), 'it is live again by itself');

// The end: what went on is history, and the page says that the run is over.
const went = await page.locator('#list tbody th a').allTextContents();
process.kill(Number(process.env.MEETSCOPE_PID), 'SIGTERM');
await page.waitForSelector('#link[data-state=away]', { timeout: 15000 });
check(await page.locator('#away').isVisible(), 'an ended run is told');
const past = await page.locator('#past tbody th').allTextContents();
check(past.length > 0 && went.some((id) => past.includes(id)), `calls are history when they end: ${past.slice(0, 5)}`);
await page.fill('#h-q', 'zoom');
check((await page.locator('#past tbody tr').count()) >= 2, 'history is searched');
await picture(page, '1280-light-ended');
await picture(page, '1280-light-history', '#history');
await done('wide', wide);

await browser.close();
console.log(`${checks} checks in ${since()}, ${faults.length} faults`);
process.exit(faults.length ? 1 : 0);
