/**
 * A JSON log line for people: `12:00:01.123 GET http://api.x/y 200 completed 12.3ms attempts=2 id=…`.
 *
 * Rules: one line in, one line out (a stack is indented below it); no control character of anybody else
 * reaches the terminal; what is no JSON is passed on as it is, so that nothing is ever hidden. It does
 * not know the types of the house, only the fields of a line.
 */
type Fields = Record<string, unknown>;

const COLOURS: Readonly<Record<string, string>> = Object.freeze({
  trace: '90',
  debug: '90',
  info: '32',
  warn: '33',
  error: '31',
  fatal: '31',
});

/** Whatever could move a cursor, turn text round or start a line of its own. */
const UNSAFE = /[\p{C}\p{Zl}\p{Zp}]/gu;

const escapeCharacter = (character: string): string =>
  `\\u{${(character.codePointAt(0) as number).toString(16)}}`;

const safe = (value: unknown): string =>
  (typeof value === 'string' ? value : (JSON.stringify(value) ?? '')).replace(UNSAFE, escapeCharacter);

export function prettyLine(line: string, colour: boolean): string {
  const fields = parsed(line);
  if (fields === null) return line;
  const { time, level, msg, ...rest } = fields;
  const paint = (text: string): string =>
    colour ? `\x1b[${COLOURS[String(level)] ?? '0'}m${text}\x1b[0m` : text;
  const clock = safe(time).slice(11, 23);
  const body =
    msg === 'exchange' && typeof rest['outcome'] === 'string' ? exchange(rest, paint) : plain(rest);
  return msg === 'exchange' ? `${clock} ${body}` : `${clock} ${paint(safe(level))} ${safe(msg)}${body}`;
}

function parsed(line: string): Fields | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' ? (value as Fields | null) : null;
  } catch {
    return null;
  }
}

function exchange(fields: Fields, paint: (text: string) => string): string {
  const { method, scheme, host, port, path, status, outcome, durationMs, attempts, error, reason } = fields;
  const name = safe(host).includes(':') ? `[${safe(host)}]` : safe(host);
  const usual = (scheme === 'http' && port === 80) || (scheme === 'https' && port === 443);
  const url =
    host === null ? safe(path) : `${safe(scheme)}://${name}${usual ? '' : `:${safe(port)}`}${safe(path)}`;
  const ms = typeof durationMs === 'number' ? `${durationMs.toFixed(1)}ms` : '-';
  const tries = Array.isArray(attempts) ? attempts.length : 0;
  return (
    `${safe(method)} ${url} ${paint(`${status === null ? '-' : safe(status)} ${safe(outcome)}`)} ${ms}` +
    (tries > 1 ? ` attempts=${tries}` : '') +
    (error === null ? '' : ` error=${safe(error)}`) +
    (reason === null ? '' : ` reason=${quoted(reason)}`) +
    ` id=${safe(fields['requestId'])}`
  );
}

/** The other lines: their fields as they come, a stack below. */
function plain(fields: Fields): string {
  let text = '';
  let below = '';
  for (const [key, value] of Object.entries(fields)) {
    if (typeof value === 'string' && value.includes('\n')) {
      below += value
        .split('\n')
        .map((part) => `\n    ${safe(part)}`)
        .join('');
    } else text += ` ${safe(key)}=${quoted(value)}`;
  }
  return text + below;
}

const quoted = (value: unknown): string => {
  const text = safe(value);
  return typeof value === 'string' && /[\s"]/.test(text) ? JSON.stringify(text) : text;
};
