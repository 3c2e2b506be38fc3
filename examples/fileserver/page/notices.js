import { $, arrange, button, leave, make } from './dom.js';

// say has screen readers tell something when they come to it.
export function say(...text) {
  $('polite').replaceChildren(make('p', {}, ...text));
}

const problems = new Map();

// problem shows an error, at once to screen readers, too. It stays until it is dismissed or
// solved(key) is called; a later one with its key takes its place. actions are buttons.
export function problem(key, text, { actions = [], dismiss = true } = {}) {
  solved(key);
  const box = make('div', { class: 'problem' }, make('p', { role: 'alert' }, ...text), make('div', { class: 'actions' }, ...actions,
    ...dismiss ? [button('Dismiss', () => solved(key), { class: 'quiet' })] : []));
  problems.set(key, box);
  arrange($('problems'), [...problems.values()]);
}

export function solved(key) {
  const box = problems.get(key);
  if (box) {
    problems.delete(key);
    leave(box, $('top'));
  }
}
