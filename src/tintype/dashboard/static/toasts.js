/** Short messages at the edge of the page; some can be answered with one button. */

import { h } from './dom.js';

const SECONDS = 6;

class Toasts extends HTMLElement {
  connectedCallback() {
    this.setAttribute('role', 'status');
    this.setAttribute('aria-live', 'polite');
  }
}
customElements.define('tt-toasts', Toasts);

function place() {
  return document.querySelector('tt-toasts');
}

export function say(text, { bad = false, seconds = SECONDS, action = null, after = null } = {}) {
  let ended = false;
  const end = (act) => {
    if (ended) return;
    ended = true;
    clearTimeout(timer);
    removeEventListener('pagehide', leave);
    toast.remove();
    act?.();
  };
  const leave = () => end(after);
  const toast = h(bad ? 'div.toast.bad' : 'div.toast', {}, h('span', {}, text),
    action && h('button', { type: 'button', onclick: () => end(action.act) }, action.text),
    h('button.quiet', { type: 'button', 'aria-label': 'Dismiss', onclick: () => end(after) }, '✕'));
  const timer = setTimeout(() => end(after), (bad ? 2 : 1) * seconds * 1000);
  addEventListener('pagehide', leave);
  place()?.append(toast);
}

export function complain(failure) {
  say(failure.message, { bad: true });
}

/** Do something that may fail, and say so where it does; gives whether it did not. */
export async function attempt(act, said) {
  try {
    await act();
  } catch (failure) {
    complain(failure);
    return false;
  }
  if (said) say(said);
  return true;
}
