'use strict';
// What every page with parts of the report needs: the theme, print, filters to copy, values of charts, what markers of the map stand
// for, and what lists are searched, sorted and turned with. It keeps nothing and asks nothing of any network.
const shared = (() => {
  const root = document.documentElement;
  root.classList.add('scripted');
  const byId = (id) => document.getElementById(id);
  const make = (tag, text, name) => {
    const element = document.createElement(tag);
    if (text !== undefined && text !== null) element.textContent = text;
    if (name) element.className = name;
    return element;
  };

  // Theme: what the system says, until the button is pressed.
  const theme = byId('theme');
  const system = matchMedia('(prefers-color-scheme: dark)');
  const isDark = () => (root.dataset.theme ? root.dataset.theme === 'dark' : system.matches);
  const nameTheme = () => { theme.textContent = isDark() ? 'Light' : 'Dark'; };
  theme.addEventListener('click', () => { root.dataset.theme = isDark() ? 'light' : 'dark'; nameTheme(); });
  system.addEventListener('change', nameTheme);
  nameTheme();
  byId('print').addEventListener('click', () => print());

  // Paper has no folds, but for filters behind packet numbers and values that the charts beside them show.
  let unfolded = [];
  addEventListener('beforeprint', () => {
    unfolded = [...document.querySelectorAll('details:not([open]):not(.pk):not(.vals)')];
    for (const fold of unfolded) fold.open = true;
  });
  addEventListener('afterprint', () => {
    for (const fold of unfolded) fold.open = false;
    unfolded = [];
  });

  // Copying a filter: a click selects it; where the browser allows, it is copied too.
  document.addEventListener('click', (event) => {
    const code = event.target.closest && event.target.closest('details.pk code');
    if (!code) return;
    getSelection().selectAllChildren(code);
    if (navigator.clipboard) navigator.clipboard.writeText(code.textContent).catch(() => {});
  });

  // Charts: the values under the pointer.
  const nearest = (path, share) => {
    let best = null;
    for (const [, x, y] of path.getAttribute('d').matchAll(/[ML](-?[\d.]+) (-?[\d.]+)/g)) {
      const away = Math.abs(x / 1000 - share);
      if (!best || away < best.away) best = { away, y: Number(y) };
    }
    return best;
  };
  const clock = (from, seconds) => {
    const [h, m, s] = from.split(':').map(Number);
    const all = h * 3600 + m * 60 + s + seconds;
    return [all / 3600 % 24, all / 60 % 60, all % 60].map((part) => String(Math.floor(part)).padStart(2, '0')).join(':');
  };
  const show = (svg, share) => {
    const { top, bottom, unit, step, from } = svg.dataset;
    const out = svg.parentNode.querySelector('output') || svg.parentNode.appendChild(make('output'));
    const words = [];
    let points = 2;
    for (const path of svg.querySelectorAll('.sent, .received')) {
      const found = nearest(path, share);
      points = Math.max(points, path.getAttribute('d').split(/[ML]/).length - 1);
      if (!found || found.away > 0.06) continue;
      const value = Number(bottom) + (Number(top) - Number(bottom)) * (1 - found.y / 200);
      words.push((path.classList.contains('sent') ? 'sent ' : 'received ') + Number(value.toPrecision(3)) + unit);
    }
    const place = Math.round(share * (points - 1));
    out.textContent = words.length ? clock(from, place * Number(step)) + '  about ' + words.join(', ') : '';
  };
  document.addEventListener('pointermove', (event) => {
    const svg = event.target.closest && event.target.closest('.plot svg');
    if (!svg) return;
    const box = svg.getBoundingClientRect();
    show(svg, Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)));
  });

  // Map: what a marker stands for, also on focus.
  const tip = byId('map-tip');
  const tell = (event) => {
    const marker = tip && event.target.closest && event.target.closest('.mk');
    if (!marker) return;
    tip.hidden = false;
    tip.textContent = marker.dataset.tip;
  };
  document.addEventListener('pointerover', tell);
  document.addEventListener('focusin', tell);

  // Lists: whether a session is what the fields of a form ask for; `text` is all that its words are looked for in.
  const asked = (fields, text) => {
    const words = fields.q.value.toLowerCase().split(/\s+/).filter(Boolean);
    return (session) =>
      (!fields.app.value || session.app === fields.app.value) &&
      (!fields.sev.value || String(session.sev) === fields.sev.value) &&
      (!fields.cc.value || session.cc.includes(fields.cc.value)) &&
      (!fields.cipher.value || session.cipher === fields.cipher.value) &&
      words.every((word) => text(session).includes(word));
  };
  // What sorts them as `sort` says, what has no value last; numbers in names and addresses count as numbers.
  const value = (session, key) => {
    const found = session[key];
    if (found === undefined) return null;
    if (Array.isArray(found)) return found.join(' ');
    if (key === 'id') return found.replace(/\d+/, (digits) => digits.padStart(12, '0'));
    if (key === 'ip') return found.replace(/\d+/g, (digits) => digits.padStart(5, '0'));
    return found;
  };
  const order = (sort) => (a, b) => {
    const [x, y] = [value(a, sort.key), value(b, sort.key)];
    const empty = (v) => v === null || v === '';
    if (empty(x) || empty(y)) return empty(x) - empty(y);
    let found = typeof x === 'number' ? x - y : x < y ? -1 : x > y ? 1 : 0;
    // Of one severity those with more grave findings first, then those with more of all.
    if (sort.key === 'sev' && found === 0) found = (b.grave - a.grave) || (b.found - a.found);
    return sort.down ? -found : found;
  };
  // Heads of columns become buttons, which set what `sort` says.
  const sortable = (table, sort, sorted) => {
    for (const head of table.tHead.rows[0].cells) {
      const button = make('button', head.textContent, 'sort');
      button.type = 'button';
      const arrow = make('span', '');
      arrow.setAttribute('aria-hidden', 'true');
      button.append(arrow);
      head.replaceChildren(button);
      button.addEventListener('click', () => {
        sort.down = sort.key === head.dataset.k ? !sort.down : false;
        sort.key = head.dataset.k;
        for (const other of table.tHead.rows[0].cells) {
          const on = other === head;
          if (on) other.setAttribute('aria-sort', sort.down ? 'descending' : 'ascending');
          else other.removeAttribute('aria-sort');
          other.querySelector('span').textContent = on ? (sort.down ? ' \u25bc' : ' \u25b2') : '';
        }
        sorted();
      });
    }
  };
  // Buttons to turn pages; what comes back tells at which of them the list is.
  const pager = (place, turn) => {
    const step = (words, by) => {
      const button = make('button', words);
      button.type = 'button';
      button.addEventListener('click', () => turn(by));
      return button;
    };
    const back = step('Previous', -1);
    const next = step('Next', 1);
    const where = make('span');
    place.append(back, where, next);
    return (page, last) => {
      place.hidden = last === 0;
      back.disabled = page === 0;
      next.disabled = page === last;
      const words = 'Page ' + (page + 1) + ' of ' + (last + 1);
      if (where.textContent !== words) where.textContent = words;
    };
  };
  return { byId, make, asked, order, sortable, pager };
})();
