import { $, arrange, button, leave, make, words } from './dom.js';
import { size, time } from './format.js';
import { problem } from './notices.js';

const most = 10; // ended transfers that are shown, but for failed ones

const texts = {
  upload: { runs: 'Being uploaded', over: 'Uploaded', failed: 'Upload failed.' },
  download: { runs: 'Being downloaded', over: 'Downloaded', failed: 'Download failed.' },
  delete: { runs: 'Being deleted', over: 'Deleted', failed: 'Not deleted.' },
};

// Activity is the list of what everybody does, but for this window's uploads, which have
// their own list.
export class Activity {
  #window;
  #server;
  #items = new Map(); // by server and id, in the order of their beginning
  #dismissed = new Set();

  constructor(window) {
    this.#window = window;
  }

  // connected is called with the id of the server, before it tells of its transfers.
  connected(server) {
    if (this.#server && this.#server !== server) {
      this.#end('The server was stopped.');
    }
    this.#server = server;
  }

  lost() {
    this.#end('The connection to the server was lost.');
  }

  #end(fault) {
    for (const item of this.#items.values()) {
      if (!item.t.over) {
        item.t = { ...item.t, over: true, fault };
      }
    }
    this.#show();
  }

  transfer(t) {
    const key = this.#server + ' ' + t.id;
    if (t.window === this.#window) {
      if (t.kind === 'upload') {
        return;
      }
      const before = this.#items.get(key);
      if (t.fault && !before?.t.fault) {
        problem('download ' + key, [...words`“${t.name}” was not downloaded whole. `, t.fault]);
      }
    }
    if (!this.#dismissed.has(key)) {
      this.#items.set(key, Object.assign(this.#items.get(key) ?? this.#make(key), { t }));
      this.#show();
    }
  }

  #make(key) {
    const item = {
      name: make('bdi', { class: 'name' }), text: make('p', { class: 'text' }),
      bar: make('progress'), actions: make('div', { class: 'actions' }),
      dismiss: button('Dismiss', () => {
        this.#dismissed.add(key);
        this.#items.delete(key);
        leave(item.element, $('top'));
        this.#show();
      }, { class: 'quiet' }),
    };
    item.element = make('li', {}, item.name, item.actions, item.bar, item.text);
    return item;
  }

  #show() {
    let ended = 0;
    for (const [key, { t }] of [...this.#items].reverse()) {
      if (t.over && !t.fault && ++ended > most) {
        this.#items.delete(key);
      }
    }
    arrange($('activity'), [...this.#items.values()].reverse().map(item => this.#update(item)));
    $('quiet').hidden = this.#items.size > 0;
  }

  #update(item) {
    const { t } = item;
    const say = texts[t.kind];
    item.element.className = t.fault ? 'failed' : t.over ? 'over' : 'running';
    item.element.dataset.kind = t.kind;
    item.name.textContent = t.name;
    item.bar.hidden = t.over;
    item.bar.setAttribute('aria-label', say.runs + ': ' + t.name);
    if (t.total > 0) {
      item.bar.max = t.total;
      item.bar.value = t.done;
    } else {
      item.bar.removeAttribute('value');
    }
    const amount = t.kind === 'delete' ? '' : t.over ? (t.fault || t.part ? size(t.done) + ' of ' : '') + size(t.total < 0 ? t.done : t.total) :
      size(t.done) + (t.total < 0 ? '' : ' of ' + size(t.total));
    const result = t.fault ? make('span', { class: 'why' }, say.failed + ' ' + t.fault) : say[t.over ? 'over' : 'runs'] + (t.part ? ' in part' : '');
    item.text.replaceChildren(result, ...[amount, time(t.time)].filter(Boolean).map(more => ' · ' + more));
    if (t.fault && !item.dismiss.isConnected) {
      item.dismiss.setAttribute('aria-label', 'Dismiss ' + t.name);
      item.actions.append(item.dismiss);
    }
    return item.element;
  }
}
