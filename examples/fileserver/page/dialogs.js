import { button, make } from './dom.js';

let last = Promise.resolve();

// ask shows a dialog and returns the value of the choice, and whether its box is checked. The
// first choice is the safe one: it has the focus, and Escape means it. Dialogs come one after
// another; question is called when its turn has come, and returns nothing when it need not be
// asked any more.
export function ask(question) {
  const answer = last.then(() => {
    const q = question();
    return q ? show(q) : {};
  });
  last = answer.then(() => {});
  return answer;
}

let shown = 0;

function show({ title, text, choices, box }) {
  return new Promise(done => {
    const id = 'dialog-' + ++shown;
    const check = make('input', { type: 'checkbox', id: id + '-box' });
    let choice = choices[0].value;
    const buttons = choices.map(c => button(c.label, () => {
      choice = c.value;
      dialog.close();
    }, { class: c.class }));
    const dialog = make('dialog', { 'aria-labelledby': id + '-title', 'aria-describedby': id + '-text' },
      make('h2', { id: id + '-title' }, ...title),
      make('div', { id: id + '-text' }, ...text.map(line => make('p', {}, ...line))),
      ...box ? [make('p', { class: 'check' }, check, make('label', { for: check.id }, box))] : [],
      make('div', { class: 'actions' }, ...buttons));
    dialog.addEventListener('close', () => {
      dialog.remove(); // the browser has given the focus back
      done({ choice, all: check.checked });
    });
    document.body.append(dialog);
    dialog.showModal();
    buttons[0].focus();
  });
}
