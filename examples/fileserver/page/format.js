const units = ['byte', 'kilobyte', 'megabyte', 'gigabyte', 'terabyte'].map(unit =>
  new Intl.NumberFormat('en', { style: 'unit', unit, unitDisplay: unit === 'byte' ? 'long' : 'short', maximumSignificantDigits: 3 }));

export function size(n) {
  if (n < 0) {
    return 'unknown size';
  }
  let i = 0;
  for (; n >= 999.5 && i < units.length - 1; i++) {
    n /= 1000;
  }
  return units[i].format(n).replace(' ', '\u00a0'); // is not torn at the end of a line
}

// left says how long something takes that needs so many seconds.
export function left(seconds) {
  if (!Number.isFinite(seconds)) {
    return '';
  }
  if (seconds < 59.5) {
    return Math.max(1, Math.round(seconds)) + ' s left';
  }
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? minutes + ' min left' : Math.floor(minutes / 60) + ' h ' + minutes % 60 + ' min left';
}

const whole = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });
const thisYear = new Intl.DateTimeFormat(undefined, { month: 'short', day: 'numeric', hour: 'numeric', minute: '2-digit' });
const otherYear = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium' });
const times = new Intl.DateTimeFormat(undefined, { timeStyle: 'short' });

export const date = when => whole.format(when);
export const shortDate = when => (when.getFullYear() === new Date().getFullYear() ? thisYear : otherYear).format(when);
export const time = when => times.format(when);

const natural = new Intl.Collator(undefined, { numeric: true, sensitivity: 'base' });

// byName orders names as people do: file2 before file10.
export const byName = (a, b) => natural.compare(a, b) || (a < b ? -1 : a > b ? 1 : 0);

const plain = text => text.normalize('NFKD').replace(/\p{M}/gu, '').toLowerCase();

// matcher tells which names have all the words of a search, in any case and without accents.
export function matcher(search) {
  const all = plain(search).split(/\s+/).filter(Boolean);
  return name => all.every(word => plain(name).includes(word));
}

// numbered is the name of a further file: "a (2).txt" for "a.txt". A name has up to 255 bytes.
export function numbered(name, n) {
  const dot = name.lastIndexOf('.');
  const [stem, ending] = dot > 0 && name.length - dot <= 16 ? [name.slice(0, dot), name.slice(dot)] : [name, ''];
  const letters = [...stem];
  const whole = () => letters.join('') + ' (' + n + ')' + ending;
  while (new TextEncoder().encode(whole()).length > 255) {
    letters.pop();
  }
  return whole();
}
