/** Short messages at the edge of the page; some can be answered with one button. */

import { h } from './dom.js';

const SECONDS = 6;
const MOST = 3;
const waiting = new Map();

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

/** Say something for a while; `after` is done when that is over, unless the `action` was chosen. */
export function say(text, { bad = false, seconds = SECONDS, action = null, after = null } = {}) {
  const end = (act) => {
    if (!waiting.delete(over)) return undefined;
    clearTimeout(timer);
    toast.remove();
    return act?.();
  };
  const over = () => end(after);
  waiting.set(over, after);
  const toast = h(bad ? 'div.toast.bad' : 'div.toast', {}, h('span', {}, text),
    action && h('button', { type: 'button', onclick: () => end(action.act) }, action.text),
    h('button.quiet', { type: 'button', 'aria-label': 'Dismiss', onclick: over }, '✕'));
  const timer = setTimeout(over, (bad ? 2 : 1) * seconds * 1000);
  place()?.append(toast);
  const idle = [...waiting].filter(([, act]) => !act);
  if (waiting.size > MOST) idle[0]?.[0]();  // the oldest makes room, but none that still does something
}

/** Do at once what waits for messages to be over: somebody leaves. */
export async function settle() {
  await Promise.all([...waiting.keys()].map((over) => over()));
}
addEventListener('pagehide', settle);

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
