/** Properties of an image, edited with what the catalogue of definitions says of them. */

import { glance } from './api.js';
import { dialog, h, select } from './dom.js';
import { say } from './toasts.js';

let catalogue = null;

/** Every defined property by its name on images, with the title of its namespace. */
async function definitions() {
  if (catalogue) return catalogue;
  const { items } = await glance.get('metadefs/namespaces/?resource_type=OS::Glance::Image');
  catalogue = new Map();
  for (const namespace of items) {
    const groups = [namespace.properties ?? {}, ...(namespace.objects ?? []).map((each) => each.properties ?? {})];
    for (const group of groups) {
      for (const [name, definition] of Object.entries(group)) {
        if (!catalogue.has(name)) catalogue.set(name, { ...definition, group: namespace.display_name ?? namespace.namespace });
      }
    }
  }
  return catalogue;
}

/** A control that lets nothing be entered that the definition does not accept. */
function control(definition, value, properties) {
  const options = definition?.enum ?? definition?.items?.enum;
  if (definition?.type === 'boolean') return select([['true', 'yes'], ['false', 'no']], String(value || 'true').toLowerCase(), properties);
  if (options && definition.type === 'string') {
    const known = options.map(String);
    const all = value && !known.includes(value) ? [value, ...known] : known;
    return select(all.map((each) => [each, each]), value || known[0], properties);
  }
  if (definition?.type === 'integer' || definition?.type === 'number') {
    return h('input', { ...properties, type: 'number', value, min: definition.minimum, max: definition.maximum, step: definition.type === 'integer' ? 1 : 'any', required: true });
  }
  return h('input', { ...properties, value, maxlength: definition?.maxLength, minlength: definition?.minLength });
}

export async function editProperties(path, before, done) {
  let known;
  try {
    known = await definitions();
  } catch {
    known = new Map();
  }
  const rows = new Map();
  const list = h('div.properties');
  const error = h('p.error', { role: 'alert' });
  const name = h('input', { list: 'known-properties', 'aria-label': 'Property to add', placeholder: 'Property, such as os_distro', maxlength: 255, oninput: () => tell() });
  const help = h('p.muted', { role: 'status' });
  const options = h('datalist', { id: 'known-properties' }, [...known].map(([key, { title, group }]) => h('option', { value: key }, `${title} (${group})`)));
  const adder = h('div.inline', {}, name, h('button', { type: 'button', onclick: () => addNamed() }, 'Add'));
  name.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter') return;
    event.preventDefault();
    addNamed();
  });
  const form = h('form', { onsubmit: save }, adder, options, help, list, error,
    h('footer', {}, h('button', { type: 'button', onclick: () => box.close() }, 'Cancel'), h('button.primary', {}, 'Save')));
  const box = dialog('Properties', form);
  box.classList.add('wide');
  for (const [key, value] of Object.entries(before)) add(key, String(value));

  function tell() {
    const definition = known.get(name.value.trim());
    help.textContent = definition ? `${definition.title}: ${definition.description ?? ''}` : '';
  }

  function addNamed() {
    const key = name.value.trim();
    if (!key) return;
    if (!rows.has(key)) add(key, String(known.get(key)?.default ?? ''));
    rows.get(key).input.focus();
    name.value = '';
    tell();
  }

  function add(key, value) {
    const definition = known.get(key);
    const input = control(definition, value, { 'aria-label': key });
    const row = h('div.property', {}, h('span', {}, h('strong', {}, key), definition && h('small.muted', { title: definition.description }, definition.title)),
      input, h('button.quiet', { type: 'button', 'aria-label': `Remove ${key}`, onclick: () => { row.remove(); rows.delete(key); } }, '✕'));
    rows.set(key, { row, input });
    list.append(row);
  }

  async function save(event) {
    event.preventDefault();
    const updated = {};
    for (const [key, { input }] of rows) if (String(before[key]) !== input.value || !(key in before)) updated[key] = input.value;
    const removed = Object.keys(before).filter((key) => !rows.has(key));
    try {
      await glance.patch(`${path}properties/`, { updated, removed });
    } catch (failure) {
      error.textContent = failure.message;
      return;
    }
    box.close();
    say('Properties are saved.');
    done();
  }
}
