import { $, arrange, button, leave, make, words } from './dom.js';
import { byName, date, matcher, numbered, shortDate, size } from './format.js';
import { ask } from './dialogs.js';
import { problem, say, solved } from './notices.js';

const orders = {
  name: (a, b) => byName(a.name, b.name),
  size: (a, b) => a.size - b.size || byName(a.name, b.name),
  date: (a, b) => a.date - b.date || byName(a.name, b.name),
};

export const path = name => '/files/' + encodeURIComponent(name);

// reason is what an answer says about its failure (RFC 9457).
export function reason(status, text) {
  try {
    return JSON.parse(text).detail || 'The server answered ' + status + '.';
  } catch {
    return 'The server answered ' + status + '.';
  }
}

// told is what to tell about an error of fetch.
const told = why => why instanceof TypeError || why.name === 'TimeoutError' ? 'The server does not answer.' : why.message;

// Files is the list of files on the server.
export class Files {
  limit = Infinity; // the maximum size of a file
  #all = new Map(); // by name
  #rows = new Map();
  #order = 'name';
  #descending = false;
  #running; // the request for the list, if one runs
  #again = false;
  #loaded = false;
  #connection;
  #window;

  constructor(connection, window) {
    this.#connection = connection;
    this.#window = window;
    connection.addEventListener('lost', () => solved('list')); // said already
    for (const b of document.querySelectorAll('[data-sort]')) {
      b.addEventListener('click', () => this.#sort(b));
    }
    let pause;
    $('search').addEventListener('input', () => {
      this.#show();
      clearTimeout(pause);
      pause = setTimeout(() => say($('count').textContent), 700);
    });
  }

  get(name) {
    return this.#all.get(name);
  }

  // free is a name like this one that no file has, nor one of these.
  free(name, ...taken) {
    for (let n = 2; ; n++) {
      const other = numbered(name, n);
      if (!this.#all.has(other) && !taken.includes(other)) {
        return other;
      }
    }
  }

  // refresh gets the list. When one is on its way, which may be older than the call, another
  // one follows it.
  refresh() {
    if (this.#running) {
      this.#again = true;
      return this.#running;
    }
    this.#running = (async () => {
      do {
        this.#again = false;
        await this.#load();
      } while (this.#again);
      this.#running = undefined;
    })();
    return this.#running;
  }

  async #load() {
    try {
      const answer = await fetch('/files', { cache: 'no-store', signal: AbortSignal.timeout(20_000) });
      if (!answer.ok) {
        throw new Error(reason(answer.status, await answer.text()));
      }
      const { files, limit } = await answer.json();
      this.limit = limit;
      this.#all = new Map(files.map(f => [f.name, { ...f, date: new Date(f.modified) }]));
      this.#loaded = true;
      solved('list');
      this.#show();
    } catch (why) {
      if (this.#connection.state === 'lost') {
        return;
      }
      problem('list', ['The list of files is not up to date. ', told(why)], { actions: [button('Try again', () => this.refresh())] });
    }
  }

  #sort(chosen) {
    const order = chosen.dataset.sort;
    this.#descending = order === this.#order ? !this.#descending : order === 'date'; // the newest first
    this.#order = order;
    for (const b of document.querySelectorAll('[data-sort]')) {
      const head = b.closest('th');
      if (b === chosen) {
        head.setAttribute('aria-sort', this.#descending ? 'descending' : 'ascending');
      } else {
        head.removeAttribute('aria-sort');
      }
    }
    this.#show();
  }

  #show() {
    const matches = matcher($('search').value);
    const compare = orders[this.#order];
    const shown = [...this.#all.values()].filter(f => matches(f.name)).sort(this.#descending ? (a, b) => compare(b, a) : compare);
    for (const [name, row] of this.#rows) {
      if (!this.#all.has(name)) {
        this.#rows.delete(name);
        leave(row.element, $('search'));
      }
    }
    arrange($('files').tBodies[0], shown.map(f => this.#row(f)));
    const all = this.#all.size;
    const files = all === 1 ? '1 file' : all + ' files';
    $('count').textContent = shown.length < all ? shown.length + ' of ' + files : all ? files : '';
    $('files').hidden = shown.length === 0;
    $('empty').hidden = !this.#loaded || shown.length > 0;
    if (all === 0) {
      $('empty').textContent = 'No files yet';
    } else {
      $('empty').replaceChildren(...words`No name matches “${$('search').value.trim()}”`);
    }
  }

  // row is the row of a file, the same as long as it is there.
  #row(f) {
    let row = this.#rows.get(f.name);
    if (!row) {
      const link = make('a', { href: path(f.name), download: true, click: () => {
        link.href = path(f.name) + '?window=' + this.#window; // so that a failure can be told here
        setTimeout(() => { link.href = path(f.name); });
      } }, make('bdi', {}, f.name));
      const remove = button('Delete', () => this.#delete(f.name, remove), { class: 'quiet', 'aria-label': 'Delete ' + f.name });
      row = { size: make('td', { role: 'cell', class: 'size' }), date: make('td', { role: 'cell', class: 'date' }) };
      row.element = make('tr', { role: 'row' }, make('th', { role: 'rowheader', scope: 'row' }, link), row.size, row.date,
        make('td', { role: 'cell', class: 'actions' }, remove));
      this.#rows.set(f.name, row);
    }
    if (row.tag !== f.tag) {
      row.tag = f.tag;
      row.size.textContent = size(f.size);
      row.date.replaceChildren(make('time', { datetime: f.modified, title: date(f.date) }, shortDate(f.date)));
    }
    return row.element;
  }

  async #delete(name, control) {
    const f = this.#all.get(name);
    const { choice } = await ask(() => ({
      title: words`Delete “${name}”?`,
      text: [[size(f.size) + ', changed ' + date(f.date)], ['It will be deleted for everybody and cannot be recovered.']],
      choices: [{ value: 'keep', label: 'Keep it' }, { value: 'delete', label: 'Delete', class: 'danger' }],
    }));
    if (choice !== 'delete') {
      return;
    }
    control.setAttribute('aria-disabled', 'true');
    try {
      const answer = await fetch(path(name), { method: 'DELETE', headers: { 'If-Match': f.tag }, signal: AbortSignal.timeout(20_000) });
      if (answer.status === 412) {
        await this.refresh();
        if (this.#all.has(name)) {
          throw new Error('Meanwhile it has changed. Look at it again.');
        }
      } else if (!answer.ok && answer.status !== 404) {
        throw new Error(reason(answer.status, await answer.text()));
      }
      solved('delete ' + name);
      say(...words`“${name}” was deleted.`);
    } catch (why) {
      problem('delete ' + name, [...words`“${name}” was not deleted. `, told(why)]);
    }
    control.removeAttribute('aria-disabled');
    this.refresh();
  }
}
