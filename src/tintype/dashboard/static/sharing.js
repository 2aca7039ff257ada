/** With whom an image is shared, and what a project answers to an image that was shared with it. */

import { changes, glance, session } from './api.js';
import { badge, h } from './dom.js';
import { attempt, say } from './toasts.js';

const PRIVATE = 'Only members of this project can see it.';

/** A project by its name, or by its id if the name may not be looked up. */
export function project(id, name) {
  if (id === session.project.id) return h('span', {}, `${session.project.name} (this project)`);
  return name ? h('span', { title: id }, name) : h('code', {}, id ?? '–');
}

/** The card of an image that shows its members, and lets who may do so change them. */
export function sharing(image, can, members, page) {
  const section = h('section.card', { 'aria-labelledby': 'sharing' }, h('h2', { id: 'sharing' }, 'Sharing'));
  if (image.visibility !== 'shared') {
    section.append(h('p.muted', {}, image.visibility === 'private' ? PRIVATE : `The image is ${image.visibility}: other projects can use it already.`));
    if (image.visibility === 'private' && image.rights.visibilities.includes('shared')) {
      section.append(h('button', { type: 'button', onclick: () => page.set({ visibility: 'shared' }, 'The image can be shared now: add projects.') }, 'Share with projects'));
    }
    return section;
  }
  const own = (member) => member.member_id === session.project.id && image.owner !== session.project.id;
  section.append(h('ul.rows', {}, members.map((member) => h('li', {}, project(member.member_id, member.project_name), badge(member.status),
    own(member) && can('answer') && answers(image.id, member.status, () => page.load()),
    can('unshare') && remover(image, member, page)))));
  if (!members.length) section.append(h('p.muted', {}, 'Not shared with any project yet.'));
  if (can('share')) section.append(adder(image, page));
  return section;
}

function remover(image, member, page) {
  const path = `images/${image.id}/members/${encodeURIComponent(member.member_id)}/`;
  const name = member.project_name ?? member.member_id;
  return h('button', { type: 'button', 'aria-label': `Stop sharing with ${name}`, onclick: () => page.act(() => glance.delete(path), `No longer shared with ${name}.`) }, 'Stop sharing');
}

function adder(image, page) {
  const names = session.identity === 'builtin';
  const error = h('p.error', { role: 'alert' });
  const input = h('input', { name: 'member', 'aria-label': 'Project to share with', placeholder: names ? 'Project name or ID' : 'Project ID, or a name you may look up', required: true, maxlength: 255 });
  const share = async (event) => {
    event.preventDefault();
    const wanted = input.value.trim();
    if (!wanted) return;
    error.textContent = '';
    let member;
    try {
      member = await glance.post(`images/${image.id}/members/`, { member: wanted });
    } catch (failure) {
      error.textContent = failure.message;
      input.focus();
      return;
    }
    say(member.project_name
      ? `Shared with ${member.project_name}, which can accept it now.`
      : `Shared with the project ID ${member.member_id}. Its name cannot be looked up: check that the ID is right.`);
    page.load();
  };
  return h('form', { onsubmit: share }, h('div.inline', {}, input, h('button', {}, 'Share')), error);
}

/** Buttons by which a project accepts or rejects an image that is shared with it. */
export function answers(image, status, done) {
  const answer = (word, text) => h('button', { type: 'button', disabled: status === word, onclick: () => attempt(async () => {
    await glance.put(`images/${image}/members/${session.project.id}/`, { status: word });
    changes.dispatchEvent(new Event('offers'));
    done();
  }, word === 'accepted' ? 'Accepted. The image is in your list now.' : 'Rejected. The image is not in your list.') }, text);
  return h('span.buttons', {}, answer('accepted', 'Accept'), answer('rejected', 'Reject'));
}
