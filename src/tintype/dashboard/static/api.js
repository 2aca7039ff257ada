/** Requests to the service: the session's headers on each, and failures as sentences. */

/** Where the service is served: the folder above the page, whatever path a front server puts before it. */
export const ROOT = new URL('..', document.baseURI).pathname;

/** The address of a path of the page's API. */
export function address(path) {
  return `${ROOT}api/${path}`;
}

export class Failure extends Error {
  constructor(status, message, again = null) {
    super(message);
    this.status = status;
    this.again = again;
  }
}

/** Who is logged in, as the service says; `user` is null when nobody is. */
export let session = { user: null };

export const changes = new EventTarget();

let askToLogIn = async () => false;
let asking = null;

/** Set what asks for a new log-in when a session has ended; it resolves to whether the same person is back. */
export function whenSessionEnds(ask) {
  askToLogIn = ask;
}

/** Ask for a new log-in, once for all requests that wait for it. */
export function logInAgain() {
  asking ??= askToLogIn().finally(() => { asking = null; });
  return asking;
}

export function headers(more) {
  return { 'X-Requested-With': 'XMLHttpRequest', 'X-CSRFToken': session.csrf_token ?? '', ...more };
}

/** Send a request; when the session has ended meanwhile, send it again after a new log-in. */
export async function send(method, path, body, more, keepalive = false) {
  let answer;
  try {
    answer = await fetch(address(path), {
      method,
      headers: headers(body === undefined ? more : { 'Content-Type': 'application/json', ...more }),
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: 'same-origin',
      keepalive,
    });
  } catch {
    throw new Failure(0, 'The service cannot be reached. Check that it is running and that you are online.');
  }
  if (answer.ok) return JSON.parse((await answer.text()) || 'null');
  const problem = await failure(answer.status, () => answer.text());
  if (problem.again && await problem.again) return send(method, path, body, more, keepalive);
  throw problem;
}

/** Turn an answer into something a person can act on; `again` resolves to whether to send it again. */
export async function failure(status, text) {
  let said = '';
  try {
    const body = JSON.parse(await text());
    said = typeof body === 'string' ? body : body.error?.message ?? '';
  } catch { /* the answer is not JSON: there is nothing to quote */ }
  if (status === 401 && said === 'not logged in' && session.user) {
    return new Failure(status, 'Your session has ended. Log in again to continue.', logInAgain());
  }
  if (status === 403 && said.startsWith('CSRF')) {
    return new Failure(status, 'You changed the project in another tab. Reload this page to continue.', renewed());
  }
  if (status >= 500 && !said) said = `The service has a problem (${status}). Try again soon.`;
  return new Failure(status, said || `The service refused the request (${status}).`);
}

/** Take over a session that another tab has renewed; false if that is another person's or project's. */
export async function renewed() {
  const before = session;
  const now = await whoIsThere();
  const same = now.user?.id === before.user?.id && now.project?.id === before.project?.id;
  if (!same || now.csrf_token === before.csrf_token) return false;
  session = now;
  return true;
}

export const glance = {
  get: (path) => send('GET', `glance/${path}`),
  put: (path, body) => send('PUT', `glance/${path}`, body),
  post: (path, body) => send('POST', `glance/${path}`, body ?? undefined),
  patch: (path, body) => send('PATCH', `glance/${path}`, body),
  delete: (path) => send('DELETE', `glance/${path}`),
  /** Delete even when the page is being left. */
  remove: (path) => send('DELETE', `glance/${path}`, undefined, {}, true),
};

export function query(values) {
  const kept = Object.entries(values).filter(([, value]) => value !== '' && value !== null && value !== undefined);
  return new URLSearchParams(kept).toString();
}

/** Ask who is logged in, without working as them yet. */
export function whoIsThere() {
  return send('GET', 'session/');
}

export async function whoami() {
  session = await whoIsThere();
  return session;
}

export async function logIn(body) {
  session = await send('POST', 'session/', body);
  return session;
}

export async function enter(project) {
  session = await send('PUT', 'session/', { project });
  return session;
}

export async function logOut() {
  await send('DELETE', 'session/');
  session = { user: null, identity: session.identity };
}
