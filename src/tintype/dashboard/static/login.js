/** The log-in form: on a page of its own, or over the page when a session has ended. */

import { ROOT, logIn, renewed, session } from './api.js';
import { field, h } from './dom.js';

const HERE = ROOT === '/' ? '' : ` ${ROOT}`;
const PROJECT = `tintype.project${HERE}`;
const DOMAIN = `tintype.domain${HERE}`;

/** The fields of a log-in; `done` is called after a successful one. */
function loginForm({ title, text, name = '', project, done, more = null }) {
  const error = h('p.error', { role: 'alert' });
  const domain = () => field('Domain', h('input', { name: 'domain', value: localStorage.getItem(DOMAIN) ?? 'Default', autocomplete: 'off', required: true }));
  const button = h('button.primary', {}, 'Log in');
  const form = h('form.card', { onsubmit: submit },
    h('img', { src: 'icon.svg', alt: '', width: 48, height: 48 }),
    h('h1', {}, title),
    h('p.muted', {}, text),
    field('User name', h('input', { name: 'username', value: name, autocomplete: 'username', required: true })),
    field('Password', h('input', { name: 'password', type: 'password', autocomplete: 'current-password', required: true })),
    session.identity === 'keystone' && domain(),
    error, button, more);
  return form;

  async function submit(event) {
    event.preventDefault();
    button.disabled = true;
    error.textContent = '';
    const said = Object.fromEntries(new FormData(form));
    try {
      await logIn({ ...said, project: project ?? localStorage.getItem(PROJECT) ?? '' });
      if (said.domain) localStorage.setItem(DOMAIN, said.domain);
      done();
    } catch (failure) {
      error.textContent = failure.message;
      form.elements.password.select();
    } finally {
      button.disabled = false;
    }
  }
}

class Login extends HTMLElement {
  connectedCallback() {
    const done = () => this.dispatchEvent(new Event('done', { bubbles: true }));
    const form = loginForm({ title: 'Tintype', text: 'Images for clouds', done });
    this.replaceChildren(h('main.login', {}, form));
    form.elements.username.focus();
  }
}
customElements.define('tt-login', Login);

/** Ask for the password over the page, which keeps all that was typed; resolves when somebody is logged in. */
export function logInOverThePage() {
  const { user, project } = session;
  return new Promise((resolve) => {
    let over = false;
    const look = async () => {  // another tab may have logged in again
      if (!document.hidden && !over && await renewed().catch(() => false)) done();
    };
    const done = () => {
      over = true;
      document.removeEventListener('visibilitychange', look);
      box.close();
      box.remove();
      resolve();
    };
    const leave = h('button.quiet', { type: 'button', onclick: () => location.reload() }, 'Discard my changes and start again');
    const form = loginForm({ title: 'Log in again', text: 'Your session has ended. What you typed is kept.', name: user.name, project: project?.id, done, more: leave });
    const box = h('dialog.again', { 'aria-label': 'Log in again', closedby: 'none' }, form);
    box.addEventListener('close', () => over || box.showModal());
    document.addEventListener('visibilitychange', look);
    document.body.append(box);
    box.showModal();
    form.elements.password.focus();
  });
}

export function keepProject(id) {
  localStorage.setItem(PROJECT, id);
}
