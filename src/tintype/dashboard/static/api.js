/** Requests to the service: the session's headers on each, and failures as sentences. */

export class Failure extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Who is logged in, as `/api/session/` tells; `user` is null where nobody is. */
export let session = { user: null };

export const changes = new EventTarget();

export function headers(more) {
  return { 'X-Requested-With': 'XMLHttpRequest', 'X-CSRFToken': session.csrf_token ?? '', ...more };
}

export async function send(method, path, body, more, keepalive = false) {
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers: headers(body === undefined ? more : { 'Content-Type': 'application/json', ...more }),
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: 'same-origin',
      keepalive,
    });
  } catch {
    throw new Failure(0, 'The service cannot be reached. Is it running, and is the network there?');
  }
  if (answer.ok) return JSON.parse((await answer.text()) || 'null');
  throw await failure(answer.status, () => answer.text());
}

/** Make of an answer what a person can act on; a session that is over leads to the login. */
export async function failure(status, text) {
  let said = '';
  try {
    const body = JSON.parse(await text());
    said = typeof body === 'string' ? body : body.error?.message ?? '';
  } catch { /* what is no JSON says nothing */ }
  if (status === 401 && said === 'not logged in') {
    session = { ...session, user: null };
    changes.dispatchEvent(new Event('logged-out'));
    return new Failure(status, 'Your session is over. Log in to go on.');
  }
  if (status === 403 && said.startsWith('CSRF')) said = 'You went to another project in another tab. Load this page again.';
  if (status >= 500 && !said) said = `The service has a problem (${status}). Try again soon.`;
  return new Failure(status, said || `The service refused (${status}).`);
}

export const glance = {
  get: (path) => send('GET', `/api/glance/${path}`),
  put: (path, body) => send('PUT', `/api/glance/${path}`, body),
  post: (path, body) => send('POST', `/api/glance/${path}`, body ?? undefined),
  patch: (path, body) => send('PATCH', `/api/glance/${path}`, body),
  delete: (path) => send('DELETE', `/api/glance/${path}`),
  /** Delete even where the page is being left. */
  remove: (path) => send('DELETE', `/api/glance/${path}`, undefined, {}, true),
};

export function query(values) {
  const kept = Object.entries(values).filter(([, value]) => value !== '' && value !== null && value !== undefined);
  return new URLSearchParams(kept).toString();
}

export async function whoami() {
  session = await send('GET', '/api/session/');
  return session;
}

export async function logIn(body) {
  session = await send('POST', '/api/session/', body);
  return session;
}

export async function enter(project) {
  session = await send('PUT', '/api/session/', { project });
  return session;
}

export async function logOut() {
  await send('DELETE', '/api/session/');
  session = { user: null, identity: session.identity };
}
