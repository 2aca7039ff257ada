/** The metadata definitions: which properties there are, and what they mean. */

import { glance, session } from './api.js';
import { confirmed, dialog, h, plural } from './dom.js';
import { attempt } from './toasts.js';

class Metadata extends HTMLElement {
  async connectedCallback() {
    this.list = h('div');
    this.replaceChildren(h('div.bar', {}, h('h1', {}, 'Definitions'),
      session.rights.create_definitions && h('button', { type: 'button', onclick: () => this.add() }, 'Add from JSON')),
    h('p.muted', {}, 'What properties of images mean, and which values they take. The property editor uses them.'), this.list);
    await this.load();
  }

  async load() {
    await attempt(async () => {
      const { items } = await glance.get('metadefs/namespaces/?rights=True');
      this.list.replaceChildren(...items.map((each) => this.namespace(each)));
      if (!items.length) this.list.append(h('div.empty', {}, h('h2', {}, 'No definitions'), h('p', {}, 'An operator loads them with: tintype catalogue load')));
    });
  }

  namespace(each) {
    const path = `metadefs/namespaces/${encodeURIComponent(each.namespace)}/`;
    const groups = [['', each.properties ?? {}], ...(each.objects ?? []).map((group) => [group.name, group.properties ?? {}])];
    const count = groups.reduce((sum, [, properties]) => sum + Object.keys(properties).length, 0);
    const change = (values, said) => attempt(() => glance.patch(path, values), said).then(() => this.load());
    const open = each.visibility === 'public';
    const can = (action) => each.rights.includes(action);
    const remove = async () => {
      if (await confirmed('Delete these definitions?', `${each.namespace} with ${plural(count, 'property', 'properties')} will be deleted.`, 'Delete')) {
        await attempt(() => glance.delete(path), 'Deleted.');
        this.load();
      }
    };
    return h('details.card', {}, h('summary', {}, h('strong', {}, each.display_name ?? each.namespace), ' ', h('small.muted', {}, `${plural(count, 'property', 'properties')}, ${each.visibility}${each.protected ? ', protected' : ''}`)),
      each.description && h('p', {}, each.description),
      h('p.muted', {}, `${each.namespace}, for ${(each.resource_type_associations ?? []).map((one) => one.name).join(', ') || 'nothing yet'}`),
      each.rights.length > 0 && h('p.buttons', {},
        can('modify') && h('button', { type: 'button', onclick: () => change({ visibility: open ? 'private' : 'public' }, open ? 'Private now.' : 'Public now.') }, open ? 'Make private' : 'Make public'),
        can('modify') && h('button', { type: 'button', onclick: () => change({ protected: !each.protected }, 'Changed.') }, each.protected ? 'Lift protection' : 'Protect'),
        can('delete') && h('button.danger', { type: 'button', disabled: each.protected, onclick: remove }, 'Delete')),
      groups.map(([name, properties]) => [name && h('h3', {}, name), h('dl', {}, Object.entries(properties).map(([key, { title, description, type, enum: values }]) =>
        [h('dt', {}, key), h('dd', {}, h('strong', {}, title), ` (${type}${values ? `: ${values.join(', ')}` : ''})`, description && h('p.muted', {}, description))]))]));
  }

  add() {
    const text = h('textarea', { rows: 16, 'aria-label': 'Namespace as JSON', required: true, spellcheck: 'false' });
    const file = h('input', { type: 'file', accept: '.json,application/json', 'aria-label': 'File with a namespace', onchange: async () => { text.value = await file.files[0].text(); } });
    const error = h('p.error', { role: 'alert' });
    const save = async (event) => {
      event.preventDefault();
      try {
        await glance.post('metadefs/namespaces/', JSON.parse(text.value));
      } catch (failure) {
        error.textContent = failure.message;
        return;
      }
      box.close();
      this.load();
    };
    const box = dialog('Add definitions', h('form', { onsubmit: save }, file, text, error,
      h('footer', {}, h('button', { type: 'button', onclick: () => box.close() }, 'Cancel'), h('button.primary', {}, 'Add'))));
    box.classList.add('wide');
  }
}
customElements.define('tt-metadata', Metadata);
