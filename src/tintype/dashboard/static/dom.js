/** Elements from data, and numbers in words. Text is always text: nothing here parses HTML. */

export function h(tag, properties, ...children) {
  const [name, ...classes] = tag.split('.');
  const element = document.createElement(name);
  if (classes.length) element.className = classes.join(' ');
  for (const [key, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? '' : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

let hints = 0;

/** A label above its control, and perhaps a hint below. */
export function field(text, control, hint) {
  const label = h('label.field', {}, h('span', {}, text), control);
  if (!hint) return label;
  const id = `hint-${hints += 1}`;
  control.setAttribute('aria-describedby', id);
  return h('div', {}, label, h('small', { id }, hint));
}

export function select(options, chosen, properties) {
  return h('select', properties, options.map(([value, text]) => h('option', { value, selected: value === chosen }, text)));
}

export const VISIBILITIES = ['private', 'shared', 'community', 'public'];

/** Options that are their own words, in the order of `all`; what is chosen already may stay. */
export function allowed(all, some, chosen = null) {
  return same(all.filter((word) => some.includes(word) || word === chosen));
}

/** Options that are their own words. */
export function same(words) {
  return words.map((word) => [word, word]);
}

export function bytes(count) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let power = 0;
  let value = Number(count) || 0;
  while (value >= 1024 && power < units.length - 1) {
    value /= 1024;
    power += 1;
  }
  return `${power && value < 10 ? value.toFixed(1) : Math.round(value)} ${units[power]}`;
}

export function when(text) {
  const date = new Date(text);
  return h('time', { datetime: text, title: date.toString() },
    date.toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' }));
}

export function duration(seconds) {
  if (!Number.isFinite(seconds)) return '';
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
}

export function plural(count, one, many = `${one}s`) {
  return `${count.toLocaleString()} ${count === 1 ? one : many}`;
}

export function badge(status) {
  return h('span.badge', { 'data-status': status }, status);
}

/** Open a modal with a title and its content; it removes itself when it is closed. */
export function dialog(title, ...content) {
  const opener = document.activeElement;
  const heading = h('h2', { id: 'dialog-title' }, title);
  const close = h('button.quiet', { type: 'button', 'aria-label': 'Close', onclick: () => box.close() }, '✕');
  const box = h('dialog', { 'aria-labelledby': 'dialog-title' }, h('header', {}, heading, close), content);
  box.addEventListener('close', () => {
    box.remove();
    opener?.focus?.();
  });
  document.body.append(box);
  box.showModal();
  box.querySelector('form input, form select, form textarea')?.focus();
  return box;
}

/** Ask before something that cannot be undone; resolves to whether to go on. */
export function confirmed(title, text, verb) {
  return new Promise((resolve) => {
    const box = dialog(title, h('p', {}, text), h('footer', {},
      h('button', { type: 'button', onclick: () => box.close() }, 'Cancel'),
      h('button.danger', { type: 'button', onclick: () => { resolve(true); box.close(); } }, verb)));
    box.addEventListener('close', () => resolve(false));
  });
}

/** Redraw without losing the focus: it moves to the element with the same words, or else to the heading. */
export function keepingFocus(root, draw) {
  const words = (element) => `${element.localName} ${element.name ?? ''} ${element.getAttribute('aria-label') ?? element.textContent}`;
  const focused = root.contains(document.activeElement) && document.activeElement;
  const wanted = focused && words(focused);
  draw();
  if (!focused || focused.isConnected) return;
  const same = [...root.querySelectorAll('button, a, input, select')].find((each) => words(each) === wanted && !each.disabled);
  const heading = root.querySelector('h1');
  heading?.setAttribute('tabindex', '-1');
  (same ?? heading)?.focus({ preventScroll: true });
}

/** Decode a part of an address; text that is not encoded correctly is returned as it is. */
export function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Wait for a pause in calls before the last one is made. */
export function settled(act, milliseconds) {
  let timer;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => act(...values), milliseconds);
  };
}
