// How long the server may say nothing; it says something every 10 s.
const silence = 30_000;
// How long to wait before each try to reach it again; the last one from then on.
const pauses = [500, 1000, 2000, 3000];

// Connection is the stream of the server's events. It dispatches connected, with the id of
// the server, transfer, and lost. It is given up while nobody sees the page, since a browser
// has few connections to a server for all of its windows.
export class Connection extends EventTarget {
  state = 'connecting'; // connected, lost, resting
  #source; // undefined while there is none
  #heard; // when the server has said something
  #timer; // of the next try
  #tries = 0;

  constructor() {
    super();
    document.addEventListener('visibilitychange', () => document.hidden ? this.#rest() : this.retry());
    setInterval(() => {
      if (this.#source && Date.now() - this.#heard > silence) {
        this.#lose();
      }
    }, 1000);
    addEventListener('online', () => this.retry());
    addEventListener('pagehide', () => this.#rest());
    addEventListener('pageshow', e => e.persisted && this.retry());
    this.#open();
  }

  // retry tries at once when there is no connection.
  retry() {
    if (this.state !== 'connected') {
      this.#open();
    }
  }

  #open() {
    this.#stop();
    const source = this.#source = new EventSource('/events');
    const hear = () => { this.#heard = Date.now(); };
    hear();
    source.onerror = () => this.#lose();
    source.addEventListener('alive', hear);
    source.addEventListener('server', e => {
      hear();
      this.#tries = 0;
      this.#tell('connected', e.data);
    });
    source.addEventListener('transfer', e => {
      hear();
      this.dispatchEvent(new CustomEvent('transfer', { detail: JSON.parse(e.data) }));
    });
  }

  #lose() {
    this.#stop();
    this.#timer = setTimeout(() => this.#open(), pauses[Math.min(this.#tries++, pauses.length - 1)]);
    if (this.state !== 'lost') {
      this.#tell('lost');
    }
  }

  #rest() {
    this.#stop();
    if (this.state === 'connected') {
      this.state = 'resting';
    }
  }

  #stop() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = undefined;
  }

  #tell(state, detail) {
    this.state = state;
    this.dispatchEvent(new CustomEvent(state, { detail }));
  }
}
