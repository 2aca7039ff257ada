/** The frame: who is logged in, and which view is shown. */

import { ROOT, changes, enter, glance, logInAgain, logOut, session, whenSessionEnds, whoIsThere, whoami } from './api.js';
import { decoded, h, select } from './dom.js';
import { hush, listen, tasks } from './events.js';
import { keepProject, logInOverThePage } from './login.js';
import { pauseAll, remember } from './uploads.js';
import { attempt, say, settle } from './toasts.js';
import './images.js';

const VIEWS = {
  images: { title: 'Images', tag: 'tt-images' },
  image: { title: 'Image', tag: 'tt-image', load: () => import('./image.js') },
  offers: { title: 'Shared with me', tag: 'tt-offers', load: () => import('./offers.js') },
  tasks: { title: 'Tasks', tag: 'tt-tasks', load: () => import('./tasks.js') },
  usage: { title: 'Usage', tag: 'tt-usage', load: () => import('./usage.js') },
  metadata: { title: 'Definitions', tag: 'tt-metadata', load: () => import('./metadata.js') },
  cache: { title: 'Cache', tag: 'tt-cache', load: () => import('./cache.js') },
};

const LEFT = `tintype.left ${ROOT}`;
/** Changes when somebody logs out, to tell other tabs. */

class App extends HTMLElement {
  async connectedCallback() {
    addEventListener('hashchange', () => this.show());
    whenSessionEnds(() => this.logInAgain());
    addEventListener('storage', (event) => event.key === LEFT && session.user && this.askToLogIn());
    changes.addEventListener('offers', () => this.countOffers());
    this.addEventListener('done', () => this.frame());
    tasks.addEventListener('change', ({ detail }) => {
      for (const task of detail.ended.filter((each) => each.status === 'failure')) this.tellFailure(task);
    });
    document.addEventListener('visibilitychange', () => (document.hidden ? hush() : this.lookAgain()));
    try {
      await whoami();
    } catch (failure) {
      this.replaceChildren(h('main.login', {}, h('div.card', { role: 'alert' }, h('p', {}, failure.message),
        h('button.primary', { onclick: () => location.reload() }, 'Try again'))));
      return;
    }
    if (session.user) this.frame();
    else this.askToLogIn();
  }

  /** Another tab may have logged out, or changed the project: then this one does, too. */
  async lookAgain() {
    if (!this.main?.isConnected) return undefined;
    const { user, project } = session;
    let now;
    try {
      now = await whoIsThere();
    } catch {
      return listen();
    }
    if (!now.user) return logInAgain();
    if (now.user.id !== user?.id) return location.reload();
    if (now.project?.id === project?.id) return listen();
    if (document.querySelector('dialog[open]')) return undefined;  // what is typed there stays; saving it says what happened
    await whoami();
    return this.frame();
  }

  /** Ask for the password over the page; resolves to whether the same person works in the same project again. */
  async logInAgain() {
    if (!this.main?.isConnected) {
      this.askToLogIn();
      return false;
    }
    const { user, project } = session;
    hush();
    await logInOverThePage();
    if (session.user.id !== user.id) {
      location.reload();  // nothing of the other person stays
      return false;
    }
    if (session.project?.id !== project?.id) {
      this.frame();
      return false;
    }
    listen();
    return true;
  }

  askToLogIn() {
    if (this.querySelector('tt-login')) return;
    hush();
    document.querySelectorAll('dialog').forEach((box) => box.close());
    this.replaceChildren(h('tt-login'), h('tt-foot', {}, h('tt-toasts')));
    document.title = 'Log in – Tintype';
  }

  /** Say which image's import failed, with a way to start it again. */
  async tellFailure(task) {
    const [{ canStartAgain }, { importAgain }] = await Promise.all([import('./tasks.js'), import('./edit.js')]);
    const act = () => attempt(() => importAgain(task.image_id));
    const again = canStartAgain(task);
    say([again ? 'Import of ' : 'A task of ', h('bdi', {}, task.image_name || task.image_id), ` failed: ${task.message}`], { bad: true, action: again ? { text: 'Import again', act } : null });
  }

  frame() {
    if (this.user && this.user !== session.user.id) return location.reload();  // nothing of the other person stays
    this.user = session.user.id;
    this.offers = h('span.count', { hidden: true });
    this.main = h('main', { id: 'main', tabindex: -1 });
    this.links = new Map();
    const names = ['images', 'offers', 'tasks', 'usage', 'metadata', ...(session.service.cache && session.rights.cache ? ['cache'] : [])];
    const nav = h('nav', { 'aria-label': 'Main' }, h('ul', {}, names.map((name) => {
      const again = () => location.hash === `#/${name}` && this.show();
      const link = h('a', { href: `#/${name}`, onclick: again }, VIEWS[name].title, name === 'offers' && this.offers);
      this.links.set(name, link);
      return h('li', {}, link);
    })));
    const projects = session.projects.map((project) => [project.id, project.name]);
    const chooser = select(projects, session.project?.id, { 'aria-label': 'Project', onchange: (event) => this.move(event.target.value) });
    this.replaceChildren(
      h('a.skip', { href: '#main', onclick: (event) => { event.preventDefault(); this.main.focus(); } }, 'Skip to content'),
      h('header.top', {},
        h('a.brand', { href: '#/images' }, h('img', { src: 'icon.svg', alt: '', width: 28, height: 28 }), 'Tintype'),
        nav,
        h('div.who', {}, projects.length > 1 ? chooser : h('span.muted', {}, session.project?.name ?? ''),
          h('span', {}, session.user.name),
          h('button.quiet', { type: 'button', onclick: () => this.leave() }, 'Log out'))),
      this.main, h('tt-foot', {}, h('tt-uploads'), h('tt-toasts')));
    if (!session.project) {
      this.main.append(h('div.empty', {}, h('h1', {}, 'No project'),
        h('p', {}, 'You have no role in any project. Ask an operator to give you one, then log in again.')));
      return undefined;
    }
    listen();
    remember();
    this.countOffers();
    return this.show();
  }

  async show() {
    if (!session.project || !this.main?.isConnected) return;
    document.querySelectorAll('dialog:not(.again)').forEach((box) => box.close());
    const [path, search = ''] = location.hash.replace(/^#\/?/, '').split('?');
    const [name, id] = path.split('/').map(decoded);
    const key = name === 'images' && id ? 'image' : name;
    const view = VIEWS[key] ?? VIEWS.images;
    for (const [each, link] of this.links) {
      if (each === name || (each === 'images' && !VIEWS[key])) link.setAttribute('aria-current', 'page');
      else link.removeAttribute('aria-current');
    }
    document.title = `${view.title} – Tintype`;
    const turn = this.turn = (this.turn ?? 0) + 1;
    const loaded = await attempt(async () => {
      try {
        await view.load?.();
      } catch {
        throw new Error('This part of the page cannot be loaded: the service does not answer. Try again soon.');
      }
    });
    if (!loaded || turn !== this.turn) return;
    const shown = this.main.firstElementChild;
    if (view === VIEWS.images && shown?.localName === view.tag) {
      shown.asked = new URLSearchParams(search);
      return;
    }
    const element = h(view.tag);
    element.asked = new URLSearchParams(search);
    element.image = id;
    this.main.replaceChildren(element);
    if (shown) this.main.focus({ preventScroll: true });
    scrollTo(0, 0);
  }

  async countOffers() {
    try {
      const { items } = await glance.get('offers/');
      const count = items.filter((image) => image.member_status === 'pending').length;
      this.offers.hidden = count === 0;
      this.offers.textContent = count;
      this.offers.setAttribute('aria-label', `${count} waiting for an answer`);
    } catch { /* the number is only a hint */ }
  }

  async leave() {
    pauseAll();
    await settle();
    await attempt(logOut);
    localStorage.setItem(LEFT, Date.now());
    location.reload();
  }

  async move(project) {
    const paused = pauseAll();
    const before = session.project.name;
    await settle();
    if (!await attempt(() => enter(project))) return;
    keepProject(project);
    location.hash = '#/images';
    this.frame();
    say(`You work in ${session.project.name} now.${paused ? ` Uploads to ${before} are paused.` : ''}`);
  }
}
customElements.define('tt-app', App);
