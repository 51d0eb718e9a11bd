'use strict';
// Shows what goes on as events tell of it. Words from the wire go in as text; markup that comes with events was escaped where it was
// made. It asks nobody but the machine that it came from, and keeps nothing.
(() => {
  const { byId, make } = shared;
  const setText = (element, words) => { if (element.textContent !== words) element.textContent = words; };
  const number = (count) => Number(count).toLocaleString('en');
  const plural = (count, noun) => number(count) + ' ' + noun + (count === 1 ? '' : 's');
  const when = (time) => (time ? time.slice(0, 19).replace('T', ' ') : '-');
  const pad = (count) => String(count).padStart(2, '0');
  const length = (seconds) => {
    const s = Math.floor(seconds);
    if (s < 60) return seconds.toFixed(Number.isInteger(seconds) ? 0 : 1) + ' s';
    if (s < 3600) return Math.floor(s / 60) + ' min ' + pad(s % 60) + ' s';
    return Math.floor(s / 3600) + ' h ' + pad(Math.floor(s / 60) % 60) + ' min';
  };

  // What is known.
  const sessions = new Map();
  const meetings = new Map();
  const alerts = new Map();
  const PAST = 1000;
  let past = [];
  let pastAll = 0;
  let seconds = [];
  let minutes = [];
  let counters = null;

  // The connection. A page that hears nothing says so: what it shows may be over.
  const STALE_MS = 5000;
  // A port that carries calls is never silent for so long.
  const QUIET_MS = 60000;
  let moved = Date.now();
  let packets = -1;
  const link = byId('link');
  const away = byId('away');
  let source = null;
  let heard = 0;
  let heardAt = '';
  let age = 0;
  let over = false;
  let retry = 0;
  let wait = 1000;
  const state = (name, words, warning) => {
    link.dataset.state = name;
    setText(link, words);
    if (away.hidden !== !warning) away.hidden = !warning;
    setText(away, warning);
  };
  const judge = () => {
    if (over) return state('away', 'ended', 'The run has ended. What is shown is what was known at ' + heardAt + '.');
    if (!heard) return state('wait', 'connecting', '');
    if (Date.now() - heard > STALE_MS || !source || source.readyState !== EventSource.OPEN) {
      return state('away', 'disconnected', 'Disconnected: what is shown is what was known at ' + heardAt + '. Trying again.');
    }
    if (age > 5) return state('stale', 'no news', 'The run has told nothing for ' + length(age) + ': what is shown may be old.');
    if (Date.now() - moved > QUIET_MS) {
      return state('stale', 'no packets', 'No packet was seen for ' + length((Date.now() - moved) / 1000) + ': does the mirror still send?');
    }
    return state('live', 'live', '');
  };
  const connect = () => {
    clearTimeout(retry);
    if (source) source.close();
    const own = new EventSource('/api/v1/events');
    source = own;
    const on = (name, take) => own.addEventListener(name, (event) => {
      heard = Date.now();
      heardAt = new Date().toISOString().slice(11, 19) + ' UTC';
      wait = 1000;
      over = name === 'over';
      take(JSON.parse(event.data));
      judge();
    });
    on('whole', whole);
    on('delta', delta);
    on('over', () => {});
    own.addEventListener('error', () => {
      judge();
      if (own !== source || own.readyState !== EventSource.CLOSED) return;
      // Refused: the token has gone, or there are too many.
      fetch('/api/v1/stats', { cache: 'no-store' })
        .then((answer) => { if (answer.status === 401) location.assign('/login'); })
        .catch(() => {});
      retry = setTimeout(connect, wait);
      wait = Math.min(wait * 2, 30000);
    });
  };
  setInterval(() => {
    judge();
    // A connection that died without a word is made anew.
    if (heard && source.readyState === EventSource.OPEN && Date.now() - heard > 4 * STALE_MS) connect();
  }, 1000);

  // News for those who do not see the page: few and short.
  let said = [];
  let sayLater = 0;
  const say = (words) => {
    said.push(words);
    if (sayLater) return;
    sayLater = setTimeout(() => {
      const more = said.length - 3;
      byId('news').textContent = said.slice(0, 3).join('. ') + (more > 0 ? '. And ' + more + ' more.' : '.');
      said = [];
      sayLater = 0;
    }, 800);
  };

  const whole = (event) => {
    const kinds = [[sessions, event.sessions], [meetings, event.meetings], [alerts, event.alerts]];
    for (const [known, list] of kinds) {
      known.clear();
      for (const one of list || []) known.set(one.id, one);
    }
    past = event.history || [];
    pastAll = event.history_all || past.length;
    seconds = event.seconds || [];
    minutes = event.minutes || [];
    common(event);
    drawAlerts();
    drawMeetings();
    drawPast();
    refill();
    drawList();
    if (shownId) load(shownId, false);
    else open();
  };
  const delta = (event) => {
    for (const id of event.sessions_gone || []) sessions.delete(id);
    for (const id of event.meetings_gone || []) meetings.delete(id);
    for (const id of event.alerts_gone || []) alerts.delete(id);
    for (const one of event.sessions || []) {
      if (!sessions.has(one.id)) say('New call ' + one.id + ', ' + one.app);
      sessions.set(one.id, one);
    }
    for (const one of event.meetings || []) meetings.set(one.id, one);
    for (const one of event.alerts || []) {
      if (one.fired && !(alerts.get(one.id) || {}).fired) {
        one.isNew = true;
        say('Alert: ' + one.title + ', in ' + one.session);
      }
      alerts.set(one.id, one);
    }
    if (event.history) {
      const again = new Set(event.history.map((one) => one.id));
      const kept = past.filter((one) => !again.has(one.id));
      past = kept.concat(event.history);
      for (const one of event.history) say('Call ' + one.id + ' has ended');
    }
    // The oldest rows leave the last day without a word, and only the latest are kept here.
    const aged = pastAll !== event.history_all;
    pastAll = event.history_all;
    past = past.slice(Math.max(0, past.length - Math.min(pastAll, PAST)));
    if (aged || event.history) drawPast();
    for (const point of event.points) addPoint(point);
    common(event);
    if (event.alerts || event.alerts_gone) drawAlerts();
    if (event.meetings || event.meetings_gone) drawMeetings();
    if (event.sessions || event.sessions_gone) { refill(); drawList(); }
    const isShown = (one) => one.id === shownId;
    if (shownId && ((event.sessions || []).some(isShown) || (event.history || []).some(isShown))) load(shownId, false);
    tellDetail();
  };
  const common = (event) => {
    age = event.age || 0;
    if (event.answer !== undefined) byId('answer-in').innerHTML = event.answer;
    if (event.map) drawMap(event.map);
    if (event.counters) {
      counters = event.counters;
      const seen = counters.run ? counters.run.packets.seen : packets;
      if (seen !== packets) [packets, moved] = [seen, Date.now()];
      drawCounters();
    }
  };
  const addPoint = (point) => {
    const last = seconds[seconds.length - 1];
    if (last && last[0] >= point[0]) return;
    seconds.push(point);
    if (seconds.length > 600) seconds.shift();
    const minute = (at) => Math.floor((at - 1) / 60);
    const grows = minutes[minutes.length - 1];
    if (grows && minute(grows[0]) === minute(point[0])) {
      minutes[minutes.length - 1] = [point[0], ...[1, 2, 3, 4, 5, 6].map((place) => grows[place] + point[place]), point[7]];
    } else {
      minutes.push(point);
      if (minutes.length > 1440) minutes.shift();
    }
  };

  // What is folded, by its words: numbers in them change as a call goes on, those of packets do not.
  const folds = (root) => {
    const seen = new Map();
    return new Map([...root.querySelectorAll('details')].map((fold) => {
      const summary = fold.querySelector('summary');
      const words = summary ? summary.textContent : '';
      const key = fold.classList.contains('pk') ? words : words.replace(/[\d.,]+/g, '#');
      // In the map's table, of the country whose row is above.
      const owner = fold.closest('tr')?.previousElementSibling?.id || '';
      const nth = (seen.get(owner + key) || 0) + 1;
      seen.set(owner + key, nth);
      return [owner + ' ' + key + ' ' + nth, fold];
    }));
  };
  // Puts markup in the place of older markup: what was open is open again, what had the focus has it again.
  const renew = (parent, markup) => {
    const before = folds(parent);
    const held = parent.contains(document.activeElement) ? document.activeElement : null;
    const at = held ? [...parent.querySelectorAll(within)].indexOf(held) : -1;
    const name = held && held.tagName === 'SUMMARY' ? [...before].find(([, fold]) => fold === held.parentNode)?.[0] : '';
    parent.innerHTML = markup;
    const after = folds(parent);
    for (const [key, fold] of before) if (fold.open && after.has(key)) after.get(key).open = true;
    const target = name ? after.get(name)?.querySelector('summary') : at >= 0 && parent.querySelectorAll(within)[at];
    if (target) target.focus({ preventScroll: true });
  };

  // Puts what is wanted into a list and touches only what has changed: what is open stays open, what has the focus keeps it.
  const within = 'a, summary, button, [tabindex]';
  const keeping = (parent, change) => {
    const held = parent.contains(document.activeElement) ? document.activeElement : null;
    const item = held && held.closest('[data-id]');
    const id = item && item.dataset.id;
    const at = item ? [...item.querySelectorAll(within)].indexOf(held) : -1;
    change();
    if (!held || parent.contains(document.activeElement) || at < 0) return;
    const now = [...parent.children].find((child) => child.dataset.id === id);
    const target = now && now.querySelectorAll(within)[at];
    if (target) target.focus({ preventScroll: true });
  };
  const reconcile = (parent, list, build) => keeping(parent, () => {
    const known = new Map([...parent.children].map((child) => [child.dataset.id, child]));
    let place = parent.firstElementChild;
    for (const one of list) {
      let child = known.get(one.id);
      known.delete(one.id);
      const markup = one.html || one.row;
      if (!child || child.made !== markup) {
        const fresh = build(one);
        fresh.dataset.id = one.id;
        fresh.made = markup;
        if (child) {
          const now = folds(fresh);
          for (const [key, fold] of folds(child)) if (fold.open && now.has(key)) now.get(key).open = true;
          if (child === place) place = child.nextElementSibling;
          child.remove();
        }
        child = fresh;
      }
      if (child === place) place = child.nextElementSibling;
      else parent.insertBefore(child, place);
    }
    for (const rest of known.values()) rest.remove();
  });

  // Alerts: those that fired first, the gravest of them, then the latest.
  const ALERTS = 8;
  let allAlerts = false;
  const drawAlerts = () => {
    const list = [...alerts.values()];
    list.sort((a, b) => b.fired - a.fired || a.sev - b.sev || (a.at < b.at ? 1 : a.at > b.at ? -1 : 0));
    const fired = list.filter((one) => one.fired).length;
    const rules = counters && counters.run && counters.run.policies;
    byId('alerts-none').hidden = list.length > 0;
    setText(byId('alerts-none'), rules ? 'No rule of the policy has fired in the last day.' : 'No policy was given (--policy): no rule can fire.');
    setText(byId('alerts-n'), list.length ? fired + ' fired in the last day' : '');
    reconcile(byId('alerts-in'), list.slice(0, allAlerts ? 500 : ALERTS), (one) => {
      const item = make('li', undefined, one.fired && one.sev === 0 ? 'high' : 'notice');
      if (one.isNew) item.classList.add('new');
      item.innerHTML = one.html;
      return item;
    });
    const more = byId('alerts-more');
    more.hidden = list.length <= ALERTS;
    setText(more, allAlerts ? 'Show fewer alerts' : 'Show all ' + list.length + ' alerts');
  };
  byId('alerts-more').addEventListener('click', () => { allAlerts = !allAlerts; drawAlerts(); });

  const drawMeetings = () => {
    const list = [...meetings.values()].sort((a, b) => (a.at < b.at ? 1 : -1)).slice(0, 200);
    byId('meetings-none').hidden = list.length > 0;
    reconcile(byId('meetings-in'), list, (one) => {
      const frame = make('div');
      frame.innerHTML = one.html;
      return frame;
    });
  };

  // The list of calls that go on.
  const PAGE = 100;
  const table = byId('list');
  const body = table.tBodies[0];
  const pages = document.querySelector('.pages');
  const form = document.querySelector('#sessions .filters');
  const fields = { q: byId('f-q'), app: byId('f-app'), sev: byId('f-sev'), cc: byId('f-cc'), cipher: byId('f-cipher') };
  const sort = { key: 'sev', down: false };
  let page = 0;
  const fill = (select, values) => {
    const wanted = [...new Set(values)].sort();
    const chosen = select.value;
    if (chosen && !wanted.includes(chosen)) wanted.push(chosen);
    const has = [...select.options].slice(1).map((option) => option.value);
    if (has.join('\n') === wanted.join('\n')) return;
    while (select.options.length > 1) select.remove(1);
    for (const value of wanted) {
      const option = make('option', value);
      option.value = value;
      select.append(option);
    }
    select.value = chosen;
  };
  const refill = () => {
    const list = [...sessions.values()];
    fill(fields.app, list.map((one) => one.app));
    fill(fields.cc, list.flatMap((one) => one.cc));
    fill(fields.cipher, list.map((one) => one.cipher).filter(Boolean));
  };
  const text = (one) => {
    if (!one.text) {
      one.text = [one.id, one.m, one.app, one.ip, one.cc.join(' '), one.cipher, one.q].join(' ')
        .replaceAll('&amp;', '&').replaceAll('&#39;', "'").toLowerCase();
    }
    return one.text;
  };
  const ordered = shared.order(sort);
  // Of equals the latest first, so that rows do not change places by themselves.
  const compare = (a, b) => ordered(a, b) || (a.at < b.at ? 1 : a.at > b.at ? -1 : a.id < b.id ? -1 : 1);
  const drawList = () => {
    const shown = [...sessions.values()].filter(shared.asked(fields, text)).sort(compare);
    const last = Math.max(0, Math.ceil(shown.length / PAGE) - 1);
    page = Math.min(page, last);
    const rows = shown.slice(page * PAGE, (page + 1) * PAGE);
    const none = body.querySelector('tr.none');
    if (none) none.remove();
    reconcile(body, rows, (one) => {
      const row = make('tr');
      row.innerHTML = one.row;
      return row;
    });
    for (const row of body.rows) row.setAttribute('aria-current', String(row.dataset.id === shownId));
    if (!rows.length) {
      const row = make('tr', undefined, 'none');
      const cell = make('td', sessions.size ? 'No call fits. ' : 'No call goes on.');
      cell.colSpan = table.tHead.rows[0].cells.length;
      if (sessions.size) {
        const clear = make('button', 'Clear');
        clear.type = 'button';
        clear.addEventListener('click', () => { form.reset(); fields.q.focus(); });
        cell.append(clear);
      }
      row.append(cell);
      body.append(row);
    }
    tellPage(page, last);
    const all = (counters && counters.sessions) || sessions.size;
    setText(byId('f-count'), (shown.length === sessions.size ? plural(sessions.size, 'call') : shown.length + ' of ' + plural(sessions.size, 'call')) +
      (all > sessions.size ? '; ' + number(all) + ' go on, the records have all' : ''));
  };
  const tellPage = shared.pager(pages, (by) => { page += by; drawList(); table.scrollIntoView(); });
  shared.sortable(table, sort, () => { page = 0; drawList(); });
  form.addEventListener('submit', (event) => event.preventDefault());
  form.addEventListener('input', () => { page = 0; drawList(); });
  form.addEventListener('reset', () => setTimeout(() => { page = 0; drawList(); }));
  document.addEventListener('click', (event) => {
    const button = event.target.closest && event.target.closest('button.filter');
    if (!button) return;
    const has = [...fields.cc.options].some((option) => option.value === button.dataset.cc);
    form.reset();
    if (has) fields.cc.value = button.dataset.cc;
    else fields.q.value = button.dataset.cc;
    setTimeout(drawList);
    byId('sessions').scrollIntoView();
    fields.cc.focus({ preventScroll: true });
  });
  for (const rows of [body, byId('past').tBodies[0]]) {
    rows.addEventListener('click', (event) => {
      const target = event.target.closest('tr')?.querySelector('a');
      if (!target || event.target.closest('a, button') || String(getSelection())) return;
      if (location.hash === target.hash) open();
      else location.hash = target.hash;
    });
  }

  // One session in place. It is read anew when it changes.
  const detail = byId('detail');
  const inside = byId('detail-in');
  let shownId = '';
  let asked = 0;
  const load = async (id, isNew) => {
    asked += 1;
    const own = asked;
    const answer = await fetch('/api/v1/sessions/' + encodeURIComponent(id) + '/page', { cache: 'no-store' }).catch(() => null);
    const markup = answer && answer.ok ? await answer.text().catch(() => null) : null;
    if (own !== asked) return;
    if (answer && answer.status === 401) { location.assign('/login'); return; }
    if (markup !== null) {
      if (isNew) inside.innerHTML = markup;
      else renew(inside, markup);
    } else if (isNew) {
      inside.replaceChildren(make('p', answer
        ? 'Its record is not kept any more: only its row in the last day is left.'
        : 'It could not be read: the machine that watches does not answer.'));
    }
    tellDetail();
    if (!isNew) return;
    detail.scrollIntoView();
    const title = inside.querySelector('.title');
    if (title) title.focus({ preventScroll: true });
  };
  const tellDetail = () => {
    if (shownId) setText(byId('detail-state'), sessions.has(shownId) ? shownId + ' goes on; this is read anew as it changes' : shownId + ' is over');
  };
  const show = (id) => {
    const was = shownId;
    shownId = id;
    detail.hidden = !id;
    drawList();
    if (id) { load(id, true); return; }
    asked += 1;
    inside.replaceChildren();
    const row = document.querySelector('tr a[href="#' + CSS.escape(was) + '"]');
    (row || fields.q).focus({ preventScroll: true });
  };
  const open = () => {
    const id = decodeURIComponent(location.hash.slice(1));
    if (/^s\d+p?$/.test(id)) {
      if (id !== shownId) show(id);
      return;
    }
    const element = id && byId(id);
    if (!element) return;
    if (element.tagName === 'DETAILS') element.open = true;
    element.scrollIntoView();
    const summary = element.querySelector('summary');
    if (summary && element.tagName === 'DETAILS') summary.focus({ preventScroll: true });
    else if (element.tabIndex === -1) element.focus({ preventScroll: true });
  };
  addEventListener('hashchange', open);
  document.addEventListener('click', (event) => {
    const target = event.target.closest && event.target.closest('a[href^="#"]');
    if (!target || target.getAttribute('href') !== location.hash) return;
    if (target.hash.slice(1) === shownId) detail.scrollIntoView();
    else open();
  });
  const close = () => {
    history.replaceState(null, '', location.pathname);
    if (shownId) show('');
  };
  byId('detail-close').addEventListener('click', close);
  document.addEventListener('keydown', (event) => {
    if (event.key === 'Escape' && shownId && !event.defaultPrevented) close();
  });

  // Map.
  const lands = document.querySelectorAll('#map path[data-l]');
  const drawMap = (map) => {
    for (const land of lands) {
      const name = 'land' + (map.fills[land.dataset.l] ? ' ' + map.fills[land.dataset.l] : '');
      if (land.getAttribute('class') !== name) land.setAttribute('class', name);
    }
    const marks = byId('marks');
    const held = marks.contains(document.activeElement) ? document.activeElement.dataset.cc : '';
    marks.innerHTML = map.markers;
    if (held) marks.querySelector('[data-cc="' + CSS.escape(held) + '"]')?.focus({ preventScroll: true });
    const place = byId('map-in');
    renew(place, map.table);
  };

  // The last day.
  const SHOWN = 25;
  let most = SHOWN;
  const SIGNS = [['high', '\u25b2 High'], ['notice', '\u25cf Notice'], ['good', '\u2713 Nothing found']];
  const drawPast = () => {
    const words = byId('h-q').value.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (one) => {
      const all = [one.id, one.meeting, one.app, one.ip, one.cc.join(' '), when(one.start)].join(' ').toLowerCase();
      return words.every((word) => all.includes(word));
    };
    const list = past.filter(fits).reverse();
    const rows = list.slice(0, most).map((one) => {
      const row = make('tr');
      const cell = (words_, name) => { const made = make('td', words_, name); row.append(made); return made; };
      const [name, sign] = SIGNS[one.sev];
      cell().append(make('span', sign, 'chip ' + name));
      const head = make('th');
      head.scope = 'row';
      const target = make(one.whole ? 'a' : 'span', one.id);
      if (one.whole) target.href = '#' + one.id;
      head.append(target);
      row.append(head);
      cell(one.app);
      cell(one.holders ? plural(one.holders, 'server') + (one.cc.length ? ', placed in ' + one.cc.join(' ') : '') : '-');
      cell(one.ip, 'wide');
      cell(when(one.start), 'wide nb');
      cell(length(one.dur), 'wide n');
      cell(one.loss === null ? '-' : one.loss.toFixed(2) + ' %', 'wide n');
      cell(one.mos === null ? '-' : one.mos.toFixed(2), 'wide n');
      cell(one.alerts || '-', 'wide n');
      return row;
    });
    if (!rows.length) {
      const row = make('tr');
      const cell = make('td', past.length ? 'No call fits.' : 'No call has ended yet.');
      cell.colSpan = 10;
      row.append(cell);
      rows.push(row);
    }
    byId('past').tBodies[0].replaceChildren(...rows);
    byId('h-more').hidden = list.length <= most;
    setText(byId('h-count'), (words.length ? list.length + ' of ' : '') + plural(pastAll, 'call') +
      (pastAll > past.length ? '; the latest ' + number(past.length) + ' are shown, /api/v1/history has all' : ''));
  };
  byId('h-q').addEventListener('input', () => { most = SHOWN; drawPast(); });
  byId('h-q').form.addEventListener('submit', (event) => event.preventDefault());
  byId('h-more').addEventListener('click', () => { most += 100; drawPast(); });

  // Counters.
  const share = (part, all) => (all ? ' (' + (100 * part / all).toFixed(part && 1000 * part < all ? 4 : 2) + ' %)' : '');
  const bytes = (size) => {
    const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
    let place = 0;
    let rest = size;
    while (rest >= 1024 && place < units.length - 1) { rest /= 1024; place += 1; }
    return rest.toFixed(place ? 1 : 0) + ' ' + units[place];
  };
  const put = (parent, list) => {
    const terms = list.map(([term]) => term).join('\n');
    if (parent.made !== terms) {
      parent.made = terms;
      parent.replaceChildren(...list.map(([term]) => {
        const frame = make('div');
        frame.append(make('dt', term), make('dd'));
        return frame;
      }));
    }
    list.forEach(([, words, name], at) => {
      const frame = parent.children[at];
      frame.className = name || '';
      setText(frame.lastChild, String(words));
    });
  };
  const grid = (parent, caption, heads, rows, none) => {
    const key = JSON.stringify(rows);
    if (parent.made === key) return;
    parent.made = key;
    if (!rows.length) { parent.replaceChildren(make('p', none, 'note')); return; }
    // The same rows with other figures: only these are written.
    const cells = parent.querySelectorAll('tbody th, tbody td');
    if (cells.length === rows.length * heads.length) {
      rows.flat().forEach((words, at) => setText(cells[at], words));
      return;
    }
    const made = make('table');
    made.append(make('caption', caption, 'vh'));
    const top = made.createTHead().insertRow();
    for (const head of heads) {
      const cell = make('th', head.replace('#', ''), head.startsWith('#') ? 'n' : '');
      cell.scope = 'col';
      top.append(cell);
    }
    const inner = made.createTBody();
    for (const row of rows) {
      const line = inner.insertRow();
      row.forEach((words, at) => {
        const cell = make(at ? 'td' : 'th', words, heads[at].startsWith('#') ? 'n' : 'wrap');
        if (!at) cell.scope = 'row';
        line.append(cell);
      });
    }
    const box = make('div', undefined, 'scroll');
    box.tabIndex = 0;
    box.setAttribute('role', 'group');
    box.setAttribute('aria-label', caption);
    box.append(made);
    parent.replaceChildren(box);
  };
  // What is lost comes first and in words.
  const troubles = (run) => {
    const list = [];
    const packets = run.packets;
    const latest = seconds[seconds.length - 1];
    const now = latest ? latest[4] + latest[5] + latest[6] : 0;
    if (packets.dropped) {
      list.push(number(packets.dropped) + ' packets' + share(packets.dropped, packets.seen) + ' were lost before they could be looked at' +
        (now ? ', ' + number(now) + ' of them in the last second' : '') + '. Calls that overlap losses say so.');
    }
    for (const one of run.interfaces || []) if (one.error) list.push(one.name + ' is not read any more: ' + one.error + '.');
    for (const one of run.sinks || []) {
      if (one.lost) list.push(plural(one.lost, 'record') + ' for ' + one.name + ' were lost.');
      if (one.error) list.push(one.name + ': ' + one.error + '.');
    }
    if (run.live && run.live.flows_lost) list.push(plural(run.live.flows_lost, 'flow') + ' were lost because judging fell behind.');
    return list;
  };
  const LEFT = [['sessions_left_out', 'calls'], ['meetings_left_out', 'meetings'], ['alerts_left_out', 'alerts'],
    ['history_left_out', 'rows of ended calls'], ['details_left_out', 'records of ended calls']];
  const facts = (run) => {
    const live = run.live;
    const list = [['Latest packet', run.at ? when(run.at) + ' UTC' : '-']];
    if (live) {
      list.push(['Watching for', length(live.uptime_s)]);
      list.push(['Flows', number(live.flows_alive) + ' alive, ' + number(live.flows_held) + ' held, ' + number(run.flows.total) + ' over, ' + number(run.flows.evicted) + ' pushed out']);
      if (live.memory_bytes) list.push(['Memory', bytes(live.memory_bytes) + (live.memory_budget_bytes ? ' of ' + bytes(live.memory_budget_bytes) : '')]);
      if (live.clock_steps) list.push(['Clock of packets', 'went back ' + live.clock_steps + ' times']);
    }
    const left = LEFT.filter(([name]) => counters.shown[name]).map(([name, words]) => number(counters.shown[name]) + ' ' + words);
    list.push(['Left out here for room', left.length ? left.join(', ') : 'nothing']);
    const web = counters.web;
    list.push(['Browsers', number(web.clients) + ' now; ' + number(web.clients_dropped) + ' let go for being slow, ' + plural(web.connections_cut, 'connection') + ' cut for standing still, ' + number(web.refused_full) + ' refused for want of room, ' +
      number(web.refused_token) + ' without the token, ' + number(web.refused_host) + ' of other sites']);
    return list;
  };
  const drawCounters = () => {
    const run = counters.run;
    if (!run) return;
    const p = run.packets;
    const bad = (part) => (part ? 'bad' : 'fine');
    put(byId('tiles'), [
      ['Packets seen', number(p.seen)],
      ['Looked at', number(p.analysed)],
      ['Lost in all', number(p.dropped) + share(p.dropped, p.seen), bad(p.dropped)],
      ['Lost by the kernel', number(p.dropped_by_kernel), bad(p.dropped_by_kernel)],
      ['Lost by interfaces', number(p.dropped_by_interface), bad(p.dropped_by_interface)],
      ['Lost by meetscope', number(p.dropped_by_us), bad(p.dropped_by_us)],
      ['Left out by the filter', number(p.filtered)],
      ['Could not be decoded', number(p.undecodable)],
    ]);
    const lost = troubles(run);
    byId('lost').hidden = lost.length === 0;
    setText(byId('lost'), lost.join(' '));
    const rows = [];
    for (const one of run.interfaces || []) {
      rows.push([one.name, one.link_type, 'all', number(one.received), number(one.dropped_by_kernel), number(one.dropped_by_interface), '']);
      for (const worker of one.workers) {
        rows.push([one.name, one.link_type, String(worker.worker), number(worker.received), number(worker.dropped_by_kernel), '', number(worker.dropped_by_us)]);
      }
    }
    grid(byId('interfaces'), 'Interfaces and workers', ['Interface', 'Link type', 'Worker', '#Received', '#Lost by the kernel', '#Lost by it', '#Lost by meetscope'], rows, 'No interface tells of itself.');
    const notes = (run.interfaces || []).flatMap((one) => one.distortions || []);
    const list = byId('distortions');
    if (list.textContent !== notes.join('')) list.replaceChildren(...notes.map((note) => make('li', note)));
    grid(byId('sinks'), 'Destinations of records', ['Destination', '#Handed over', '#Written', '#Lost', '#Waiting', '#Reconnects', 'State'],
      (run.sinks || []).map((one) => [one.name, number(one.offered), number(one.written), number(one.lost), number(one.queued), number(one.reconnects), one.error || 'well']),
      'No destination tells of itself.');
    put(byId('run'), facts(run));
    drawRates();
  };
  const SVG = 'http://www.w3.org/2000/svg';
  let day = false;
  const RATES = [
    ['c-packets', (point) => point[2] / point[1], 'packets/s'],
    ['c-lost', (point) => (point[4] + point[5] + point[6]) / point[1], 'lost/s'],
    ['c-calls', (point) => point[7], 'calls'],
  ];
  const drawRates = () => {
    const points = day ? minutes : seconds;
    for (const [id, take, unit] of RATES) {
      const frame = byId(id);
      const values = points.map(take);
      const top = Math.max(1, ...values);
      let svg = frame.querySelector('svg');
      if (!svg) {
        svg = document.createElementNS(SVG, 'svg');
        svg.setAttribute('viewBox', '0 0 1000 200');
        svg.setAttribute('preserveAspectRatio', 'none');
        svg.setAttribute('aria-hidden', 'true');
        svg.append(document.createElementNS(SVG, 'path'));
        frame.append(make('p'), svg);
      }
      const from = points.length ? points[0][0] : 0;
      const wide = Math.max(1, points.length ? points[points.length - 1][0] - from : 1);
      svg.firstChild.setAttribute('d', values.map((one, at) =>
        (at ? 'L' : 'M') + ((points[at][0] - from) / wide * 1000).toFixed(0) + ' ' + (198 - one / top * 194).toFixed(0)).join(''));
      const round = (one) => (one >= 10 || Number.isInteger(one) ? number(Math.round(one)) : one.toFixed(1));
      // Over a line of zeros stands no other figure.
      setText(frame.querySelector('p'), (values.some((one) => one > 0) ? round(top) : '0') + ' ' + unit);
      const mean = values.reduce((sum, one) => sum + one, 0) / Math.max(1, values.length);
      setText(frame.parentNode.querySelector('.said'), values.length
        ? 'now ' + round(values[values.length - 1]) + ', mean ' + round(mean) + ', highest ' + round(Math.max(...values)) : 'nothing yet');
    }
  };
  byId('span').addEventListener('click', (event) => {
    day = !day;
    event.currentTarget.setAttribute('aria-pressed', String(day));
    event.currentTarget.textContent = day ? 'Show the last 10 minutes' : 'Show the last day';
    for (const words of document.querySelectorAll('.span')) words.textContent = day ? 'last day' : 'last 10 minutes';
    drawRates();
  });

  drawList();
  connect();
})();
