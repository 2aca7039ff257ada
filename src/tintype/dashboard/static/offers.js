/** Images that other projects share with this one. */

import { glance, session } from './api.js';
import { badge, bytes, h, keepingFocus } from './dom.js';
import { answers, project } from './sharing.js';
import { complain } from './toasts.js';

class Offers extends HTMLElement {
  async connectedCallback() {
    this.list = h('ul.rows.card', { hidden: true });
    this.empty = h('div.empty', { hidden: true }, h('h2', {}, 'No project shares an image with you'),
      h('p', {}, 'To share with you, others need your project\'s ID: ', h('code', {}, session.project.id)));
    this.replaceChildren(h('h1', {}, 'Shared with me'), this.list, this.empty);
    await this.load();
  }

  async load() {
    let items;
    try {
      ({ items } = await glance.get('offers/'));
    } catch (failure) {
      complain(failure);
      return;
    }
    keepingFocus(this, () => this.list.replaceChildren(...items.map((image) => this.row(image))));
    this.list.hidden = items.length === 0;
    this.empty.hidden = items.length > 0;
  }

  row(image) {
    const about = [image.disk_format, image.size && bytes(image.size)].filter(Boolean).join(', ');
    return h('li', {}, h('span', {}, h('a', { href: `#/images/${image.id}` }, image.name || image.id), ' ', h('span.muted', {}, about)),
      h('span', {}, 'from ', project(image.owner, image.owner_name)), badge(image.member_status),
      answers(image.id, image.member_status, () => this.load()));
  }
}
customElements.define('tt-offers', Offers);
