/** Dialogs that change an image: its attributes, and where its bytes come from after an import has failed. */

import { glance, session } from './api.js';
import { VISIBILITIES, allowed, dialog, field, h, same, select } from './dom.js';
import { say } from './toasts.js';

const MOST = 2147483647;

/** Load an image with what the caller may do to it. */
export function loadImage(id) {
  return glance.get(`images/${encodeURIComponent(id)}/?rights=True`);
}

/** The two formats, which can be changed as long as there are no bytes. */
function formats(image) {
  const options = (all, chosen) => same(chosen && !all.includes(chosen) ? [chosen, ...all] : all);
  const one = (text, name, all) => field(text, select([...(image[name] ? [] : [['', 'not set']]), ...options(all, image[name])], image[name] ?? '', { name }));
  return [one('Disk format', 'disk_format', session.service.disk_formats), one('Container format', 'container_format', session.service.container_formats)];
}

/** A form in a dialog that stays open, with the reason, until `save` succeeds. */
function formIn(title, verb, fields, save) {
  const error = h('p.error', { role: 'alert' });
  const button = h('button.primary', {}, verb);
  const form = h('form', { onsubmit: submit }, fields, error,
    h('footer', {}, h('button', { type: 'button', onclick: () => box.close() }, 'Cancel'), button));
  const box = dialog(title, form);
  return box;

  async function submit(event) {
    event.preventDefault();
    error.textContent = '';
    button.disabled = true;
    try {
      await save(Object.fromEntries(new FormData(form)));
      box.close();
    } catch (failure) {
      error.textContent = failure.message;
    } finally {
      button.disabled = false;
    }
  }
}

/** Edit an image's attributes; `verb` names what comes after saving. */
export function editImage(image, done, verb = 'Save') {
  const path = `images/${encodeURIComponent(image.id)}/properties/`;
  const queued = image.status === 'queued';
  const number = (text, name) => field(text, h('input', { name, type: 'number', min: 0, max: MOST, value: image[name] }));
  const fields = [
    field('Name', h('input', { name: 'name', value: image.name ?? '', maxlength: 255 })),
    queued && formats(image),
    field('Visibility', select(allowed(VISIBILITIES, image.rights.visibilities, image.visibility), image.visibility, { name: 'visibility' }),
      'shared: with projects you name. community: for everyone, but not in the usual lists. public: for everyone.'),
    number('Minimum disk (GB)', 'min_disk'),
    number('Minimum memory (MB)', 'min_ram'),
  ];
  return formIn('Edit image', verb, fields, async (said) => {
    const updated = { ...said, min_disk: Number(said.min_disk), min_ram: Number(said.min_ram), ...chosenFormats(said) };
    await glance.patch(path, { updated, removed: [] });
    say('Saved.');
    done();
  });
}

function chosenFormats(said) {
  const names = ['disk_format', 'container_format'].filter((name) => name in said);
  return Object.fromEntries(names.map((name) => [name, said[name] || null]));
}

/** The request of an image's newest import (the last in its history), if that failed and can be made again. */
export function failedImport(history) {
  const newest = history.findLast((task) => task.input?.import_req || task.input?.import_from);
  if (newest?.status !== 'failure') return null;
  const { import_req: request, import_from: uri } = newest.input;
  if (!request) return { method: { name: 'web-download', uri } };
  return ['web-download', 'glance-download'].includes(request.method?.name) ? request : null;
}

/** Import an image's bytes, with what was asked for before filled in: for a queued image only. */
export async function importAgain(id, done) {
  const image = await loadImage(id);
  const { items } = await glance.get(`images/${encodeURIComponent(id)}/tasks/`);
  const before = failedImport(items) ?? { method: { name: 'web-download' } };
  const { method } = before;
  const fromWeb = method.name === 'web-download';
  const digest = method.expected_hash;
  const fields = [
    image.properties.os_glance_failed_reason && h('p.error', {}, `The last upload or import failed: ${image.properties.os_glance_failed_reason}`),
    fromWeb && field('Address', h('input', { name: 'uri', type: 'url', value: method.uri ?? '', required: true, placeholder: 'https://…' }), 'The service fetches it; you can close this page meanwhile.'),
    !fromWeb && h('p', {}, 'From image ', h('code', {}, method.glance_image_id), ` of region ${method.glance_region}.`),
    digest && h('label.check', {}, h('input', { type: 'checkbox', name: 'checked', checked: true }), `Check the ${digest.algo} digest that was given before`),
    formats(image),
  ];
  return formIn(`Import ${image.name || image.id}`, 'Import', fields, async (said) => {
    await glance.patch(`images/${encodeURIComponent(id)}/properties/`, { updated: chosenFormats(said), removed: [] });
    const again = { ...before, method: { ...method, ...(fromWeb ? { uri: said.uri } : {}) } };
    if (!said.checked) delete again.method.expected_hash;
    await glance.post(`images/${encodeURIComponent(id)}/import/`, again);
    say(`${image.name || image.id} is being imported.`);
    done?.();
  });
}
