/** The project's tasks, reported by the server while they run (server-sent events). */

import { address, glance } from './api.js';

export const tasks = Object.assign(new EventTarget(), { newest: [] });

const OVER = ['success', 'failure'];
const SECONDS = 5;
let source = null;
let again;
let known = null;

/** Listen while the page is visible: a browser has few connections, and hidden pages need none. */
export function listen() {
  hush();
  if (document.hidden) return;
  source = new EventSource(address('glance/events/'));
  source.onerror = () => {
    if (source?.readyState !== EventSource.CLOSED) return;  // it reconnects by itself
    clearTimeout(again);
    again = setTimeout(() => glance.get('tasks/').then(listen, (failure) => failure.status === 401 || listen()), SECONDS * 1000);
  };
  source.addEventListener('tasks', (event) => {
    tasks.newest = JSON.parse(event.data);
    const over = tasks.newest.filter((task) => OVER.includes(task.status));
    const ended = known ? over.filter((task) => !known.has(task.id)) : [];
    known = new Set(over.map((task) => task.id));
    tasks.dispatchEvent(new CustomEvent('change', { detail: { ended } }));
  });
}

export function hush() {
  clearTimeout(again);
  source?.close();
  source = null;
  known = null;
  tasks.newest = [];
}

/** The task that is working on an image, if there is one. */
export function atWork(image) {
  return tasks.newest.find((task) => task.image_id === image && ['pending', 'processing'].includes(task.status));
}
