/** The project's tasks, as the server tells of them while they go on (server-sent events). */

export const tasks = Object.assign(new EventTarget(), { newest: [] });

const OVER = ['success', 'failure'];
let source = null;
let known = null;

export function listen() {
  hush();
  source = new EventSource('/api/glance/events/');
  source.addEventListener('tasks', (event) => {
    tasks.newest = JSON.parse(event.data);
    const over = tasks.newest.filter((task) => OVER.includes(task.status));
    const ended = known ? over.filter((task) => !known.has(task.id)) : [];
    known = new Set(over.map((task) => task.id));
    tasks.dispatchEvent(new CustomEvent('change', { detail: { ended } }));
  });
}

export function hush() {
  source?.close();
  source = null;
  known = null;
  tasks.newest = [];
}

/** The task that is at work on an image, if there is one. */
export function atWork(image) {
  return tasks.newest.find((task) => task.image_id === image && ['pending', 'processing'].includes(task.status));
}
