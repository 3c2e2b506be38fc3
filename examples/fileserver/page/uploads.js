import { $, arrange, button, leave, make, replaceButtons, words } from './dom.js';
import { left, date, size } from './format.js';
import { ask } from './dialogs.js';
import { path, reason } from './files.js';
import { say } from './notices.js';

const parallel = 3;
// How long an upload may stand still. The server waits for as long.
const standstill = 60_000;

// Uploads are the uploads of this window. Each one is waiting, asking, sending, or it has
// ended: done, failed, cancelled.
export class Uploads {
  #items = [];
  #files;
  #connection;
  #window;
  #forAll; // what was chosen for all files that are there already, until none is left

  constructor(files, connection, window) {
    this.#files = files;
    this.#connection = connection;
    this.#window = window;
    $('clear').addEventListener('click', () => this.#clear());
    connection.addEventListener('lost', () => this.#items.forEach(u => this.#update(u)));
    connection.addEventListener('connected', () => this.#next());
    setInterval(() => this.#items.filter(u => u.state === 'sending').forEach(u => this.#look(u)), 1000);
    addEventListener('beforeunload', e => {
      if (this.#items.some(u => ['waiting', 'asking', 'sending'].includes(u.state))) {
        e.preventDefault();
      }
    });
  }

  add(files) {
    for (const file of files) {
      this.#add(file);
    }
    this.#next();
  }

  #add(file) {
    const u = {
      file, name: file.name, condition: { 'If-None-Match': '*' }, samples: [],
      title: make('bdi', { class: 'name' }, file.name), bar: make('progress', { max: 1, value: 0 }),
      text: make('div', { class: 'text' }), actions: make('div', { class: 'actions' }),
    };
    u.element = make('li', {}, u.title, u.actions, u.bar, u.text);
    this.#items.push(u);
    $('uploads').append(u.element);
    if (file.size > this.#files.limit) {
      this.#end(u, 'failed', 'It is larger than the server takes: ' + size(this.#files.limit) + '.', true);
    } else if (this.#files.get(u.name)) {
      this.#ask(u);
    } else {
      this.#set(u, 'waiting');
    }
  }

  // next lets waiting uploads begin.
  #next() {
    let free = parallel - this.#items.filter(u => u.state === 'sending').length;
    for (const u of this.#items) {
      if (u.state === 'waiting' && free > 0 && this.#connection.state !== 'lost') {
        free--;
        this.#send(u);
      }
    }
    $('clear').hidden = this.#items.filter(u => u.state === 'done').length < 2;
  }

  // ask finds out what to do with a file whose name is taken.
  async #ask(u) {
    this.#set(u, 'asking');
    const waiting = () => this.#items.filter(o => o.state === 'asking').length;
    let there; // the version that is asked about: no other one is replaced
    const { choice, all } = await ask(() => {
      there = this.#files.get(u.name);
      if (u.state !== 'asking' || !there || this.#forAll) {
        return undefined;
      }
      return {
        title: words`Replace “${u.name}”?`,
        text: [
          ['On the server: ' + size(there.size) + ', changed ' + date(there.date)],
          ['Yours: ' + size(u.file.size) + ', changed ' + date(u.file.lastModified)],
        ],
        box: waiting() > 1 ? 'Do the same for the other ' + (waiting() > 2 ? waiting() - 1 + ' files whose names are taken' : 'file whose name is taken') : '',
        choices: [{ value: 'skip', label: 'Skip' }, { value: 'both', label: 'Keep both' }, { value: 'replace', label: 'Replace', class: 'danger' }],
      };
    });
    if (all) {
      this.#forAll = choice;
    }
    if (u.state === 'asking') {
      this.#decide(u, there, this.#forAll ?? choice);
    }
    if (!waiting()) {
      this.#forAll = undefined;
    }
    this.#next();
  }

  #decide(u, there, choice) {
    if (!there) { // it has gone
      u.condition = { 'If-None-Match': '*' };
      this.#set(u, 'waiting');
    } else if (choice === 'replace') {
      u.condition = { 'If-Match': there.tag };
      this.#set(u, 'waiting');
    } else if (choice === 'both') {
      u.name = this.#files.free(u.file.name, ...this.#items.map(o => o.name));
      u.title.textContent = u.name;
      u.condition = { 'If-None-Match': '*' };
      this.#set(u, 'waiting');
    } else {
      this.#end(u, 'cancelled', 'Skipped: a file of this name is on the server.');
    }
  }

  // send uploads by XMLHttpRequest, since fetch does not tell how far an upload has come.
  #send(u) {
    const x = u.request = new XMLHttpRequest();
    u.sent = 0;
    u.moved = Date.now();
    u.broken = undefined;
    u.samples = [];
    this.#set(u, 'sending');
    x.upload.onprogress = e => {
      u.sent = e.loaded;
      u.moved = Date.now();
      this.#update(u);
    };
    x.onload = async () => {
      if (x.status >= 200 && x.status < 300) {
        this.#end(u, 'done', 'Uploaded · ' + size(u.file.size));
        say(...words`“${u.name}” was uploaded.`);
        this.#files.refresh();
      } else if (x.status === 412) {
        this.#set(u, 'asking');
        await this.#files.refresh();
        if (u.state !== 'asking') {
          return;
        }
        if (u.condition['If-None-Match'] && !this.#files.get(u.name)) { // one that the system takes for the same
          this.#end(u, 'failed', 'Another file is in its place.');
        } else {
          this.#ask(u);
        }
      } else {
        this.#end(u, 'failed', reason(x.status, x.responseText), [400, 413].includes(x.status));
      }
    };
    x.onerror = async () => {
      try {
        await u.file.slice(0, 1).arrayBuffer();
        this.#end(u, 'failed', 'The connection to the server was lost.');
      } catch {
        this.#end(u, 'failed', 'The file on this computer cannot be read, or has changed. Choose it again.', true);
      }
    };
    x.onabort = () => u.broken ? this.#end(u, 'failed', u.broken) : this.#end(u, 'cancelled', 'Cancelled');
    try {
      x.open('PUT', path(u.name));
      for (const [name, value] of Object.entries({ ...u.condition, 'X-Window': this.#window })) {
        x.setRequestHeader(name, value);
      }
      x.send(u.file);
    } catch (why) { // a name that is no text
      this.#end(u, 'failed', why.message, true);
    }
  }

  // look is called while an upload runs, also when nothing moves.
  #look(u) {
    const still = Date.now() - u.moved;
    if (still > standstill && (u.sent < u.file.size || this.#connection.state === 'lost')) {
      u.broken = 'Nothing has moved for a minute.';
      u.request.abort();
    } else {
      this.#update(u);
    }
  }

  #cancel(u) {
    if (u.state === 'sending') {
      u.request.abort();
    } else {
      this.#end(u, 'cancelled', 'Cancelled');
    }
  }

  // end is called with useless when another try would end in the same way.
  #end(u, state, text, useless = false) {
    u.why = text;
    u.useless = useless;
    u.request = undefined;
    this.#set(u, state);
    this.#next();
  }

  #retry(u) {
    if (this.#files.get(u.name) && u.condition['If-None-Match']) {
      this.#ask(u);
    } else {
      this.#set(u, 'waiting');
      this.#next();
    }
  }

  #dismiss(u) {
    this.#items = this.#items.filter(o => o !== u);
    leave(u.element, $('choose'));
    this.#next();
  }

  #clear() {
    this.#items = this.#items.filter(u => u.state !== 'done');
    arrange($('uploads'), this.#items.map(u => u.element));
    $('choose').focus();
    this.#next();
  }

  #set(u, state) {
    u.state = state;
    u.element.className = state;
    u.element.dataset.state = state;
    const about = (label, click, more) => button(label, click, { 'aria-label': label + ' ' + u.name, ...more });
    const running = ['waiting', 'asking', 'sending'].includes(state);
    u.bar.hidden = state !== 'sending';
    u.bar.setAttribute('aria-label', 'Uploading ' + u.name);
    replaceButtons(u.actions, ...running ? [about('Cancel', () => this.#cancel(u))] :
      [...state === 'done' || u.useless ? [] : [about('Retry', () => this.#retry(u))], about('Dismiss', () => this.#dismiss(u), { class: 'quiet' })]);
    u.said = undefined;
    this.#update(u);
  }

  // update shows how far an upload has come.
  #update(u) {
    switch (u.state) {
      case 'waiting':
        this.#text(u, this.#connection.state === 'lost' ? 'Waiting for the server' : 'Waiting');
        break;
      case 'asking':
        this.#text(u, 'A file of this name is on the server');
        break;
      case 'sending':
        this.#text(u, this.#progress(u));
        break;
      default:
        this.#text(u, u.why, u.state === 'failed');
    }
  }

  #text(u, text, alert) {
    if (u.said !== text) {
      u.said = text;
      u.text.replaceChildren(alert ? make('p', { role: 'alert', class: 'why' }, make('span', { class: 'unseen' }, u.name + ': '), text) : make('p', {}, text));
    }
  }

  // progress tells the speed of the last seconds, and the time that the rest takes with it.
  #progress(u) {
    const all = u.file.size;
    const now = performance.now();
    u.bar.value = all > 0 ? u.sent / all : 0;
    if (u.sent === all && all > 0) {
      return 'All sent, the server is storing it';
    }
    u.samples.push({ now, sent: u.sent });
    while (u.samples.length > 2 && now - u.samples[0].now > 4000) {
      u.samples.shift();
    }
    const first = u.samples[0];
    const speed = (u.sent - first.sent) / ((now - first.now) / 1000);
    return [size(u.sent) + ' of ' + size(all), ...now - first.now > 200 ? [size(Math.round(speed)) + '/s', left((all - u.sent) / speed)] : []]
      .filter(Boolean).join(' · ');
  }
}
