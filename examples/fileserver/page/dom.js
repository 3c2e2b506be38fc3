// Elements are made of text only: nothing here, or elsewhere in the page, reads markup.

export const $ = id => document.getElementById(id);

// make makes an element. A function among its attributes listens to the event of that name;
// false and undefined leave an attribute out.
export function make(tag, attributes = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') {
      e.addEventListener(name, value);
    } else if (value !== false && value !== undefined) {
      e.setAttribute(name, value === true ? '' : value);
    }
  }
  e.append(...children);
  return e;
}

export const button = (text, click, attributes = {}) => make('button', { type: 'button', click, ...attributes }, text);

// words makes nodes of a template. The names in it stand by themselves, whatever direction
// their writing has: bdi.
export const words = (strings, ...names) =>
  strings.flatMap((s, i) => i < names.length ? [s, make('bdi', {}, String(names[i]))] : [s]);

// arrange gives an element these children. Those that are in their place are not touched, and
// what had the focus keeps it.
export function arrange(parent, children) {
  const focused = document.activeElement;
  const stay = new Set(children);
  for (const old of [...parent.children]) {
    if (!stay.has(old)) {
      old.remove();
    }
  }
  let at = parent.firstElementChild;
  for (const child of children) {
    if (child === at) {
      at = at.nextElementSibling;
    } else {
      parent.insertBefore(child, at);
    }
  }
  if (focused !== document.activeElement && focused.isConnected) {
    focused.focus({ preventScroll: true });
  }
}

const firstControl = e => e?.querySelector('button:not([disabled]), a[href]');

// leave removes an element from its list. Had it the focus, its neighbour gets it.
export function leave(item, otherwise) {
  const had = item.contains(document.activeElement);
  const next = firstControl(item.nextElementSibling) ?? firstControl(item.previousElementSibling) ?? otherwise;
  item.remove();
  if (had) {
    next.focus();
  }
}

// replaceButtons gives other buttons to a box. Had one of the old the focus, the first gets it.
export function replaceButtons(box, ...buttons) {
  const had = box.contains(document.activeElement);
  box.replaceChildren(...buttons);
  if (had) {
    firstControl(box)?.focus();
  }
}
