/** One image: what it is, what may be done with it, with whom it is shared, where its copies are. */

import { changes, glance, query, session } from './api.js';
import { VISIBILITIES, badge, bytes, confirmed, dialog, field, h, keepingFocus, same, select, when } from './dom.js';
import { atWork, tasks } from './events.js';
import { removeLater } from './images.js';
import { editProperties } from './properties.js';
import { attempt, complain, say } from './toasts.js';
import { begin, uploads } from './uploads.js';

const OWN = new Set(['os_hidden', 'os_hash_algo', 'os_hash_value', 'stores', 'file', 'schema', 'tags', 'virtual_size', 'locations', 'direct_url',
  'os_glance_failed_reason', 'os_glance_importing_to_stores', 'os_glance_failed_import', 'os_glance_import_task']);

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

  /** Ask for everything, then show it at once; of several answers the newest counts. */
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
      image = await glance.get(this.path);
    } catch (failure) {
      this.replaceChildren(h('div.empty', {}, h('h1', {}, 'No such image'), h('p', {}, failure.message),
        h('a', { href: '#/images' }, 'Back to the images')));
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
    const mine = image.owner === session.project.id || session.is_admin;
    this.work = h('p.work', { role: 'status' });
    this.replaceChildren(h('div', {},
      h('p', {}, h('a', { href: '#/images' }, '← Images')),
      h('div.bar', {}, h('h1', {}, image.name || image.id, ' ', badge(image.status)), this.actions(image, mine)),
      image.properties.os_glance_failed_reason && h('p.error', {}, `The last attempt to bring its bytes failed: ${image.properties.os_glance_failed_reason}`),
      this.work, h('div.columns', {}, this.facts(image), this.properties(image, mine)), h('div.columns', {}, this.sharing(image, mine, members), this.copies(image, mine, stores)),
      this.history(history)));
  }

  /** Do something to the image, and show what came of it. */
  async act(what, said) {
    if (await attempt(what, said)) await this.load();
  }

  set(values, said) {
    return this.act(() => glance.patch(`${this.path}properties/`, { updated: values, removed: [] }), said);
  }

  actions(image, mine) {
    const { protected: kept, properties: { os_hidden: hidden } } = image;
    const button = (text, act, properties) => h('button', { type: 'button', onclick: act, ...properties }, text);
    const name = image.name || image.id;
    return h('div.buttons', {},
      ['active', 'deactivated'].includes(image.status) && h('a.button', { href: `/api/glance/${this.path}file/`, download: image.name || image.id }, 'Download'),
      mine && image.status === 'queued' && button('Upload a file', () => this.pick(image)),
      mine && button('Edit', () => this.edit(image)),
      mine && button(kept ? 'Lift protection' : 'Protect', () => this.set({ protected: !kept }, kept ? `${name} may be deleted now.` : `${name} is protected.`)),
      mine && button(hidden ? 'Show in lists' : 'Hide', () => this.set({ os_hidden: hidden ? 'false' : 'true' }, hidden ? `${name} is in lists again.` : `${name} is hidden from lists.`)),
      session.is_admin && session.service.cache && image.status === 'active'
        && button('Keep near', () => this.act(() => glance.put(`cache/${image.id}/`), `${name} is fetched to this node.`)),
      session.is_admin && image.status === 'active' && button('Deactivate', () => this.act(() => glance.post(`${this.path}actions/deactivate/`), `${name} cannot be used now.`)),
      session.is_admin && image.status === 'deactivated' && button('Reactivate', () => this.act(() => glance.post(`${this.path}actions/reactivate/`), `${name} can be used again.`)),
      mine && button('Delete', () => this.leave(image), { class: 'danger', disabled: kept, title: kept ? 'Protected: lift the protection first' : null }));
  }

  pick(image) {
    const input = h('input', { type: 'file', onchange: () => input.files[0] && begin(image.id, input.files[0]) });
    input.click();
  }

  leave(image) {
    removeLater([image]);
    location.hash = '#/images';
  }

  facts(image) {
    const { properties: more } = image;
    const rows = [
      ['Id', h('code', {}, image.id)],
      ['Owner', image.owner === session.project.id ? `${session.project.name} (this project)` : h('code', {}, image.owner ?? '–')],
      ['Visibility', image.visibility],
      ['Format', `${image.disk_format ?? '–'} in ${image.container_format ?? '–'}`],
      ['Size', image.size || image.checksum ? `${bytes(image.size)} (${image.size.toLocaleString()} bytes)` : 'no bytes yet'],
      more.virtual_size && ['Virtual size', bytes(more.virtual_size)],
      ['Needs at least', `${image.min_disk} GB disk, ${image.min_ram} MB memory`],
      image.checksum && ['MD5', h('code', {}, image.checksum)],
      more.os_hash_value && [more.os_hash_algo.toUpperCase(), h('code', {}, more.os_hash_value)],
      ['Created', when(image.created_at)],
      ['Changed', when(image.updated_at)],
    ];
    return h('section.card', { 'aria-labelledby': 'facts' }, h('h2', { id: 'facts' }, 'Facts'),
      h('dl', {}, rows.filter(Boolean).map(([term, value]) => [h('dt', {}, term), h('dd', {}, value)])), this.tags(image));
  }

  tags(image) {
    const { properties: { tags } } = image;
    const path = (tag) => `${this.path}tags/${encodeURIComponent(tag)}/`;
    const mine = image.owner === session.project.id || session.is_admin;
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

  properties(image, mine) {
    const custom = Object.entries(image.properties).filter(([name]) => !OWN.has(name));
    if (image.architecture !== null) custom.unshift(['architecture', image.architecture]);
    return h('section.card', { 'aria-labelledby': 'properties' },
      h('div.bar', {}, h('h2', { id: 'properties' }, 'Properties'),
        mine && h('button', { type: 'button', onclick: () => editProperties(this.path, Object.fromEntries(custom), () => this.load()) }, 'Edit properties')),
      custom.length ? h('dl', {}, custom.map(([name, value]) => [h('dt', {}, name), h('dd', {}, String(value))]))
        : h('p.muted', {}, 'None. Properties tell a cloud how to run an image: its system, its buses, its needs.'));
  }

  sharing(image, mine, members) {
    const section = h('section.card', { 'aria-labelledby': 'sharing' }, h('h2', { id: 'sharing' }, 'Sharing'));
    if (image.visibility !== 'shared') {
      section.append(h('p.muted', {}, image.visibility === 'private' ? 'Only this project sees it.' : `It is ${image.visibility}: others see it already.`));
      if (mine && image.visibility === 'private') {
        section.append(h('button', { type: 'button', onclick: () => this.set({ visibility: 'shared' }, 'It can be shared now: add projects.') }, 'Share with projects'));
      }
      return section;
    }
    const one = (member) => `${this.path}members/${encodeURIComponent(member.member_id)}/`;
    const own = (member) => member.member_id === session.project.id;
    section.append(h('ul.rows', {}, members.map((member) => h('li', {}, h('code', {}, own(member) ? session.project.name : member.member_id), badge(member.status),
      own(member) && answers(image.id, member.status, () => this.load()),
      mine && image.owner !== member.member_id && h('button', { type: 'button', 'aria-label': `Stop sharing with ${member.member_id}`,
        onclick: () => this.act(() => glance.delete(one(member)), 'No longer shared.') }, 'Stop sharing')))));
    if (!members.length) section.append(h('p.muted', {}, 'Shared with nobody yet.'));
    if (mine) {
      const share = (event) => {
        event.preventDefault();
        const member = event.target.elements.member.value.trim();
        if (member) this.act(() => glance.post(`${this.path}members/`, { member }), 'Shared. The other project may accept it now.');
      };
      section.append(h('form.inline', { onsubmit: share },
        h('input', { name: 'member', 'aria-label': 'Project to share with', placeholder: 'Project name or id', required: true }), h('button', {}, 'Share')));
    }
    return section;
  }

  copies(image, mine, stores) {
    const there = (image.properties.stores ?? '').split(',').filter(Boolean);
    const left = stores.filter((store) => !there.includes(store.id) && store['read-only'] !== 'true');
    const can = mine && image.status === 'active' && session.service.import_methods.includes('copy-image');
    const take = async (store) => {
      if (await confirmed('Delete this copy?', `The copy in ${store} goes; those in other stores stay.`, 'Delete copy')) {
        this.act(() => glance.delete(`${this.path}copies/${encodeURIComponent(store)}/`), `The copy in ${store} is gone.`);
      }
    };
    const copy = (store) => this.act(() => glance.post(`${this.path}copies/`, { stores: [store] }), `Copying to ${store} …`);
    return h('section.card', { 'aria-labelledby': 'copies' }, h('h2', { id: 'copies' }, 'Copies'),
      h('ul.rows', {}, there.map((store) => h('li', {}, h('span', {}, store),
        can && there.length > 1 && h('button', { type: 'button', 'aria-label': `Delete copy in ${store}`, onclick: () => take(store) }, 'Delete copy'))),
      can && left.map((store) => h('li', {}, h('span.muted', {}, store.description ? `${store.id}: ${store.description}` : store.id),
        h('button', { type: 'button', 'aria-label': `Copy to ${store.id}`, onclick: () => copy(store.id) }, 'Copy')))),
      there.length === 0 && h('p.muted', {}, 'No bytes in any store yet.'));
  }

  history(items) {
    if (!items.length) return null;
    return h('section.card', { 'aria-labelledby': 'history' }, h('h2', { id: 'history' }, 'Tasks'),
      h('ul.rows', {}, items.map((task) => h('li', {}, badge(task.status), h('span', {}, task.input?.import_req?.method?.name ?? task.type), h('span.muted', {}, task.message), when(task.created_at)))));
  }

  mark() {
    if (!this.work) return undefined;  // nothing is shown yet
    const task = atWork(this.image);
    if (!task) return this.work.replaceChildren();
    const far = task.bytes_total ? `${bytes(task.bytes)} of ${bytes(task.bytes_total)}` : bytes(task.bytes);
    const bar = h('progress', { max: task.bytes_total || 1, 'aria-label': 'Import', ...(task.bytes_total ? { value: task.bytes } : {}) });
    const stop = h('button', { type: 'button', onclick: () => attempt(() => glance.post(`tasks/${task.id}/actions/cancel/`), 'The import ends soon.') }, 'Stop');
    return this.work.replaceChildren(bar, h('span', {}, task.status === 'pending' ? 'Waiting for its turn' : `Copied ${far}`), stop);
  }

  edit(image) {
    const form = h('form', { onsubmit: (event) => this.save(event, box) },
      field('Name', h('input', { name: 'name', value: image.name ?? '', maxlength: 255 })),
      field('Visibility', select(same(VISIBILITIES), image.visibility, { name: 'visibility' }),
        'shared: with projects you name. community: anybody who knows of it. public: everybody.'),
      field('Least disk (GB)', h('input', { name: 'min_disk', type: 'number', min: 0, max: 2147483647, value: image.min_disk })),
      field('Least memory (MB)', h('input', { name: 'min_ram', type: 'number', min: 0, max: 2147483647, value: image.min_ram })),
      h('p.error', { role: 'alert' }),
      h('footer', {}, h('button', { type: 'button', onclick: () => box.close() }, 'Cancel'), h('button.primary', {}, 'Save')));
    const box = dialog('Edit image', form);
  }

  async save(event, box) {
    event.preventDefault();
    const said = Object.fromEntries(new FormData(event.target));
    const updated = { ...said, min_disk: Number(said.min_disk), min_ram: Number(said.min_ram) };
    try {
      await glance.patch(`${this.path}properties/`, { updated, removed: [] });
    } catch (failure) {
      box.querySelector('.error').textContent = failure.message;
      return;
    }
    box.close();
    say('Saved.');
    this.load();
  }
}
customElements.define('tt-image', OneImage);

/** Buttons by which a project says yes or no to an image that was offered to it. */
export function answers(image, status, done) {
  const answer = (word, text) => h('button', { type: 'button', disabled: status === word, onclick: () => attempt(async () => {
    await glance.put(`images/${image}/members/${session.project.id}/`, { status: word });
    changes.dispatchEvent(new Event('offers'));
    done();
  }, word === 'accepted' ? 'Accepted: it is in your list now.' : 'Rejected: it is not in your list.') }, text);
  return h('span.buttons', {}, answer('accepted', 'Accept'), answer('rejected', 'Reject'));
}

/** The images that others share with this project, each with what it answered. */
export async function offered() {
  const { items } = await glance.get(`images/?${query({ visibility: 'shared', member_status: 'all' })}`);
  const others = items.filter((image) => image.owner !== session.project.id);
  const mine = (members) => members.items.find((member) => member.member_id === session.project.id);
  const found = await Promise.all(others.map(async (image) => {
    try {
      return { image, member: mine(await glance.get(`images/${image.id}/members/`)) };
    } catch {
      return { image };
    }
  }));
  return found.filter(({ member }) => member);  // an admin sees also what is shared with others
}
