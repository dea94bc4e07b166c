// What a reader would see of a report, as one object: the body of a function that runs in the page.
const shown = (element) => element.checkVisibility();
const all = (selector) => [...document.querySelectorAll(selector)].filter(shown);

// Folded parts would have no size.
document.querySelectorAll('details').forEach((details) => { details.open = true; });

const colour = (text) => (text.match(/[\d.]+/g) ?? []).map(Number);
const luminance = ([r, g, b]) => {
  const linear = [r, g, b].map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
};
const contrast = (a, b) => {
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
};
const behind = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const filled = colour(getComputedStyle(at).backgroundColor);
    if (filled.length === 3 || filled[3] > 0) return filled;
  }
  return [255, 255, 255];
};

const broken = [];
const about = (element) => `${element.tagName} ${element.getAttribute('class')} ${(element.getAttribute('d') ?? element.textContent).slice(0, 60)}`;

const paths = all('svg path');
for (const path of paths) {
  const box = path.getBBox();
  const view = path.ownerSVGElement.viewBox.baseVal;
  const inside = box.x >= -1 && box.y >= -1 && box.x + box.width <= view.width + 1 && box.y + box.height <= view.height + 1;
  if (!(path.getTotalLength() > 0) || !inside || /NaN|inf/.test(path.getAttribute('d'))) broken.push(`path: ${about(path)}`);
}

const lines = all('svg .line, svg .interval, svg .capacity');
for (const line of lines) {
  const stroke = colour(getComputedStyle(line).stroke);
  if (stroke.length < 3 || contrast(stroke, behind(line)) < 3) broken.push(`pale line: ${about(line)}`);
}

const texts = all('svg text');
for (const text of texts) {
  const box = text.getBoundingClientRect();
  const frame = text.ownerSVGElement.getBoundingClientRect();
  if (box.left < frame.left || box.right > frame.right || box.top < frame.top || box.bottom > frame.bottom) {
    broken.push(`text beyond the edge: ${about(text)}`);
  }
}
for (const svg of all('svg')) {
  const boxes = [...svg.querySelectorAll('text')].map((text) => [text, text.getBoundingClientRect()]);
  boxes.forEach(([one, a], index) => {
    for (const [other, b] of boxes.slice(index + 1)) {
      const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (across > 1 && down > 3) broken.push(`texts over one another: ${about(one)} / ${about(other)}`);
    }
  });
}
for (const element of [...all('svg text'), ...all('th, td, p, li, h1, h2, h3, summary, .verdict, .sub, .what, .figure')]) {
  if (!element.textContent.trim()) continue;
  const style = getComputedStyle(element);
  const ink = colour(element.ownerSVGElement ? style.fill : style.color);
  if (contrast(ink, behind(element)) < 4.5) broken.push(`pale text: ${about(element)}`);
}

const count = (selector) => all(selector).length;
return {
  title: document.title,
  heading: document.querySelector('h1').textContent,
  broken,
  paths: paths.length,
  corrected: count('.spectrum path.corrected'),
  uncorrected: count('.spectrum path.uncorrected'),
  timelines: count('figure.timeline'),
  throughput: count('.timeline path.line.throughput'),
  p99: count('.timeline path.line.p99'),
  cpu: count('.timeline path.cpu'),
  memory: count('.timeline path.memory'),
  gaps: count('.timeline rect.gap'),
  intervals: count('.comparison path.interval'),
  steps: count('figure.sweep circle'),
  courses: count('.values path.course'),
  verdicts: all('.verdict').map((verdict) => verdict.textContent.trim().split(' ').pop()),
  findings: all('.findings li').length,
  pointers: count('.pointers rect'),
  scripts: document.scripts.length + document.images.length + document.querySelectorAll('iframe, object, embed').length,
  owned: window.owned ?? null,
  overflow: document.documentElement.scrollWidth - window.innerWidth,
  height: document.documentElement.scrollHeight,
};
