/** The list of images: searched, filtered, sorted, a page at a time; files can be dropped on it. */

import { ROOT, changes, glance, query, session } from './api.js';
import { VISIBILITIES, badge, bytes, h, keepingFocus, plural, same, select, settled, when } from './dom.js';
import { atWork, tasks } from './events.js';
import { attempt, complain, say } from './toasts.js';
import { uploads } from './uploads.js';

const COLUMNS = [
  ['name', 'Name'], ['status', 'Status'], [null, 'Visibility'], ['disk_format', 'Format'], ['size', 'Size'], ['created_at', 'Created'],
];
const FILTERS = ['visibility', 'status', 'disk_format', 'protected', 'os_hidden'];
const STATUSES = ['queued', 'saving', 'importing', 'uploading', 'active', 'deactivated'];
const SIZES = ['10', '20', '50', '100'];
const SIZE_COOKIE = 'API_RESULT_PAGE_SIZE';
const leaving = new Set();
const wide = matchMedia('(width >= 46rem)');

function pageSize() {
  return document.cookie.match(new RegExp(`(?:^|; )${SIZE_COOKIE}=(\\d+)`))?.[1] ?? '20';
}

class Images extends HTMLElement {
  #asked = new URLSearchParams();

  get asked() {
    return this.#asked;
  }

  /** What the page's address asks for; the controls follow it. */
  set asked(values) {
    this.#asked = values;
    if (!this.isConnected) return;
    const form = this.filters();
    this.form.replaceWith(form);
    this.form = form;
    this.refresh();
  }

  connectedCallback() {
    this.selected = new Set();
    this.count = h('p.muted', { role: 'status' });
    this.body = h('tbody');
    this.pager = h('nav.pager', { 'aria-label': 'Pages' });
    this.empty = h('div.empty', { hidden: true });
    this.batch = h('button.danger', { type: 'button', onclick: () => this.removeSelected() });
    this.bulk = h('div.bulk', { hidden: true, role: 'group', 'aria-label': 'Selected images' }, this.batch,
      h('button', { type: 'button', onclick: () => this.unselect() }, 'Clear selection'));
    this.head = h('tr');
    this.form = this.filters();
    this.table = h('table', {}, h('caption.hidden', {}, 'Images'), h('thead', {}, this.head), this.body);
    this.replaceChildren(
      h('div.bar', {}, h('h1', { tabindex: -1 }, 'Images'),
        session.rights.create && h('button.primary', { type: 'button', onclick: () => this.create() }, 'New image')),
      this.form, this.count, this.bulk, this.table, this.empty, this.pager);
    this.fresh = settled(() => this.refresh(), 300);
    this.progress = (event) => {
      if (event.detail.ended.length) this.fresh();
      this.mark();
    };
    tasks.addEventListener('change', this.progress);
    uploads.addEventListener('ended', this.fresh);
    uploads.addEventListener('list', this.fresh);
    changes.addEventListener('images', this.fresh);
    if (session.rights.create) this.dropping();
    this.refresh();
  }

  disconnectedCallback() {
    tasks.removeEventListener('change', this.progress);
    uploads.removeEventListener('ended', this.fresh);
    uploads.removeEventListener('list', this.fresh);
    changes.removeEventListener('images', this.fresh);
    this.stopDropping?.();
  }

  filters() {
    const search = h('input', { type: 'search', placeholder: 'Name or ID', 'aria-label': 'Search by name or ID', value: this.#asked.get('search') ?? '',
      oninput: settled((event) => this.ask({ search: event.target.value }, 'replaceState'), 250) });
    const choose = (name, label, options) => select([['', label], ...options], this.#asked.get(name) ?? '',
      { 'aria-label': label, name, onchange: (event) => this.ask({ [name]: event.target.value }) });
    const chosen = FILTERS.filter((name) => this.#asked.get(name)).length;
    const more = h('details', { open: wide.matches || chosen > 0 }, h('summary', {}, chosen ? `Filters (${chosen})` : 'Filters'), h('div', {},
      choose('visibility', 'Any visibility', same(VISIBILITIES)),
      choose('status', 'Any status', same(STATUSES)),
      choose('disk_format', 'Any format', same(session.service.disk_formats)),
      choose('protected', 'Protected or not', [['True', 'protected'], ['False', 'not protected']]),
      choose('os_hidden', 'Listed', [['True', 'hidden']])));
    return h('form.filters', { role: 'search', onsubmit: (event) => event.preventDefault() }, search, more);
  }

  /** Ask for another list, from its first page on; each one is in the browser's history, but not each letter of a search. */
  ask(change, keep = 'pushState') {
    const values = { ...Object.fromEntries(this.#asked), marker: '', reversed_order: '', ...change };
    const text = query(values);
    history[keep](null, '', text ? `#/images?${text}` : '#/images');
    this.#asked = new URLSearchParams(text);
    this.refresh();
  }

  clear() {
    history.replaceState(null, '', '#/images');
    this.asked = new URLSearchParams();
    this.form.querySelector('input').focus();
  }

  async refresh() {
    const turn = this.turn = (this.turn ?? 0) + 1;
    this.setAttribute('aria-busy', 'true');
    let found;
    try {
      found = await glance.get(`images/?${query({ ...Object.fromEntries(this.#asked), paginate: 'True', rights: 'True' })}`);
    } catch (failure) {
      if (failure.status === 400 && this.#asked.has('marker')) return this.ask({}, 'replaceState');
      complain(failure);
      return;
    } finally {
      if (turn === this.turn) this.removeAttribute('aria-busy');
    }
    if (turn === this.turn) keepingFocus(this, () => this.draw(found));
  }

  draw({ items, has_more_data: more, has_prev_data: before }) {
    this.items = items.filter((image) => !leaving.has(image.id));
    this.head.replaceChildren(h('th', {}, h('span.hidden', {}, 'Select')), ...COLUMNS.map(([key, text]) => this.column(key, text)));
    this.body.replaceChildren(...this.items.map((image) => this.row(image)));
    const narrowed = [...this.#asked.keys()].some((name) => !['sort_key', 'sort_dir', 'marker', 'reversed_order'].includes(name));
    const none = this.items.length === 0 && !before && !more;
    this.table.hidden = none;
    this.empty.hidden = !none;
    if (none) this.empty.replaceChildren(...this.nothing(narrowed));
    this.count.textContent = none ? '' : `${plural(this.items.length, 'image')} on this page`;
    this.pages(before, more);
    this.mark();
    this.choose();
  }

  column(key, text) {
    if (key === null) return h('th', { scope: 'col' }, text);
    const current = (this.#asked.get('sort_key') ?? 'created_at') === key;
    const descending = (this.#asked.get('sort_dir') ?? 'desc') === 'desc';
    const next = current ? (descending ? 'asc' : 'desc') : (key === 'name' ? 'asc' : 'desc');
    return h('th', { scope: 'col', 'aria-sort': current ? (descending ? 'descending' : 'ascending') : null },
      h('button.sort', { type: 'button', onclick: () => this.ask({ sort_key: key, sort_dir: next }) }, text,
        current && h('span', { 'aria-hidden': 'true' }, descending ? ' ↓' : ' ↑')));
  }

  row(image) {
    const mine = image.owner === session.project.id;
    return h('tr', { 'data-id': image.id },
      h('td.pick', {}, image.rights.actions.includes('delete') && this.box(image)),
      h('td.name', {}, h('a', { href: `#/images/${encodeURIComponent(image.id)}` }, image.name || h('i', {}, image.id)),
        image.protected && h('small.tag', {}, 'protected'), !mine && h('small.tag', {}, 'other project')),
      h('td', { 'data-label': 'Status' }, badge(image.status), h('small.progress', {})),
      h('td', { 'data-label': 'Visibility' }, image.visibility),
      h('td', { 'data-label': 'Format' }, image.disk_format ?? '–'),
      h('td.number', { 'data-label': 'Size' }, image.size || image.checksum ? bytes(image.size) : '–'),
      h('td', { 'data-label': 'Created' }, when(image.created_at)));
  }

  /** What selects an image for an action on several; only images that the person may delete have one. */
  box(image) {
    const box = h('input', { type: 'checkbox', 'aria-label': `Select ${image.name || image.id}`,
      onchange: () => { this.selected[box.checked ? 'add' : 'delete'](image.id); this.choose(); } });
    box.checked = this.selected.has(image.id);
    return box;
  }

  nothing(narrowed) {
    if (narrowed) {
      return [h('h2', {}, 'No matching images'), h('p', {}, 'Other filters may find more.'),
        h('button', { type: 'button', onclick: () => this.clear() }, 'Clear filters')];
    }
    if (!session.rights.create) return [h('h2', {}, 'No images yet'), h('p', {}, 'You may not create images in this project.')];
    return [h('h2', {}, 'No images yet'),
      h('p', {}, 'Drop a disk image on this page (qcow2, raw, vmdk, iso …), or import one from the web.'),
      h('button.primary', { type: 'button', onclick: () => this.create() }, 'New image')];
  }

  pages(before, more) {
    const size = select(SIZES.map((each) => [each, `${each} a page`]), pageSize(), { 'aria-label': 'Images on a page',
      onchange: (event) => { document.cookie = `${SIZE_COOKIE}=${event.target.value}; path=${ROOT}; max-age=31536000; samesite=strict`; this.ask({}); } });
    const go = (text, there, values) => h('button', { type: 'button', disabled: !there, onclick: () => this.ask(values()) }, text);
    this.pager.replaceChildren(
      go('Previous', before, () => ({ marker: this.items[0]?.id, reversed_order: 'True' })),
      go('Next', more, () => ({ marker: this.items.at(-1)?.id })), size);
    this.pager.hidden = this.items.length === 0 && !before && !more;
  }

  /** Show beside images how far their imports are. */
  mark() {
    for (const row of this.body.rows) {
      const task = atWork(row.dataset.id);
      const text = task?.bytes_total ? `${Math.floor((100 * task.bytes) / task.bytes_total)} %` : task?.bytes ? bytes(task.bytes) : '';
      row.querySelector('.progress').textContent = text;
    }
  }

  choose() {
    const shown = new Set(this.items.map((image) => image.id));
    this.selected = new Set([...this.selected].filter((id) => shown.has(id)));
    this.bulk.hidden = this.selected.size === 0;
    this.batch.textContent = `Delete ${plural(this.selected.size, 'image')}`;
  }

  unselect() {
    this.selected.clear();
    for (const box of this.body.querySelectorAll('.pick input')) box.checked = false;
    this.choose();
    this.querySelector('h1').focus();
  }

  /** Images are deleted when the message goes: until then nothing has happened, and it can be undone. */
  removeSelected() {
    const gone = this.items.filter((image) => this.selected.has(image.id));
    const kept = gone.filter((image) => image.protected);
    if (kept.length) return complain(new Error(`${kept[0].name || kept[0].id} is protected. Lift the protection first.`));
    this.selected.clear();
    return removeLater(gone);
  }

  async create(file = null) {
    const { create } = await import('./create.js');
    create(file, () => this.refresh());
  }

  dropping() {
    const over = (event) => {
      if (!event.dataTransfer?.types.includes('Files')) return;
      event.preventDefault();
      this.classList.toggle('over', event.type === 'dragover');
      if (event.type === 'drop') this.create(event.dataTransfer.files[0]);
    };
    const kinds = ['dragover', 'dragleave', 'drop'];
    for (const kind of kinds) addEventListener(kind, over);
    this.stopDropping = () => { for (const kind of kinds) removeEventListener(kind, over); };
  }
}
customElements.define('tt-images', Images);

/** Delete images in a few seconds unless that is undone; a page that is left deletes them at once. */
export function removeLater(images) {
  const what = () => h('bdi', {}, images.length === 1 ? images[0].name || images[0].id : plural(images.length, 'image'));
  const over = () => {
    for (const image of images) leaving.delete(image.id);
    changes.dispatchEvent(new Event('images'));
  };
  const act = async () => {
    await Promise.all(images.map((image) => attempt(() => deleted(image.id))));
    over();
  };
  for (const image of images) leaving.add(image.id);
  changes.dispatchEvent(new Event('images'));
  say([what(), ' will be deleted.'], { action: { text: 'Undo', act: () => { over(); say([what(), ' is kept.']); } }, after: act });
}

async function deleted(id) {
  try {
    await glance.remove(`images/${id}/`);
  } catch (failure) {
    if (failure.status !== 404) throw failure;
  }
}
