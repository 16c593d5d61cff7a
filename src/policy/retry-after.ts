/**
 * Retry-After (RFC 9110, section 10.2.3) as milliseconds from now. The clock is an argument.
 *
 * Keeps: a recipient accepts all three forms of a date (section 5.6.7); nonsense is null, the past is 0, and
 * nothing is larger than a timer can wait for.
 */

/** The longest span setTimeout knows; anything longer is capped to it. */
const MAX_MS = 2 ** 31 - 1;

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
const DAYS_IN_FULL = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];

export function parseRetryAfter(value: string, nowMs: number): number | null {
  const text = value.trim();
  const first = text.charCodeAt(0);
  if (first >= 0x30 && first <= 0x39) return parseDelaySeconds(text);
  const at = parseHttpDate(text, nowMs);
  return at === null ? null : Math.min(MAX_MS, Math.max(0, at - nowMs));
}

/** delay-seconds = 1*DIGIT; saturates, so that no number of digits overflows. */
function parseDelaySeconds(text: string): number | null {
  let seconds = 0;
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) return null;
    seconds = Math.min(MAX_MS, seconds * 10 + digit);
  }
  return Math.min(MAX_MS, seconds * 1000);
}

/** The day's name must be one, but need not be the right one: a wrong name tells nothing about the moment. */
function parseHttpDate(text: string, nowMs: number): number | null {
  const comma = text.indexOf(',');
  // asctime-date: `Sun Nov  6 08:49:37 1994`
  if (comma === -1) {
    if (text.length !== 24 || !DAYS.includes(text.slice(0, 3)) || text[3] !== ' ' || text[7] !== ' ')
      return null;
    if (text[10] !== ' ' || text[19] !== ' ') return null;
    const day = text[8] === ' ' ? digits(text, 9, 1) : digits(text, 8, 2);
    return moment(digits(text, 20, 4), text.slice(4, 7), day, text.slice(11, 19));
  }
  // IMF-fixdate: `Sun, 06 Nov 1994 08:49:37 GMT`
  if (comma === 3) {
    if (text.length !== 29 || !DAYS.includes(text.slice(0, 3)) || !text.endsWith(' GMT')) return null;
    if (text[4] !== ' ' || text[7] !== ' ' || text[11] !== ' ' || text[16] !== ' ') return null;
    return moment(digits(text, 12, 4), text.slice(8, 11), digits(text, 5, 2), text.slice(17, 25));
  }
  // rfc850-date: `Sunday, 06-Nov-94 08:49:37 GMT`
  if (!DAYS_IN_FULL.includes(text.slice(0, comma)) || text.length !== comma + 24 || !text.endsWith(' GMT'))
    return null;
  const rest = text.slice(comma + 1);
  if (rest[0] !== ' ' || rest[3] !== '-' || rest[7] !== '-' || rest[10] !== ' ') return null;
  const month = rest.slice(4, 7);
  const day = digits(rest, 1, 2);
  const time = rest.slice(11, 19);
  const ending = digits(rest, 8, 2);
  const century = Math.floor(new Date(nowMs).getUTCFullYear() / 100) * 100;
  // Section 5.6.7: more than 50 years in the future is the most recent year in the past with these digits.
  for (let year = century + 100 + ending; year >= century - 100; year -= 100) {
    const candidate = moment(year, month, day, time);
    if (candidate !== null && candidate <= fiftyYearsAfter(nowMs)) return candidate;
  }
  return null;
}

function fiftyYearsAfter(nowMs: number): number {
  const date = new Date(nowMs);
  return date.setUTCFullYear(date.getUTCFullYear() + 50);
}

/** NaN where one of `count` characters is no digit. */
function digits(text: string, from: number, count: number): number {
  let number = 0;
  for (let i = from; i < from + count; i++) {
    const digit = text.charCodeAt(i) - 0x30;
    if (!(digit >= 0 && digit <= 9)) return Number.NaN;
    number = number * 10 + digit;
  }
  return number;
}

/** Null for what is on no calendar or no clock; 60 is a leap second (RFC 9110, section 5.6.7). */
function moment(year: number, monthName: string, day: number, time: string): number | null {
  const month = MONTHS.indexOf(monthName);
  const hour = digits(time, 0, 2);
  const minute = digits(time, 3, 2);
  const second = digits(time, 6, 2);
  if (month === -1 || time[2] !== ':' || time[5] !== ':') return null;
  if (!(hour <= 23 && minute <= 59 && second <= 60 && day >= 1 && year >= 0)) return null;
  const date = new Date(0);
  date.setUTCFullYear(year, month, day);
  if (date.getUTCMonth() !== month) return null;
  return date.getTime() + ((hour * 60 + minute) * 60 + second) * 1000;
}
