'use strict';
// The page is whole without this script. It sorts, filters, searches and pages the list, and opens sessions that are kept in pieces.
// It keeps nothing and asks nothing of any network. All markup that it puts in was escaped when the file was written; words of its
// own go in as text.
(() => {
  const { byId, make } = shared;
  const holder = byId('data');
  if (!holder) return;
  const data = JSON.parse(holder.textContent);
  holder.remove();
  const join = (pieces, parts = data.parts) => pieces.map((piece) => (typeof piece === 'number' ? parts[piece] : piece)).join('');
  const sessions = data.sessions;
  const known = new Map(sessions.map((session) => [session.id, session]));

  // Details: those that are not in the page are unpacked when they are asked for.
  const details = byId('details');
  const blocks = new Map();
  const unpack = (name) => {
    if (!blocks.has(name)) {
      const bytes = Uint8Array.from(atob(byId('b-' + name).textContent), (letter) => letter.charCodeAt(0));
      const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate-raw'));
      blocks.set(name, new Response(stream).text().then(JSON.parse));
    }
    return blocks.get(name);
  };
  const card = async (id) => {
    const session = known.get(id);
    if (byId(id) || !session || session.n === undefined) return byId(id);
    const element = make('details', undefined, 'card session');
    element.id = id;
    details.append(element);
    if (!window.DecompressionStream) {
      element.append(make('summary', id), make('p', 'This browser cannot unpack it; the records and a newer browser can.', 'inner'));
      return element;
    }
    const [parts, block] = await Promise.all([unpack('parts'), unpack(Math.floor(session.n / data.block))]);
    element.innerHTML = join(block[session.n % data.block], parts);
    return element;
  };
  const open = async () => {
    const id = decodeURIComponent(location.hash.slice(1));
    const element = id && await card(id);
    if (!element) return;
    // In the next frame the browser takes the focus from everything, as the target itself cannot have it: be after that.
    await new Promise((done) => { requestAnimationFrame(() => setTimeout(done)); });
    if (element.tagName === 'DETAILS') element.open = true;
    element.scrollIntoView();
    const summary = element.querySelector('summary');
    if (summary && element.tagName === 'DETAILS') summary.focus({ preventScroll: true });
    else if (element.tabIndex === -1) element.focus({ preventScroll: true });
  };
  addEventListener('hashchange', open);
  document.addEventListener('click', (event) => {
    const link = event.target.closest && event.target.closest('a[href^="#"]');
    if (link && link.getAttribute('href') === location.hash) open();
  });

  // The list.
  const PAGE = 100;
  const table = byId('list');
  const body = table.tBodies[0];
  const pages = document.querySelector('.pages');
  const count = byId('f-count');
  const fields = { q: byId('f-q'), app: byId('f-app'), sev: byId('f-sev'), cc: byId('f-cc'), cipher: byId('f-cipher') };
  const fill = (select, values) => {
    for (const value of [...new Set(values)].sort()) {
      const option = make('option', value);
      option.value = value;
      select.append(option);
    }
  };
  fill(fields.app, sessions.map((session) => session.app));
  fill(fields.cc, sessions.flatMap((session) => session.cc));
  fill(fields.cipher, sessions.map((session) => session.cipher).filter(Boolean));
  const sort = { key: 'sev', down: false };
  let page = 0;
  let shown = sessions;
  const text = (session) => {
    if (!session.text) {
      session.text = [session.id, session.m, session.app, session.ip, session.cc.join(' '), session.cipher, join(session.q)]
        .join(' ').replaceAll('&amp;', '&').replaceAll('&#39;', "'").toLowerCase();
    }
    return session.text;
  };
  const compare = shared.order(sort);
  const draw = () => {
    const rows = document.createDocumentFragment();
    for (const session of shown.slice(page * PAGE, (page + 1) * PAGE)) {
      const row = make('tr');
      row.innerHTML = join(session.row);
      rows.append(row);
    }
    body.replaceChildren(rows);
    if (shown.length === 0) body.append(nothing());
    tellPages();
  };
  // A list of nothing says so, and how to have all back.
  const nothing = () => {
    const row = make('tr');
    const cell = make('td', 'No session fits. ');
    const clear = make('button', 'Clear');
    cell.colSpan = table.tHead.rows[0].cells.length;
    clear.type = 'button';
    clear.addEventListener('click', () => { form.reset(); fields.q.focus(); });
    cell.append(clear);
    row.append(cell);
    return row;
  };
  const tellPages = () => {
    const last = Math.max(0, Math.ceil(shown.length / PAGE) - 1);
    tellPage(page, last);
    count.textContent = shown.length === sessions.length
      ? sessions.length + (sessions.length === 1 ? ' session' : ' sessions')
      : shown.length + ' of ' + sessions.length + ' sessions';
  };
  const apply = () => {
    shown = sessions.filter(shared.asked(fields, text));
    shown.sort(compare);
    page = 0;
    draw();
  };
  const tellPage = shared.pager(pages, (by) => { page += by; draw(); table.scrollIntoView(); });
  shared.sortable(table, sort, apply);
  const form = document.querySelector('.filters');
  form.addEventListener('submit', (event) => event.preventDefault());
  form.addEventListener('input', apply);
  form.addEventListener('reset', () => setTimeout(apply));
  document.addEventListener('click', (event) => {
    const button = event.target.closest && event.target.closest('button.filter');
    if (!button) return;
    const has = [...fields.cc.options].some((option) => option.value === button.dataset.cc);
    form.reset();
    if (has) fields.cc.value = button.dataset.cc;
    else fields.q.value = button.dataset.cc;
    apply();
    byId('sessions').scrollIntoView();
    fields.cc.focus({ preventScroll: true });
  });
  body.addEventListener('click', (event) => {
    const link = event.target.closest('tr')?.querySelector('a');
    if (!link || event.target.closest('a') || String(getSelection())) return;
    if (location.hash === link.hash) open();
    else location.hash = link.hash;
  });
  // The first rows stand in the page.
  tellPages();
  if (location.hash) open();
})();
