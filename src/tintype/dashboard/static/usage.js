/** What the project uses of its quotas. */

import { glance, session } from './api.js';
import { bytes, h } from './dom.js';
import { complain } from './toasts.js';

const MEASURES = {
  image_count_total: ['Images', (count) => count.toLocaleString()],
  image_size_total: ['Stored bytes', (count) => bytes(count * 1024 * 1024)],
  image_stage_total: ['Staged for imports', (count) => bytes(count * 1024 * 1024)],
  image_count_uploading: ['Uploads and imports at once', (count) => count.toLocaleString()],
};
const SVG = 'http://www.w3.org/2000/svg';
const ROUND = 2 * Math.PI * 42;

/** A ring, filled to a share. */
function ring(share) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 100 100');
  svg.setAttribute('aria-hidden', 'true');
  for (const [kind, part] of [['track', 1], ['fill', share]]) {
    const circle = document.createElementNS(SVG, 'circle');
    for (const [name, value] of Object.entries({ cx: 50, cy: 50, r: 42, class: kind, 'stroke-dasharray': `${part * ROUND} ${ROUND}` })) circle.setAttribute(name, value);
    svg.append(circle);
  }
  return svg;
}

class Usage extends HTMLElement {
  async connectedCallback() {
    this.replaceChildren(h('h1', {}, 'Usage'), h('p.muted', {}, `Project ${session.project.name}`));
    try {
      const used = await glance.get('usage/');
      this.append(h('ul.rings', {}, Object.entries(MEASURES).filter(([name]) => used[name]).map(([name, [title, words]]) => {
        const { usage, limit } = used[name];
        const limited = limit >= 0;
        const share = limited ? Math.min(1, limit ? usage / limit : 1) : 0;
        return h('li.card', { 'data-full': share >= 0.9 ? 'yes' : null }, ring(share), h('h2', {}, title),
          h('p.figure', {}, words(usage)), h('p.muted', {}, limited ? `of ${words(limit)}: ${Math.round(100 * share)} %` : 'no limit'));
      })));
    } catch (failure) {
      complain(failure);
    }
  }
}
customElements.define('tt-usage', Usage);
