/** A new image: from a file, or from an address on the web. */

import { glance, session } from './api.js';
import { VISIBILITIES, allowed, bytes, decoded, dialog, field, h, same, select } from './dom.js';
import { attempt, say } from './toasts.js';
import { begin } from './uploads.js';

const ENDINGS = { qcow2: 'qcow2', qcow: 'qcow2', vmdk: 'vmdk', vdi: 'vdi', vhd: 'vhd', vhdx: 'vhdx', iso: 'iso', raw: 'raw', img: 'raw', ova: 'ova' };
const MAGIC = [['qcow2', 0, 'QFI\xfb'], ['vmdk', 0, 'KDMV'], ['vdi', 64, '\x7f\x10\xda\xbe'], ['vhdx', 0, 'vhdxfile'], ['iso', 0x8001, 'CD001']];

/** Detect a file's format by its first bytes, or else by its name. */
async function formatOf(file) {
  for (const [format, at, sign] of MAGIC) {
    const found = new Uint8Array(await file.slice(at, at + sign.length).arrayBuffer());
    if (String.fromCharCode(...found) === sign) return format;
  }
  return byName(file.name);
}

function byName(name) {
  const ending = name.replace(/\.(gz|xz|zst|zip)$/, '').split('.').pop().toLowerCase();
  return ENDINGS[ending] ?? 'raw';
}

export function create(dropped, made) {
  let file = null;
  const formats = same([...session.service.disk_formats, 'docker', 'ova']);
  const format = select(formats, 'qcow2', { name: 'disk_format' });
  const name = h('input', { name: 'name', required: true, maxlength: 255, autocomplete: 'off' });
  const input = h('input', { type: 'file', name: 'file', onchange: () => choose(input.files[0]) });
  const chosen = h('p.muted', {}, 'Any size: uploads continue after interruptions.');
  const address = h('input', { name: 'image_url', type: 'url', placeholder: 'https://…', oninput: () => fromAddress() });
  const fileWay = h('div.drop', {}, field('File', input), chosen);
  const urlWay = h('div', { hidden: true }, field('Address', address, 'The service fetches it; you can close this page meanwhile.'));
  const error = h('p.error', { role: 'alert' });
  const way = (value, text) => h('label', {}, h('input', { type: 'radio', name: 'way', value, checked: value === 'file', onchange: () => show(value) }), text);
  const form = h('form', { onsubmit: submit },
    h('fieldset.ways', {}, h('legend', {}, 'Source'), way('file', 'a file'),
      session.service.import_methods.includes('web-download') && way('url', 'the web')),
    fileWay, urlWay, field('Name', name), field('Disk format', format),
    field('Visibility', select(allowed(VISIBILITIES, session.rights.visibilities), 'private', { name: 'visibility' })),
    h('details', {}, h('summary', {}, 'More'),
      field('Description', h('input', { name: 'description', maxlength: 255 })),
      field('Minimum disk (GB)', h('input', { name: 'min_disk', type: 'number', min: 0, max: 2147483647, value: 0 })),
      field('Minimum memory (MB)', h('input', { name: 'min_ram', type: 'number', min: 0, max: 2147483647, value: 0 })),
      h('label.check', {}, h('input', { type: 'checkbox', name: 'protected' }), 'Protected from deletion')),
    error,
    h('footer', {}, h('button', { type: 'button', onclick: () => box.close() }, 'Cancel'), h('button.primary', {}, 'Create')));
  const box = dialog('New image', form);
  for (const kind of ['dragover', 'dragleave', 'drop']) {
    fileWay.addEventListener(kind, (event) => {
      event.preventDefault();
      event.stopPropagation();
      fileWay.classList.toggle('over', kind === 'dragover');
      if (kind === 'drop') choose(event.dataTransfer.files[0]);
    });
  }
  if (dropped) choose(dropped);

  function show(value) {
    fileWay.hidden = value !== 'file';
    urlWay.hidden = value !== 'url';
    address.required = value === 'url';
  }

  async function choose(given) {
    if (!given) return;
    file = given;
    chosen.textContent = `${file.name}, ${bytes(file.size)}`;
    if (!name.value) name.value = file.name.replace(/\.[a-z0-9]+$/i, '');
    format.value = await formatOf(file);
  }

  function fromAddress() {
    const last = address.value.split(/[?#]/)[0].split('/').pop();
    if (!last) return;
    format.value = byName(last);
    if (!name.dataset.own) name.value = decoded(last).replace(/\.[a-z0-9]+$/i, '');
  }
  name.addEventListener('input', () => { name.dataset.own = 'yes'; });

  async function submit(event) {
    event.preventDefault();
    error.textContent = '';
    const { file: _file, way: source, image_url: url, ...said } = Object.fromEntries(new FormData(form));
    const body = { ...said, min_disk: Number(said.min_disk), min_ram: Number(said.min_ram), protected: said.protected === 'on' };
    if (!said.description) delete body.description;
    if (source === 'url') Object.assign(body, { source_type: 'url', image_url: url, import_data: true });
    else if (!file || !file.size) {
      error.textContent = file ? 'The file is empty.' : 'Choose a file, or drop one here.';
      return;
    }
    const button = form.querySelector('.primary');
    button.disabled = true;
    try {
      const image = await glance.put('images/', body);
      box.close();
      if (source === 'url') say(`${image.name} is being imported.`);
      else begin(image.id, file, { made: true });
      await attempt(async () => made?.(image));
    } catch (failure) {
      error.textContent = failure.message;
    } finally {
      button.disabled = false;
    }
  }
}
