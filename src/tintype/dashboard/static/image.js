/** One image: its attributes, what can be done with it, with whom it is shared, where its copies are. */

import { address, glance, session } from './api.js';
import { badge, bytes, confirmed, h, keepingFocus, when } from './dom.js';
import { editImage, importAgain, loadImage } from './edit.js';
import { atWork, tasks } from './events.js';
import { removeLater } from './images.js';
import { OWN, editProperties } from './properties.js';
import { project, sharing } from './sharing.js';
import { attempt, complain } from './toasts.js';
import { begin, uploads } from './uploads.js';

class OneImage extends HTMLElement {
  async connectedCallback() {
    this.progress = (event) => {
      if (event.detail.ended.some((task) => task.image_id === this.image)) this.load();
      else this.mark();
    };
    this.again = () => this.load();
    tasks.addEventListener('change', this.progress);
    uploads.addEventListener('ended', this.again);
    await this.load();
  }

  disconnectedCallback() {
    tasks.removeEventListener('change', this.progress);
    uploads.removeEventListener('ended', this.again);
  }

  get path() {
    return `images/${encodeURIComponent(this.image)}/`;
  }

  /** Load everything, then show it at once; of several loads the newest counts. */
  async load() {
    const turn = this.turn = (this.turn ?? 0) + 1;
    const list = async (path) => {
      try {
        return (await glance.get(path)).items;
      } catch (failure) {
        complain(failure);
        return [];
      }
    };
    let image;
    try {
      image = await loadImage(this.image);
    } catch (failure) {
      this.replaceChildren(h('div.empty', {}, h('h1', {}, 'No such image'), h('p', {}, failure.message),
        h('a', { href: '#/images' }, 'Back to the list')));
      return;
    }
    const [members, stores, history] = await Promise.all([
      image.visibility === 'shared' ? list(`${this.path}members/`) : [], list('stores/'), list(`${this.path}tasks/`)]);
    if (turn !== this.turn || !this.isConnected) return;
    document.title = `${image.name || image.id} – Tintype`;
    keepingFocus(this, () => this.draw(image, members, stores, history));
    this.mark();
  }

  draw(image, members, stores, history) {
    const can = (action) => image.rights.actions.includes(action);
    this.work = h('p.work', { role: 'status' });
    this.replaceChildren(h('div', {},
      h('p', {}, h('a', { href: '#/images' }, '← Images')),
      h('div.bar', {}, h('h1', {}, h('bdi', {}, image.name || image.id), ' ', badge(image.status)), this.actions(image, can)),
      image.properties.os_glance_failed_reason && h('p.error', {}, `The last upload or import failed: ${image.properties.os_glance_failed_reason}`),
      this.work, h('div.columns', {}, this.facts(image, can), this.properties(image, can)), h('div.columns', {}, sharing(image, can, members, this), this.copies(image, can, stores)),
      this.history(history)));
  }

  /** Do something to the image, then show it as it is now. */
  async act(what, said) {
    if (await attempt(what, said)) await this.load();
  }

  set(values, said) {
    return this.act(() => glance.patch(`${this.path}properties/`, { updated: values, removed: [] }), said);
  }

  actions(image, can) {
    const { protected: kept, status, properties: { os_hidden: hidden } } = image;
    const button = (text, act, properties) => h('button', { type: 'button', onclick: act, ...properties }, text);
    const name = image.name || image.id;
    const queued = status === 'queued';
    const imports = session.service.import_methods.includes('web-download');
    return h('div.buttons', {},
      can('download') && ['active', 'deactivated'].includes(status) && h('a.button', { href: address(`glance/${this.path}file/`), download: '' }, 'Download'),
      can('upload') && queued && button('Upload a file', () => this.pick(image)),
      can('import') && queued && imports && button(image.properties.os_glance_failed_reason ? 'Import again' : 'Import from the web',
        () => attempt(() => importAgain(image.id, () => this.load()))),
      can('modify') && button('Edit', () => editImage(image, () => this.load())),
      can('modify') && button(kept ? 'Lift protection' : 'Protect', () => this.set({ protected: !kept }, kept ? `${name} can be deleted now.` : `${name} is protected.`)),
      can('modify') && button(hidden ? 'Show in lists' : 'Hide', () => this.set({ os_hidden: hidden ? 'false' : 'true' }, hidden ? `${name} is in lists again.` : `${name} is hidden from lists.`)),
      can('cache') && session.service.cache && status === 'active'
        && button('Add to cache', () => this.act(() => glance.put(`cache/${image.id}/`), `${name} is being fetched into this node's cache.`)),
      can('deactivate') && status === 'active' && button('Deactivate', () => this.act(() => glance.post(`${this.path}actions/deactivate/`), `${name} cannot be used now.`)),
      can('reactivate') && status === 'deactivated' && button('Reactivate', () => this.act(() => glance.post(`${this.path}actions/reactivate/`), `${name} can be used again.`)),
      can('delete') && button('Delete', () => this.leave(image), { class: 'danger', disabled: kept, title: kept ? 'Protected: lift the protection first' : null }));
  }

  pick(image) {
    const input = h('input', { type: 'file', onchange: () => input.files[0] && begin(image.id, input.files[0]) });
    input.click();
  }

  leave(image) {
    removeLater([image]);
    location.hash = '#/images';
  }

  facts(image, can) {
    const { properties: more } = image;
    const rows = [
      ['ID', h('code', {}, image.id)],
      ['Owner', project(image.owner, image.owner_name)],
      ['Visibility', image.visibility],
      ['Format', `${image.disk_format ?? 'not set'} in ${image.container_format ?? 'not set'}`],
      ['Size', image.size || image.checksum ? `${bytes(image.size)} (${image.size.toLocaleString()} bytes)` : 'no data yet'],
      more.virtual_size && ['Virtual size', bytes(more.virtual_size)],
      ['Requires', `${image.min_disk} GB disk, ${image.min_ram} MB memory`],
      image.checksum && ['MD5', h('code', {}, image.checksum)],
      more.os_hash_value && [more.os_hash_algo.toUpperCase(), h('code', {}, more.os_hash_value)],
      ['Created', when(image.created_at)],
      ['Updated', when(image.updated_at)],
    ];
    return h('section.card', { 'aria-labelledby': 'facts' }, h('h2', { id: 'facts' }, 'Facts'),
      h('dl', {}, rows.filter(Boolean).map(([term, value]) => [h('dt', {}, term), h('dd', {}, value)])), this.tags(image, can('modify')));
  }

  tags(image, mine) {
    const { properties: { tags } } = image;
    const path = (tag) => `${this.path}tags/${encodeURIComponent(tag)}/`;
    const add = (event) => {
      event.preventDefault();
      const tag = event.target.elements.tag.value.trim();
      if (tag) this.act(() => glance.put(path(tag)));
    };
    return [h('h3', {}, 'Tags'), h('ul.tags', {}, tags.map((tag) => h('li', {}, tag,
      mine && h('button.quiet', { type: 'button', 'aria-label': `Remove tag ${tag}`, onclick: () => this.act(() => glance.delete(path(tag))) }, '✕')))),
    tags.length === 0 && h('p.muted', {}, 'None.'),
    mine && h('form.inline', { onsubmit: add }, h('input', { name: 'tag', 'aria-label': 'New tag', placeholder: 'New tag', maxlength: 255 }), h('button', {}, 'Add'))];
  }

  properties(image, can) {
    const custom = Object.entries(image.properties).filter(([name]) => !OWN.has(name));
    if (image.architecture !== null) custom.unshift(['architecture', image.architecture]);
    return h('section.card', { 'aria-labelledby': 'properties' },
      h('div.bar', {}, h('h2', { id: 'properties' }, 'Properties'),
        can('modify') && h('button', { type: 'button', onclick: () => editProperties(this.path, Object.fromEntries(custom), image.rights, () => this.load()) }, 'Edit properties')),
      custom.length ? h('dl', {}, custom.map(([name, value]) => [h('dt', {}, name), h('dd', {}, String(value))]))
        : h('p.muted', {}, 'None. Properties tell a cloud how to run the image: its operating system, devices and requirements.'));
  }

  copies(image, can, stores) {
    const there = (image.properties.stores ?? '').split(',').filter(Boolean);
    const left = stores.filter((store) => !there.includes(store.id) && store['read-only'] !== 'true');
    const active = image.status === 'active';
    const copies = can('copy') && active && session.service.import_methods.includes('copy-image');
    const remove = async (store) => {
      if (await confirmed('Delete this copy?', `The copy in ${store} will be deleted; those in other stores stay.`, 'Delete copy')) {
        this.act(() => glance.delete(`${this.path}copies/${encodeURIComponent(store)}/`), `The copy in ${store} is deleted.`);
      }
    };
    const copy = (store) => this.act(() => glance.post(`${this.path}copies/`, { stores: [store] }), `Copying to ${store} …`);
    return h('section.card', { 'aria-labelledby': 'copies' }, h('h2', { id: 'copies' }, 'Copies'),
      h('ul.rows', {}, there.map((store) => h('li', {}, h('span', {}, store),
        can('delete_copy') && active && there.length > 1 && h('button', { type: 'button', 'aria-label': `Delete copy in ${store}`, onclick: () => remove(store) }, 'Delete copy'))),
      copies && left.map((store) => h('li', {}, h('span.muted', {}, store.description ? `${store.id}: ${store.description}` : store.id),
        h('button', { type: 'button', 'aria-label': `Copy to ${store.id}`, onclick: () => copy(store.id) }, 'Copy')))),
      there.length === 0 && h('p.muted', {}, 'Not in any store yet.'));
  }

  history(items) {
    if (!items.length) return null;
    return h('section.card', { 'aria-labelledby': 'history' }, h('h2', { id: 'history' }, 'Tasks'),
      h('ul.rows', {}, items.map((task) => h('li', {}, badge(task.status), h('span', {}, task.input?.import_req?.method?.name ?? task.type), h('span.muted', {}, task.message), when(task.created_at)))));
  }

  mark() {
    if (!this.work) return undefined;  // nothing is drawn yet
    const task = atWork(this.image);
    if (!task) return this.work.replaceChildren();
    const far = task.bytes_total ? `${bytes(task.bytes)} of ${bytes(task.bytes_total)}` : bytes(task.bytes);
    const bar = h('progress', { max: task.bytes_total || 1, 'aria-label': 'Import', ...(task.bytes_total ? { value: task.bytes } : {}) });
    const stop = h('button', { type: 'button', onclick: () => attempt(() => glance.post(`tasks/${task.id}/actions/cancel/`), 'The import will stop soon.') }, 'Stop');
    return this.work.replaceChildren(bar, h('span', {}, task.status === 'pending' ? 'Waiting to start' : `Copied ${far}`), stop);
  }
}
customElements.define('tt-image', OneImage);
