import { $, button, words } from './dom.js';
import { Activity } from './activity.js';
import { Connection } from './connection.js';
import { Files } from './files.js';
import { problem, say, solved } from './notices.js';
import { Uploads } from './uploads.js';

// What the server is told that this window does, it tells back with this name.
const name = [...crypto.getRandomValues(new Uint8Array(12))].map(b => b.toString(16).padStart(2, '0')).join('');

const connection = new Connection();
const files = new Files(connection, name);
const activity = new Activity(name);
const uploads = new Uploads(files, connection, name);

function show(state, text) {
  $('connection').dataset.state = state;
  $('connection').textContent = text;
}

let wasLost = false;

connection.addEventListener('connected', e => {
  activity.connected(e.detail);
  files.refresh();
  show('connected', 'Connected');
  solved('lost');
  if (wasLost) {
    say('The server is back.');
  }
  wasLost = false;
});

connection.addEventListener('lost', () => {
  wasLost = true;
  activity.lost();
  show('lost', 'Not connected');
  problem('lost', ['The server does not answer. The page reconnects by itself.'],
    { actions: [button('Try now', () => connection.retry())], dismiss: false });
});

connection.addEventListener('transfer', e => {
  activity.transfer(e.detail);
  if (e.detail.over && e.detail.kind !== 'download') {
    files.refresh();
  }
});

$('choose').addEventListener('change', e => {
  uploads.add([...e.target.files]);
  e.target.value = ''; // the same file can be chosen again
});

// Files can be dropped anywhere.
const hasFiles = e => e.dataTransfer?.types.includes('Files');

addEventListener('dragover', e => {
  if (hasFiles(e)) {
    e.preventDefault();
    e.dataTransfer.dropEffect = 'copy';
    $('target').hidden = false;
  }
});
addEventListener('dragleave', e => {
  if (e.relatedTarget === null) {
    $('target').hidden = true;
  }
});
addEventListener('drop', e => {
  $('target').hidden = true;
  if (!hasFiles(e)) {
    return;
  }
  e.preventDefault();
  const dropped = [...e.dataTransfer.items].filter(i => i.kind === 'file');
  const isFolder = i => i.webkitGetAsEntry?.()?.isDirectory;
  for (const folder of dropped.filter(isFolder)) {
    const called = folder.webkitGetAsEntry().name;
    problem('folder ' + called, words`“${called}” is a folder. Only files can be uploaded: choose those in it.`);
  }
  uploads.add(dropped.filter(i => !isFolder(i)).map(i => i.getAsFile()).filter(Boolean));
});
