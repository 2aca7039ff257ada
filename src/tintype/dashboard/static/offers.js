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
      const found = await offered();
      this.list.replaceChildren(...found.map(({ image, member }) => h('li', {}, h('a', { href: `#/images/${image.id}` }, image.name || image.id),
        h('span.muted', {}, `${image.disk_format ?? ''} ${image.size ? bytes(image.size) : ''}`), badge(member.status),
        answers(image.id, member.status, () => this.load()))));
      this.list.hidden = found.length === 0;
      if (!found.length) {
        this.append(h('div.empty', {}, h('h2', {}, 'Nobody shares an image with you'),
          h('p', {}, `Who wants to needs the id of your project: `, h('code', {}, session.project.id))));
      }
    } catch (failure) {
      complain(failure);
    }
  }
}
customElements.define('tt-offers', Offers);
