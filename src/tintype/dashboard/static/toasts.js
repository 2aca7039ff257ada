/** Short messages at the edge of the page; some have one button. */

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

/** The bottom edge of the page, with uploads and messages; the page ends above it, and shows there what has the focus. */
class Foot extends HTMLElement {
  connectedCallback() {
    this.watch = new ResizeObserver(() => {
      document.documentElement.style.setProperty('--foot', `${this.offsetHeight}px`);
      uncover(this);
    });
    this.watch.observe(this);
  }

  disconnectedCallback() {
    this.watch.disconnect();
  }
}
customElements.define('tt-foot', Foot);

/** Scroll so that the form in use is not below the foot of the page. */
function uncover(foot) {
  const focused = document.activeElement;
  const form = focused?.closest('main form, main .bar, main li') ?? (focused?.closest('main') && focused);
  if (!form || form.localName === 'main') return;
  const fits = form.offsetHeight < innerHeight - foot.offsetHeight;
  const part = fits ? form : focused;
  if (part.getBoundingClientRect().bottom > innerHeight - foot.offsetHeight) part.scrollIntoView({ block: 'nearest' });
}

function place() {
  return document.querySelector('tt-toasts');
}

/** Show a message, text or elements, for a while; `after` runs when it goes, unless its `action` was chosen. */
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
  if (waiting.size > MOST) idle[0]?.[0]();  // the oldest makes room, except those that still do something
}

/** Run at once what waits for messages to go: the person is leaving. */
export async function settle() {
  await Promise.all([...waiting.keys()].map((over) => over()));
}
addEventListener('pagehide', settle);

export function complain(failure) {
  say(failure.message, { bad: true });
}

/** Do something that may fail, and show the failure; resolves to whether it succeeded. */
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
