/** Properties of an image, edited with the help of the metadata definitions. */

import { glance, session } from './api.js';
import { dialog, h, select } from './dom.js';
import { say } from './toasts.js';

/** Attributes that pages receive among an image's properties, and show elsewhere. */
export const OWN = new Set(['os_hidden', 'os_hash_algo', 'os_hash_value', 'stores', 'file', 'schema', 'tags', 'virtual_size', 'locations', 'direct_url',
  'os_glance_failed_reason', 'os_glance_importing_to_stores', 'os_glance_failed_import', 'os_glance_import_task']);
const FIELDS = new Set([...OWN, 'id', 'name', 'owner', 'status', 'size', 'visibility', 'protected', 'disk_format', 'container_format', 'min_disk', 'min_ram',
  'checksum', 'created_at', 'updated_at', 'self']);
const RESERVED = 'os_glance';
const catalogues = new Map();

/** Load every defined property by its name on images, with the title of its namespace. */
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

/** A control for what the definition accepts; a value that it does not accept stays, as plain text. */
function control(definition, value, properties) {
  const options = definition?.enum ?? definition?.items?.enum;
  if (definition?.type === 'boolean') return choice([['true', 'yes'], ['false', 'no']], value, properties);
  if (options && definition.type === 'string') return choice(options.map((each) => [String(each), String(each)]), value, properties);
  if (definition?.type === 'integer' || definition?.type === 'number') {
    const number = h('input', { ...properties, type: 'number', value, min: definition.minimum, max: definition.maximum, step: definition.type === 'integer' ? 1 : 'any' });
    if (value === null || (number.value === value && number.checkValidity())) return number;
    return h('input', { ...properties, value });
  }
  if (value?.includes('\n')) return h('textarea', { ...properties, rows: 3 }, value);
  return h('input', { ...properties, value, maxlength: definition?.maxLength, minlength: definition?.minLength });
}

/** A choice of values; one that is there already stays although it is none of them. */
function choice(options, value, properties) {
  const known = value === null || options.some(([each]) => each === value);
  return select(known ? options : [[value, value], ...options], value ?? options[0][0], properties);
}

/** Say why a property's value cannot be changed here; nothing if it can. */
function whyFixed(key, definition, rights) {
  if (key.startsWith(RESERVED)) return 'Set by the service.';
  if (definition?.readonly) return 'Read-only by its definition.';
  if (rights.cannot_change.includes(key)) return 'Protected: you may not change it.';
  return '';
}

export async function editProperties(path, before, rights, done) {
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
  const addable = [...known].filter(([key, { readonly }]) => !readonly && !(key in before));
  const options = h('datalist', { id: 'known-properties' }, addable.map(([key, { title, group }]) => h('option', { value: key }, `${title} (${group})`)));
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

  /** Add the property that is typed; false if there is none that can be added. */
  function addNamed() {
    const key = name.value.trim();
    if (!key) return false;
    if (FIELDS.has(key) || key.startsWith(RESERVED)) {
      help.textContent = `${key} is not a custom property: the service sets it, or it is edited elsewhere.`;
      return false;
    }
    if (!rows.has(key) && known.get(key)?.readonly) {
      help.textContent = `${key} is read-only by its definition.`;
      return false;
    }
    if (!rows.has(key)) add(key, null);
    rows.get(key).input?.focus();
    name.value = '';
    tell();
    return true;
  }

  function add(key, value) {
    const definition = known.get(key);
    const why = value === null ? '' : whyFixed(key, definition, rights);
    const about = h('span', {}, h('strong', {}, key), definition && h('small.muted', { title: definition.description }, definition.title));
    if (why) {
      rows.set(key, {});
      list.append(h('div.property', {}, about, h('span', {}, value, h('small.muted', {}, why))));
      return;
    }
    const input = control(definition, value ?? definition?.default ?? null, { 'aria-label': key });
    const initial = value === null ? null : input.value;
    const removable = value === null || !rights.cannot_remove.includes(key);
    const row = h('div.property', {}, about, input,
      removable && h('button.quiet', { type: 'button', 'aria-label': `Remove ${key}`, onclick: () => { row.remove(); rows.delete(key); } }, '✕'));
    rows.set(key, { input, initial });
    list.append(row);
  }

  async function save(event) {
    event.preventDefault();
    error.textContent = '';
    const typed = name.value.trim();
    if (typed) {
      const added = addNamed();
      error.textContent = added ? `${typed} was typed but not added. It is in the list now: check its value, then save.` : `Nothing is saved yet: ${typed} cannot be added. Clear it, then save.`;
      return;
    }
    const changed = [...rows].filter(([, { input, initial }]) => input && input.value !== initial);
    const set = changed.filter(([, { input }]) => input.value !== '');
    const emptied = changed.filter(([, { input }]) => input.value === '').map(([key]) => key);
    const kept = emptied.filter((key) => rights.cannot_remove.includes(key) && key in before);
    if (kept.length) {
      error.textContent = `${kept[0]} cannot be removed: give it a value.`;
      return;
    }
    const updated = Object.fromEntries(set.map(([key, { input }]) => [key, input.value]));
    const removed = Object.keys(before).filter((key) => !rows.has(key) || emptied.includes(key));
    try {
      await glance.patch(`${path}properties/`, { updated, removed });
    } catch (failure) {
      error.textContent = failure.message;
      return;
    }
    box.close();
    say(emptied.length ? `Saved. ${emptied.join(', ')} ${emptied.length === 1 ? 'has' : 'have'} no value, so ${emptied.length === 1 ? 'it is' : 'they are'} not set.` : 'Properties are saved.');
    done();
  }
}
