/** What the service does for the project: imports and copies, and how they ended. */

import { glance } from './api.js';
import { badge, bytes, h, keepingFocus, when } from './dom.js';
import { importAgain } from './edit.js';
import { tasks } from './events.js';
import { attempt } from './toasts.js';

const TYPES = { api_image_import: 'Import', import: 'Import', location_import: 'Location' };

/** Whether a task is a failed import whose image still waits for its data. */
export function canStartAgain(task) {
  return task.status === 'failure' && task.image_status === 'queued' && TYPES[task.type] === 'Import';
}

class Tasks extends HTMLElement {
  connectedCallback() {
    this.body = h('tbody');
    this.table = h('table', {}, h('caption.hidden', {}, 'Tasks'),
      h('thead', {}, h('tr', {}, ['State', 'Type', 'Image', 'Progress', 'Started', ''].map((text) => h('th', { scope: 'col' }, text || h('span.hidden', {}, 'Actions'))))), this.body);
    this.empty = h('div.empty', {}, h('h2', {}, 'No tasks'), h('p', {}, 'Imports from the web and copies between stores are shown here while they run, and for two days afterwards.'));
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
    const name = task.image_name || task.image_id?.slice(0, 8);
    return h('tr', {},
      h('td', { 'data-label': 'State' }, badge(task.status)),
      h('td', { 'data-label': 'Type' }, TYPES[task.type] ?? task.type),
      h('td.name', { 'data-label': 'Image' }, task.image_id && (task.image_status ? h('a', { href: `#/images/${task.image_id}`, title: task.image_id }, name) : [h('code', {}, name), ' (deleted)'])),
      h('td.message', { 'data-label': 'Progress' }, far),
      h('td', { 'data-label': 'Started' }, when(task.created_at)),
      h('td', {}, live && h('button', { type: 'button', 'aria-label': `Stop the task of ${name}`,
        onclick: () => attempt(() => glance.post(`tasks/${task.id}/actions/cancel/`), 'The task will stop soon.') }, 'Stop'),
      canStartAgain(task) && h('button', { type: 'button', 'aria-label': `Import ${name} again`, onclick: () => attempt(() => importAgain(task.image_id)) }, 'Import again')));
  }
}
customElements.define('tt-tasks', Tasks);
