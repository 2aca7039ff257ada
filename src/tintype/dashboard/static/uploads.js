/** Uploads that can be paused, and continue after a lost connection, a restarted server or a closed page (tus 1.0). */

import { Failure, ROOT, address, failure, glance, headers, session } from './api.js';
import { bytes, confirmed, duration, h } from './dom.js';
import { attempt, complain, say } from './toasts.js';

const PIECE = 16 << 20;
const KEPT = ROOT === '/' ? 'tintype.upload' : `tintype.upload ${ROOT}`;
const LONGEST_WAIT = 15;
const PASSING = new Set([0, 401, 408, 409, 423, 429, 500, 502, 503, 504]);
const TUS = { 'Tus-Resumable': '1.0.0' };

export const uploads = Object.assign(new EventTarget(), { list: [] });

class Upload {
  constructor({ image, name, size, modified, made, id = null }, file = null) {
    Object.assign(this, { image, name, size, modified, made, id, file });
    this.offset = 0;
    this.rate = 0;
    this.message = '';
    this.state = file ? 'sending' : 'without file';
    this.request = null;
    this.wake = null;
    this.turn = 0;
    this.project = session.project.id;
    this.key = `${KEPT} ${this.project} ${image}`;
  }

  get url() {
    return address(`glance/images/${this.image}/uploads/${this.id}`);
  }

  /** Send until the server has everything, however often that fails on the way. */
  async run() {
    let failures = 0;
    const turn = this.turn += 1;
    this.become('sending');
    while (turn === this.turn && (this.state === 'sending' || this.state === 'waiting')) {
      const before = this.offset;
      try {
        if (this.id === null) await this.begin();
        else await this.ask();
        this.become('sending');
        while (this.state === 'sending' && this.offset < this.size) await this.piece();
        if (this.state === 'sending') return this.done();
      } catch (problem) {
        if (turn !== this.turn || this.state === 'paused' || this.state === 'gone') return;
        if (problem.again && await problem.again) continue;
        if (problem.status === 404 && this.id !== null) {
          const status = await this.status();
          if (status === 'active') return this.done();
          if (status === 'queued') {  // it expired, and its bytes were dropped
            [this.id, this.offset] = [null, 0];
            continue;
          }
        }
        if (problem.status === 0 && !await this.isReadable()) {
          this.message = 'The file can no longer be read: it was changed, moved or deleted.';
          return this.become('failed');
        }
        if (!PASSING.has(problem.status)) {
          this.message = problem.message;
          return this.become('failed');
        }
        failures = this.offset > before ? 0 : failures + 1;
        this.message = problem.message;
        this.become('waiting');
        await this.pause(Math.min(LONGEST_WAIT, 2 ** Math.min(failures, 4) / 2));
      }
    }
  }

  async begin() {
    const answer = await this.xhr('POST', address(`glance/images/${this.image}/uploads/`), { 'Upload-Length': this.size });
    this.id = answer.getResponseHeader('Location').split('/').pop();
    this.keep();
  }

  async ask() {
    const answer = await this.xhr('HEAD', this.url, {});
    this.offset = Number(answer.getResponseHeader('Upload-Offset'));
    this.tell();
  }

  async piece() {
    const start = this.offset;
    const answer = await this.xhr('PATCH', this.url, {
      'Upload-Offset': start,
      'Content-Type': 'application/offset+octet-stream',
    }, this.file.slice(start, start + PIECE));
    this.offset = Number(answer.getResponseHeader('Upload-Offset'));
    this.message = '';
  }

  xhr(method, url, more, body = null) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      const start = this.offset;
      let last = performance.now();
      let sent = 0;
      request.open(method, url);
      for (const [name, value] of Object.entries(headers({ ...TUS, ...more }))) request.setRequestHeader(name, value);
      request.upload.onprogress = (event) => {
        const now = performance.now();
        if (now - last < 250) return;
        const rate = (event.loaded - sent) / ((now - last) / 1000);
        this.rate = this.rate ? 0.7 * this.rate + 0.3 * rate : rate;
        [last, sent] = [now, event.loaded];
        this.offset = start + event.loaded;
        this.tell();
      };
      request.onload = async () => {
        this.offset = start;
        if (request.status < 300) resolve(request);
        else reject(await failure(request.status, async () => request.responseText));
      };
      request.onerror = () => reject(new Failure(0, 'The connection was lost.'));
      request.onabort = () => reject(new Failure(0, 'Paused.'));
      this.request = request;
      request.send(body);
    });
  }

  async status() {
    try {
      return (await glance.get(`images/${this.image}/`)).status;
    } catch {
      return null;
    }
  }

  async isReadable() {
    try {
      await this.file.slice(0, 1).arrayBuffer();
      return true;
    } catch {
      return false;
    }
  }

  pause(seconds) {
    return new Promise((resolve) => {
      this.wake = resolve;
      setTimeout(resolve, seconds * 1000);
    });
  }

  /** Remember it beyond this page. */
  keep() {
    const { image, id, name, size, modified, made } = this;
    localStorage.setItem(this.key, JSON.stringify({ image, id, name, size, modified, made }));
  }

  stop() {
    this.become('paused');
    this.rate = 0;
    this.request?.abort();
    this.wake?.();
  }

  async cancel() {
    this.become('gone');
    this.request?.abort();
    this.wake?.();
    forget(this);
    try {
      const { status } = await glance.get(`images/${this.image}/`);
      if (status !== 'queued') return;  // another page has finished it
      if (this.made) await glance.delete(`images/${this.image}/`);
      else if (this.id) await this.xhr('DELETE', this.url, {});
    } catch (problem) {
      if (problem.status !== 404) complain(problem);
    } finally {
      uploads.dispatchEvent(new Event('ended'));
    }
  }

  done() {
    this.become('done');
    forget(this);
    say(`${this.name} is uploaded.`);
    uploads.dispatchEvent(new Event('ended'));
  }

  become(state) {
    this.state = state;
    this.tell();
  }

  tell() {
    uploads.dispatchEvent(new CustomEvent('change', { detail: this }));
  }
}

function forget(upload) {
  uploads.list = uploads.list.filter((each) => each !== upload);
  localStorage.removeItem(upload.key);
  uploads.dispatchEvent(new Event('list'));
}

/** Start to send a file; `made` says that the image was created for it, and is deleted with it. */
export function begin(image, file, { made = false } = {}) {
  const upload = new Upload({ image, made, name: file.name, size: file.size, modified: file.lastModified }, file);
  uploads.list.push(upload);
  upload.keep();
  uploads.dispatchEvent(new Event('list'));
  upload.run();
}

/** Pause every upload that is running; return how many. */
export function pauseAll() {
  const going = uploads.list.filter((upload) => ['sending', 'waiting'].includes(upload.state));
  for (const upload of going) upload.stop();
  return going.length;
}

addEventListener('storage', (event) => {
  const upload = uploads.list.find((each) => each.key === event.key);
  if (upload && event.newValue === null && upload.state === 'without file') forget(upload);  // done in another tab
});

addEventListener('beforeunload', (event) => {
  if (uploads.list.some((upload) => upload.state === 'sending')) event.preventDefault();
});

/** Restore what an earlier page had started; files must be chosen again, since a page cannot open them. */
export async function remember() {
  const mine = `${KEPT} ${session.project.id} `;
  for (const key of Object.keys(localStorage).filter((each) => each.startsWith(mine))) {
    if (uploads.list.some((upload) => upload.key === key)) continue;
    try {
      const upload = new Upload(JSON.parse(localStorage.getItem(key)));
      const image = await glance.get(`images/${upload.image}/`);
      if (image.status !== 'queued') throw new Failure(410, 'The image has its data.');
      if (upload.id) await upload.ask();
      uploads.list.push(upload);
    } catch (problem) {
      if (!PASSING.has(problem.status)) localStorage.removeItem(key);
    }
  }
  uploads.dispatchEvent(new Event('list'));
}

class Tray extends HTMLElement {
  connectedCallback() {
    this.setAttribute('aria-label', 'Uploads');
    this.setAttribute('role', 'region');
    this.rows = new Map();
    this.draw = () => this.list();
    this.update = (event) => this.row(event.detail);
    uploads.addEventListener('list', this.draw);
    uploads.addEventListener('change', this.update);
    this.list();
  }

  disconnectedCallback() {
    uploads.removeEventListener('list', this.draw);
    uploads.removeEventListener('change', this.update);
  }

  /** Show the uploads of this project; others are shown in theirs. */
  list() {
    const mine = uploads.list.filter((upload) => upload.project === session.project?.id);
    this.hidden = mine.length === 0;
    this.rows = new Map(mine.map((upload) => [upload, this.parts(upload)]));
    this.replaceChildren(...[...this.rows.values()].map((parts) => parts.row));
    for (const upload of mine) this.row(upload);
  }

  parts(upload) {
    const bar = h('progress', { max: upload.size || 1, 'aria-label': `Upload of ${upload.name}` });
    const text = h('small', {});
    const toggle = h('button', { type: 'button', onclick: () => this.toggle(upload) });
    const format = h('button', { type: 'button', hidden: true, 'aria-label': `Change format: ${upload.name}`, onclick: () => this.changeFormat(upload) }, 'Change format');
    const chooser = h('input', { type: 'file', hidden: true, onchange: (event) => this.chosen(upload, event.target.files[0]) });
    const cancel = h('button.quiet', { type: 'button', 'aria-label': `Cancel upload of ${upload.name}`, onclick: () => this.giveUp(upload) }, '✕');
    const row = h('div.upload', {}, h('strong', {}, upload.name), bar, text, h('span.buttons', {}, chooser, toggle, format, cancel));
    return { row, bar, text, toggle, format, chooser };
  }

  row(upload) {
    const parts = this.rows.get(upload);
    if (!parts) return;
    const { state, offset, size, rate, message } = upload;
    parts.bar.value = offset;
    parts.row.dataset.state = state;
    const far = `${bytes(offset)} of ${bytes(size)}`;
    const words = {
      sending: rate ? `${far}, ${bytes(rate)}/s, ${duration((size - offset) / rate)} left` : far,
      waiting: `${far}. ${message} Trying again …`,
      paused: `${far}, paused`,
      failed: message,
      'without file': `${far}. Choose the same file again to go on.`,
    };
    parts.text.textContent = words[state] ?? state;
    const verbs = { sending: 'Pause', waiting: 'Pause', paused: 'Resume', failed: 'Try again', 'without file': 'Choose file' };
    parts.toggle.textContent = verbs[state] ?? '';
    parts.toggle.hidden = !verbs[state];
    parts.format.hidden = state !== 'failed';
    parts.toggle.setAttribute('aria-label', `${verbs[state]}: ${upload.name}`);
  }

  async giveUp(upload) {
    const sure = await confirmed('Give up this upload?', `What was sent of ${upload.name} is deleted${upload.made ? ', and its image' : ''}.`, 'Give up');
    if (sure) upload.cancel();
  }

  /** Change what the image is said to be, then send the file again. */
  changeFormat(upload) {
    return attempt(async () => {
      const { editImage, loadImage } = await import('./edit.js');
      const again = () => (upload.file ? upload.run() : this.toggle(upload));
      const box = editImage(await loadImage(upload.image), again, 'Save and upload again');
      box.querySelector('[name=disk_format]')?.focus();
    });
  }

  toggle(upload) {
    if (upload.state === 'sending' || upload.state === 'waiting') upload.stop();
    else if (upload.file) upload.run();
    else this.rows.get(upload).chooser.click();
  }

  chosen(upload, file) {
    if (!file) return;
    if (file.size !== upload.size || file.name !== upload.name || file.lastModified !== upload.modified) {
      complain(new Error(`That is another file, or it was changed since. Choose ${upload.name}, ${bytes(upload.size)}.`));
      return;
    }
    upload.file = file;
    upload.run();
  }
}
customElements.define('tt-uploads', Tray);
