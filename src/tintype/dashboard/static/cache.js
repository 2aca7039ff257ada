/** The cache of the node that answers: what it holds, and what waits to be fetched. For operators. */

import { glance, session } from './api.js';
import { bytes, confirmed, h } from './dom.js';
import { attempt } from './toasts.js';

class Cache extends HTMLElement {
  async connectedCallback() {
    this.content = h('div');
    this.replaceChildren(h('div.bar', {}, h('h1', {}, 'Cache'), session.rights.clear_cache && h('button.danger', { type: 'button', onclick: () => this.clear() }, 'Drop all')), this.content);
    await this.load();
  }

  async load() {
    await attempt(async () => {
      const { cached_images: kept, queued_images: queued } = await glance.get('cache/');
      const row = (id, text) => h('li', {}, h('a', { href: `#/images/${id}` }, h('code', {}, id)), h('span.muted', {}, text),
        session.rights.clear_cache && h('button', { type: 'button', 'aria-label': `Drop ${id}`, onclick: () => attempt(() => glance.delete(`cache/${id}/`)).then(() => this.load()) }, 'Drop'));
      this.content.replaceChildren(h('ul.rows.card', { hidden: !kept.length && !queued.length },
        kept.map((each) => row(each.image_id, `${bytes(each.size)}, used ${each.hits} times`)), queued.map((id) => row(id, 'waiting to be fetched'))));
      if (!kept.length && !queued.length) this.content.append(h('div.empty', {}, h('h2', {}, 'The cache is empty'), h('p', {}, 'Images are cached when they are downloaded.')));
    });
  }

  async clear() {
    if (!await confirmed('Clear the cache?', 'Images stay in their stores; the next downloads fetch them again.', 'Drop all')) return;
    await attempt(() => glance.delete('cache/'), 'The cache is empty.');
    this.load();
  }
}
customElements.define('tt-cache', Cache);
