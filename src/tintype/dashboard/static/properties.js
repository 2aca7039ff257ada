/** Properties of an image, edited with what the catalogue of definitions says of them. */

import { glance, session } from './api.js';
import { dialog, h, select } from './dom.js';
import { say } from './toasts.js';

const FIELDS = new Set(['id', 'name', 'owner', 'status', 'size', 'virtual_size', 'visibility', 'protected', 'disk_format', 'container_format', 'min_disk', 'min_ram',
  'checksum', 'created_at', 'updated_at', 'tags', 'self', 'file', 'schema', 'stores', 'locations', 'direct_url', 'os_hidden', 'os_hash_algo', 'os_hash_value']);
const catalogues = new Map();

/** Every defined property by its name on images, with the title of its namespace. */
async function definitions() {
  const { id } = session.project;
  if (catalogues.has(id)) return catalogues.get(id);
  const { items } = await glance.get('metadefs/namespaces/?resource_type=OS::Glance::Image');
  const catalogue = new Map();
  catalogues.set(id, catalogue);
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
  if (definition?.type === 'boolean') return choice([['true', 'yes'], ['false', 'no']], value, properties);
  if (options && definition.type === 'string') return choice(options.map((each) => [String(each), String(each)]), value, properties);
  if (definition?.type === 'integer' || definition?.type === 'number') {
    return h('input', { ...properties, type: 'number', value, min: definition.minimum, max: definition.maximum, step: definition.type === 'integer' ? 1 : 'any', required: true });
  }
  if (value?.includes('\n')) return h('textarea', { ...properties, rows: 3 }, value);
  return h('input', { ...properties, value, maxlength: definition?.maxLength, minlength: definition?.minLength });
}

/** One of some values; what is there already may stay although it is none of them. */
function choice(options, value, properties) {
  const known = value === null || options.some(([each]) => each === value);
  return select(known ? options : [[value, value], ...options], value ?? options[0][0], properties);
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
    if (FIELDS.has(key)) {
      help.textContent = `${key} is no property: the image itself has it.`;
      return;
    }
    if (!rows.has(key)) add(key, null);
    rows.get(key).input.focus();
    name.value = '';
    tell();
  }

  function add(key, value) {
    const definition = known.get(key);
    const input = control(definition, value ?? definition?.default ?? null, { 'aria-label': key });
    const initial = value === null ? null : input.value;
    const row = h('div.property', {}, h('span', {}, h('strong', {}, key), definition && h('small.muted', { title: definition.description }, definition.title)),
      input, h('button.quiet', { type: 'button', 'aria-label': `Remove ${key}`, onclick: () => { row.remove(); rows.delete(key); } }, '✕'));
    rows.set(key, { row, input, initial });
    list.append(row);
  }

  async function save(event) {
    event.preventDefault();
    const updated = {};
    for (const [key, { input, initial }] of rows) if (input.value !== initial) updated[key] = input.value;
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
