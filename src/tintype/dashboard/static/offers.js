/** Images that other projects share with this one. */

import { glance, session } from './api.js';
import { badge, bytes, h } from './dom.js';
import { answers, offered } from './image.js';
import { complain } from './toasts.js';

class Offers extends HTMLElement {
  async connectedCallback() {
    this.list = h('ul.rows.card');
    this.replaceChildren(h('h1', {}, 'Shared with me'), this.list);
    await this.load();
  }

  async load() {
    try {
      const images = await offered();
      const mine = await Promise.all(images.map((image) => glance.get(`images/${image.id}/members/`)
        .then(({ items }) => items.find((member) => member.member_id === session.project.id)).catch(() => null)));
      this.list.replaceChildren(...images.map((image, at) => h('li', {}, h('a', { href: `#/images/${image.id}` }, image.name || image.id),
        h('span.muted', {}, `${image.disk_format ?? ''} ${image.size ? bytes(image.size) : ''}`), mine[at] && badge(mine[at].status),
        mine[at] && answers(image.id, mine[at].status, () => this.load()))));
      this.list.hidden = images.length === 0;
      if (!images.length) {
        this.append(h('div.empty', {}, h('h2', {}, 'Nobody shares an image with you'),
          h('p', {}, `Who wants to needs the id of your project: `, h('code', {}, session.project.id))));
      }
    } catch (failure) {
      complain(failure);
    }
  }
}
customElements.define('tt-offers', Offers);
