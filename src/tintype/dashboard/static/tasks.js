/** What the service does for the project: imports, copies, and how they ended. */

import { glance } from './api.js';
import { badge, bytes, h, keepingFocus, when } from './dom.js';
import { tasks } from './events.js';
import { attempt } from './toasts.js';

const NAMES = { api_image_import: 'Import', import: 'Import', location_import: 'Location' };

class Tasks extends HTMLElement {
  connectedCallback() {
    this.body = h('tbody');
    this.table = h('table', {}, h('caption.hidden', {}, 'Tasks'),
      h('thead', {}, h('tr', {}, ['State', 'What', 'Image', 'How far', 'Begun', ''].map((text) => h('th', { scope: 'col' }, text || h('span.hidden', {}, 'Actions'))))), this.body);
    this.empty = h('div.empty', {}, h('h2', {}, 'No tasks'), h('p', {}, 'Imports from the web and copies between stores are shown here while they go on, and for two days after.'));
    this.replaceChildren(h('h1', {}, 'Tasks'), this.table, this.empty);
    this.draw = () => this.list(tasks.newest);
    tasks.addEventListener('change', this.draw);
    this.draw();
  }

  disconnectedCallback() {
    tasks.removeEventListener('change', this.draw);
  }

  list(items) {
    this.table.hidden = items.length === 0;
    this.empty.hidden = items.length > 0;
    keepingFocus(this, () => this.body.replaceChildren(...items.map((task) => this.row(task))));
  }

  row(task) {
    const live = ['pending', 'processing'].includes(task.status);
    const far = live && task.bytes_total
      ? [h('progress', { max: task.bytes_total, value: task.bytes, 'aria-label': 'Progress' }), ` ${bytes(task.bytes)} of ${bytes(task.bytes_total)}`]
      : task.message || (task.bytes ? bytes(task.bytes) : '');
    return h('tr', {},
      h('td', { 'data-label': 'State' }, badge(task.status)),
      h('td', { 'data-label': 'What' }, NAMES[task.type] ?? task.type),
      h('td', { 'data-label': 'Image' }, task.image_id && h('a', { href: `#/images/${task.image_id}` }, h('code', {}, task.image_id.slice(0, 8)))),
      h('td', { 'data-label': 'How far' }, far),
      h('td', { 'data-label': 'Begun' }, when(task.created_at)),
      h('td', {}, live && h('button', { type: 'button', 'aria-label': `Stop task ${task.id}`,
        onclick: () => attempt(() => glance.post(`tasks/${task.id}/actions/cancel/`), 'It ends soon.') }, 'Stop')));
  }
}
customElements.define('tt-tasks', Tasks);
