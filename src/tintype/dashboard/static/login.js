/** The way in. */

import { logIn, session } from './api.js';
import { field, h } from './dom.js';

const PROJECT = 'tintype.project';

class Login extends HTMLElement {
  connectedCallback() {
    const error = h('p.error', { role: 'alert' });
    const domain = h('input', { name: 'domain', value: 'Default', autocomplete: 'off', required: true });
    const form = h('form.card', { onsubmit: (event) => this.submit(event, error) },
      h('img', { src: 'icon.svg', alt: '', width: 48, height: 48 }),
      h('h1', {}, 'Tintype'),
      h('p.muted', {}, 'Images for clouds'),
      field('User name', h('input', { name: 'username', autocomplete: 'username', required: true, autofocus: true })),
      field('Password', h('input', { name: 'password', type: 'password', autocomplete: 'current-password', required: true })),
      session.identity === 'keystone' && field('Domain', domain),
      error,
      h('button.primary', {}, 'Log in'));
    this.replaceChildren(h('main.login', {}, form));
    form.elements.username.focus();
  }

  async submit(event, error) {
    event.preventDefault();
    const form = event.target;
    const button = form.querySelector('button');
    button.disabled = true;
    error.textContent = '';
    const said = Object.fromEntries(new FormData(form));
    try {
      await logIn({ ...said, project: localStorage.getItem(PROJECT) ?? '' });
      this.dispatchEvent(new Event('done', { bubbles: true }));
    } catch (failure) {
      error.textContent = failure.message;
      form.elements.password.select();
    } finally {
      button.disabled = false;
    }
  }
}
customElements.define('tt-login', Login);

export function keepProject(id) {
  localStorage.setItem(PROJECT, id);
}
