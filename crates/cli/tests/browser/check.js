// Runs inside a copy of the page. Writes what is wrong with it, one line each, into a pre at the end.
const wrong = [];
const check = (ok, text) => { if (!ok) wrong.push(text); };
const all = (selector) => [...document.querySelectorAll(selector)];
const label = (e) => `<${e.tagName.toLowerCase()}> "${e.textContent.trim().slice(0, 40)}"`;
all('details').forEach((e) => { e.open = true; });

check(document.documentElement.lang, 'the document has no language');
check(document.title.trim(), 'the document has no title');
check(all('meta[name=viewport]').length === 1, 'no viewport');
check(all('h1').length === 1, 'not exactly one h1');
check(all('main').length === 1, 'not exactly one main');
let level = 0;
all('h1,h2,h3,h4,h5,h6').forEach((h) => {
  const mine = Number(h.tagName[1]);
  check(mine <= level + 1, `${label(h)} skips a level after h${level}`);
  check(h.textContent.trim(), 'an empty heading');
  level = mine;
});
const ids = all('[id]').map((e) => e.id);
check(new Set(ids).size === ids.length, 'an id is used twice');
all('a').forEach((a) => {
  check(a.textContent.trim(), 'a link without text');
  check(document.getElementById(decodeURIComponent(a.hash.slice(1))), `${label(a)} points nowhere: ${a.hash}`);
});
all('table').forEach((t) => {
  check(t.caption && t.caption.textContent.trim(), 'a table without caption');
  t.querySelectorAll('th').forEach((th) => check(th.scope, `${label(th)} without scope`));
});
all('[role=region]').forEach((r) => check(r.getAttribute('aria-label'), 'a region without a name'));
all('*').forEach((e) => {
  const scrolls = e.scrollWidth > e.clientWidth + 1 && ['auto', 'scroll'].includes(getComputedStyle(e).overflowX);
  check(!scrolls || e.tabIndex >= 0, `${label(e)} scrolls and cannot be reached by the keyboard`);
});
all('summary').forEach((s) => check(s.getBoundingClientRect().height >= 24, `${label(s)} is too small to be tapped`));
check(document.documentElement.scrollWidth <= window.innerWidth,
  `the page is wider than the screen: ${document.documentElement.scrollWidth} > ${window.innerWidth}`);
check(performance.getEntriesByType('resource').length === 0, 'the page asks for something else');
check(all('script[src],link[rel=stylesheet],img[src]:not([src^="data:"]),iframe').length === 0, 'the page names something else');

// WCAG 2: contrast of text against its background at least 4.5.
const colour = (text) => text.match(/[\d.]+/g).map(Number);
const light = ([r, g, b]) => {
  const part = (v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
  return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
};
const ground = (e) => {
  for (let x = e; x; x = x.parentElement) {
    const c = colour(getComputedStyle(x).backgroundColor);
    if (c.length < 4 || c[3] > 0) return c;
  }
  return [255, 255, 255];
};
all('body *').forEach((e) => {
  const text = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
  if (!text || ['SCRIPT', 'STYLE'].includes(e.tagName)) return;
  const [a, b] = [light(colour(getComputedStyle(e).color)), light(ground(e))];
  const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  check(contrast >= 4.5, `${label(e)} has a contrast of ${contrast.toFixed(1)}`);
  check(parseFloat(getComputedStyle(e).fontSize) >= 12, `${label(e)} is too small to be read`);
});
const verdict = document.createElement('pre');
verdict.id = 'verdict';
verdict.textContent = `${window.innerWidth} wide, ${all('body *').length} elements\n` + [...new Set(wrong)].join('\n');
document.body.append(verdict);
