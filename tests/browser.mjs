// What tests/html/check.mjs and tests/web/check.mjs have in common: tools from FOLDER's node_modules, a count of checks, axe-core.
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import path from 'node:path';

export let checks = 0;
export const faults = [];
export const check = (truth, what) => {
  checks += 1;
  if (!truth) { faults.push(what); console.log('FAIL  ' + what); }
};

// Chromium without an own network; `beside` are hosts that it may ask nevertheless.
export const launch = (folder, beside = '') => {
  const { chromium } = createRequire(path.join(folder, 'node_modules/'))('playwright-core');
  return chromium.launch({
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-background-networking', '--disable-component-update', '--host-resolver-rules=MAP * ~NOTFOUND' + beside],
  });
};

// axe runs in a world of its own, so that the page's policy need not let it in. What is grave is a fault, the rest is told.
export const accessibility = (folder) => {
  const axe = readFileSync(createRequire(path.join(folder, 'node_modules/')).resolve('axe-core/axe.min.js'), 'utf8');
  return async (name, page) => {
    const session = await page.context().newCDPSession(page);
    const { frameTree } = await session.send('Page.getFrameTree');
    const { executionContextId } = await session.send('Page.createIsolatedWorld', { frameId: frameTree.frame.id, worldName: 'axe' });
    const run = async (expression) => {
      const answer = await session.send('Runtime.evaluate', { expression, contextId: executionContextId, awaitPromise: true, returnByValue: true });
      if (answer.exceptionDetails) throw new Error(answer.exceptionDetails.exception?.description ?? answer.exceptionDetails.text);
      return answer.result.value;
    };
    await run(axe + '; true');
    const found = await run(`axe.run(document, {resultTypes: ['violations']}).then((result) => result.violations.map((one) =>
      ({id: one.id, impact: one.impact, count: one.nodes.length, html: one.nodes[0].html.slice(0, 160) + ' ' + (one.nodes[0].any[0]?.message ?? '')})))`);
    const told = found.map((fault) => ({ ...fault, line: `axe ${fault.impact} ${fault.id} (${fault.count}) ${fault.html}` }));
    const grave = told.filter((fault) => ['serious', 'critical'].includes(fault.impact));
    for (const fault of told) if (!grave.includes(fault)) console.log(`note  ${name}: ${fault.line}`);
    check(grave.length === 0, `${name}: ${grave.map((fault) => fault.line).join('\n      ')}`);
  };
};
