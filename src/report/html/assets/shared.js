'use strict';
// What every page with parts of the report needs: the theme, print, filters to copy, values of charts, what markers of the map stand
// for. It keeps nothing and asks nothing of any network.
(() => {
  const root = document.documentElement;
  root.classList.add('scripted');
  const byId = (id) => document.getElementById(id);
  const make = (tag, text, name) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
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
})();
