/**
 * What the bytes of an origin mean, by the reference parser, and whether what the caller got is the same,
 * or an error of ours, or visibly cut.
 */
import { type ReferenceMessage, readResponse, valuesOf } from '../support/reference-message.ts';
import type { LoggedExchange } from '../support/sidecar.ts';

/** The final response among `bytes`. */
export type Meaning =
  | { readonly kind: 'message'; readonly message: ReferenceMessage; readonly more: boolean }
  | { readonly kind: 'incomplete'; readonly body: Buffer | null }
  | { readonly kind: 'invalid' };

const INTERIM_MAX = 32;

export function meaningOf(bytes: Buffer, method: string, ended: boolean): Meaning {
  let at = 0;
  for (let interim = 0; interim <= INTERIM_MAX; interim++) {
    const reading = readResponse(bytes, at, method, ended);
    if (reading.kind !== 'message') return reading;
    const { message } = reading;
    const status = Number(message.start[1]);
    if (status === 101) return { kind: 'invalid' };
    if (status >= 200) return { kind: 'message', message, more: message.end < bytes.length };
    at = message.end;
  }
  return { kind: 'invalid' };
}

/** What a caller has by now; null: not the whole of a final response. */
export function finalOf(bytes: Buffer, method: string, ended: boolean): Meaning | null {
  const meaning = meaningOf(bytes, method, ended);
  return meaning.kind === 'incomplete' && !ended ? null : meaning;
}

/** Fields that the sidecar makes itself. */
// biome-ignore format: a group a line
const OURS = new Set(['via', 'x-request-id', 'proxy-status', 'date', 'connection', 'transfer-encoding', 'content-length', 'keep-alive', 'trailer']);

const spelled = (fields: ReferenceMessage['fields']): string[] =>
  fields.map(([name, value]) => `${name.toLowerCase()}: ${value}`);

function isOurs({ start: [, status], fields }: ReferenceMessage): boolean {
  const said = valuesOf(fields, 'proxy-status').at(-1) ?? '';
  return (status === '502' || status === '504') && /(^|, *)outrigger; error=[a-z_]+/.test(said);
}

interface Heard {
  readonly bytes: Buffer;
  /** The connection is over; `reset`: not in good order. */
  readonly ended: boolean;
  readonly reset: boolean;
}

/** Null: the caller heard what was meant, or that it went wrong. */
export function disagreement(
  meaning: Meaning,
  heard: Heard,
  method: string,
  line: LoggedExchange,
): string | null {
  const got = meaningOf(heard.bytes, method, heard.ended);
  if (got.kind === 'invalid') return 'the caller got what is no response';
  const cut = got.kind === 'incomplete' || (got.message.framing === 'close' && heard.reset);
  const body = got.kind === 'incomplete' ? got.body : got.message.body;
  if (cut) {
    if (line.outcome === 'completed') return 'logged as completed, and it was cut';
    if (meaning.kind === 'invalid' || body === null || body.length === 0) return null;
    const meant = meaning.kind === 'incomplete' ? (meaning.body ?? Buffer.alloc(0)) : meaning.message.body;
    return meant.subarray(0, body.length).equals(body) ? null : 'what was cut was not a part of it';
  }
  const { message } = got;
  if (got.more) return 'more came than one response';
  if (line.status !== Number(message.start[1])) return `logged ${line.status} for ${message.start[1]}`;
  if (isOurs(message)) return null;
  if (meaning.kind !== 'message') return `what is ${meaning.kind} looked whole`;
  const { start, fields, body: meant } = meaning.message;
  if (message.start[1] !== start[1]) return `status ${message.start[1]} for ${start[1]}`;
  if (!message.body.equals(meant)) return `body ${JSON.stringify(message.body.toString('latin1'))}`;
  if (line.outcome !== 'completed') return `logged as ${line.outcome}, and it was whole`;
  if (line.responseBytes !== meant.length) return `logged ${line.responseBytes} bytes of ${meant.length}`;
  const sent = spelled(fields);
  const invented = spelled(message.fields).find(
    (one) => !OURS.has(one.slice(0, one.indexOf(':'))) && !sent.includes(one),
  );
  if (invented !== undefined) return `a field ${invented} that nobody sent`;
  const cookies = valuesOf(message.fields, 'set-cookie').join();
  if (cookies !== valuesOf(fields, 'set-cookie').join()) return `cookies ${cookies}`;
  const trailers = spelled(meaning.message.trailers);
  if (!spelled(message.trailers).every((one) => trailers.includes(one))) return 'trailers that nobody sent';
  return null;
}
