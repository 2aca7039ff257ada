/** Uploads that pause, and go on after a lost connection, a restarted server or a closed page (tus 1.0). */

import { Failure, failure, glance, headers } from './api.js';
import { bytes, duration, h } from './dom.js';
import { complain, say } from './toasts.js';

const PIECE = 16 << 20;
const KEPT = 'tintype.uploads';
const LONGEST_WAIT = 15;
const PASSING = new Set([0, 401, 408, 409, 423, 429, 500, 502, 503, 504]);
const TUS = { 'Tus-Resumable': '1.0.0' };

export const uploads = Object.assign(new EventTarget(), { list: [] });

class Upload {
  constructor({ image, name, size, modified, id = null }, file = null) {
    Object.assign(this, { image, name, size, modified, id, file });
    this.offset = 0;
    this.rate = 0;
    this.message = '';
    this.state = file ? 'sending' : 'without file';
    this.request = null;
    this.wake = null;
  }

  get url() {
    return `/api/glance/images/${this.image}/uploads/${this.id}`;
  }

  /** Send until all is there, however often that fails on the way. */
  async run() {
    let failures = 0;
    this.become('sending');
    while (this.state === 'sending' || this.state === 'waiting') {
      const before = this.offset;
      try {
        if (this.id === null) await this.begin();
        else await this.ask();
        this.become('sending');
        while (this.state === 'sending' && this.offset < this.size) await this.piece();
        if (this.state === 'sending') return this.done();
      } catch (problem) {
        if (this.state === 'paused' || this.state === 'gone') return;
        if (problem.status === 404 && this.id !== null && await this.isActive()) return this.done();
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
    const answer = await this.xhr('POST', `/api/glance/images/${this.image}/uploads/`, { 'Upload-Length': this.size });
    this.id = answer.getResponseHeader('Location').split('/').pop();
    keep();
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
      request.onerror = () => reject(new Failure(0, 'The connection broke off.'));
      request.onabort = () => reject(new Failure(0, 'Paused.'));
      this.request = request;
      request.send(body);
    });
  }

  async isActive() {
    try {
      return (await glance.get(`images/${this.image}/`)).status === 'active';
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
      await glance.delete(`images/${this.image}/`);
    } catch (problem) {
      if (problem.status !== 404) complain(problem);
    }
    uploads.dispatchEvent(new Event('ended'));
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

function keep() {
  const known = uploads.list.map(({ image, id, name, size, modified }) => ({ image, id, name, size, modified }));
  localStorage.setItem(KEPT, JSON.stringify(known));
}

function forget(upload) {
  uploads.list = uploads.list.filter((each) => each !== upload);
  keep();
  uploads.dispatchEvent(new Event('list'));
}

export function begin(image, file) {
  const upload = new Upload({ image, name: file.name, size: file.size, modified: file.lastModified }, file);
  uploads.list.push(upload);
  keep();
  uploads.dispatchEvent(new Event('list'));
  upload.run();
}

/** Bring back what an earlier page had begun; a file must be chosen again, for no page may open one. */
export async function remember() {
  let known = [];
  try {
    known = JSON.parse(localStorage.getItem(KEPT)) ?? [];
  } catch { /* somebody else's, or broken */ }
  for (const each of Array.isArray(known) ? known : []) {
    if (uploads.list.some((upload) => upload.image === each.image)) continue;
    const upload = new Upload(each);
    try {
      const image = await glance.get(`images/${each.image}/`);
      if (image.status === 'active') continue;
      if (upload.id) await upload.ask();
    } catch {
      continue;
    }
    uploads.list.push(upload);
  }
  keep();
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

  list() {
    this.hidden = uploads.list.length === 0;
    this.rows = new Map(uploads.list.map((upload) => [upload, this.parts(upload)]));
    this.replaceChildren(...[...this.rows.values()].map((parts) => parts.row));
    for (const upload of uploads.list) this.row(upload);
  }

  parts(upload) {
    const bar = h('progress', { max: upload.size || 1, 'aria-label': `Upload of ${upload.name}` });
    const text = h('small', {});
    const toggle = h('button', { type: 'button', onclick: () => this.toggle(upload) });
    const chooser = h('input', { type: 'file', hidden: true, onchange: (event) => this.chosen(upload, event.target.files[0]) });
    const cancel = h('button.quiet', { type: 'button', 'aria-label': `Cancel upload of ${upload.name}`, onclick: () => upload.cancel() }, '✕');
    const row = h('div.upload', {}, h('strong', {}, upload.name), bar, text, h('span.buttons', {}, chooser, toggle, cancel));
    return { row, bar, text, toggle, chooser };
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
    parts.toggle.setAttribute('aria-label', `${verbs[state]}: ${upload.name}`);
  }

  toggle(upload) {
    if (upload.state === 'sending' || upload.state === 'waiting') upload.stop();
    else if (upload.file) upload.run();
    else this.rows.get(upload).chooser.click();
  }

  chosen(upload, file) {
    if (!file) return;
    if (file.size !== upload.size || file.name !== upload.name || file.lastModified !== upload.modified) {
      complain(new Error(`That is another file, or it was changed since. Choose ${upload.name} of ${bytes(upload.size)}.`));
      return;
    }
    upload.file = file;
    upload.run();
  }
}
customElements.define('tt-uploads', Tray);
