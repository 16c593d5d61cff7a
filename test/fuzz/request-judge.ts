/**
 * What the bytes of one connection mean, by the reference parser, and whether the sidecar agreed: what it
 * logged, what the recorder got, and what the caller was told must be the same story.
 */
import { type ReferenceMessage, readRequest, readResponse, valuesOf } from '../support/reference-message.ts';
import type { LoggedExchange } from '../support/sidecar.ts';

/** A request as it should arrive; `path` null: it must not. */
interface Expected {
  readonly message: ReferenceMessage;
  readonly path: string | null;
}

export interface Plan {
  readonly requests: readonly Expected[];
  /** What follows them. `closed`: the connection ends with the last of them. */
  readonly tail: 'nothing' | 'closed' | 'incomplete' | 'invalid';
}

const HOST = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._~!$&'()*+;=%-]+)(:[0-9]*)?$/;
export const PREFACE = 'PRI * HTTP/2.0';

/** Null: this is no request that may go to the origin; undefined: it is no request at all. */
function pathOf(message: ReferenceMessage, authority: string): string | null | undefined {
  const [method, target, version] = message.start;
  const hosts = valuesOf(message.fields, 'host');
  if (hosts.length > 1 || (version === 'HTTP/1.1' && hosts.length === 0)) return undefined;
  if (hosts.some((host) => !HOST.test(host))) return undefined;
  if (method.length > 64) return undefined;
  if (method === 'CONNECT') return null;
  if (target.includes('#')) return undefined;
  if (target.startsWith('/')) {
    const rest = /^\/p(?=[/?]|$)(.*)$/.exec(target)?.[1];
    return rest === undefined ? null : rest.startsWith('/') ? rest : `/${rest}`;
  }
  const [, host = '', rest = ''] = /^http:\/\/([^/?#\\]*)([/?].*)?$/i.exec(target) ?? [];
  if (host.toLowerCase().replace('.:', ':') !== authority) return null;
  if (method === 'TRACE') return null;
  return rest.startsWith('/') ? rest : `/${rest}`;
}

/** RFC 9112, section 9.3. */
function closes({ start: [, , version], fields }: ReferenceMessage): boolean {
  const options = valuesOf(fields, 'connection').join(',').toLowerCase().split(',');
  const names = options.map((option) => option.trim());
  return names.includes('close') || (version === 'HTTP/1.0' && !names.includes('keep-alive'));
}

/** RFC 6455, section 4.1: whatever its answer is, nothing need follow it. */
function shakesHands({ start: [method, , version], fields, framing, body }: ReferenceMessage): boolean {
  if (method !== 'GET' || version !== 'HTTP/1.1' || framing === 'chunked' || body.length > 0) return false;
  const upgrades = /(^|,)\s*upgrade\s*($|,)/i.test(valuesOf(fields, 'connection').join());
  return upgrades && /(^|,)\s*websocket\s*($|,)/i.test(valuesOf(fields, 'upgrade').join());
}

export function planOf(bytes: Buffer, authority: string): Plan {
  const requests: Expected[] = [];
  let at = 0;
  while (at < bytes.length) {
    const reading = readRequest(bytes, at);
    if (reading.kind !== 'message') return { requests, tail: reading.kind };
    const { message } = reading;
    const path = pathOf(message, authority);
    if (path === undefined) return { requests, tail: 'invalid' };
    requests.push({ message, path });
    if (closes(message) || message.start[0] === 'CONNECT' || shakesHands(message))
      return { requests, tail: 'closed' };
    at = message.end;
  }
  return { requests, tail: 'nothing' };
}

/** Fields that the sidecar makes itself. */
// biome-ignore format: a group a line
const OURS = new Set(['host', 'via', 'x-request-id', 'traceparent', 'content-length', 'transfer-encoding', 'connection', 'max-forwards', 'te', 'upgrade']);
/** Fields that a request may lose on its way. */
// biome-ignore format: a group a line
const MAY_GO = new Set(['connection', 'host', 'expect', 'proxy-connection', 'keep-alive', 'te', 'trailer', 'upgrade', 'http2-settings', 'x-request-id', 'max-forwards', 'proxy-authorization', 'transfer-encoding', 'content-length', 'via', 'traceparent', 'tracestate']);

const spelled = (fields: ReferenceMessage['fields']): string[] =>
  fields.map(([name, value]) => `${name.toLowerCase()}: ${value}`);

/** Null: the recorder got what was meant. */
function difference({ message, path }: Expected, got: ReferenceMessage, authority: string): string | null {
  const [method, target] = got.start;
  if (path === null) return 'what may not pass has passed';
  if (method !== message.start[0]) return `method ${method}`;
  const asterisk = method === 'OPTIONS' && path === '/' && target === '*';
  if (target !== path && !asterisk) return `target ${target} for ${path}`;
  if (got.start[2] !== 'HTTP/1.1') return `version ${got.start[2]}`;
  if (!got.body.equals(message.body)) return `body ${JSON.stringify(got.body.toString('latin1'))}`;
  if (valuesOf(got.fields, 'host').join() !== authority) return `host ${valuesOf(got.fields, 'host').join()}`;
  const sent = spelled(message.fields);
  const arrived = spelled(got.fields);
  const invented = got.fields.find(([name, value]) => {
    const lower = name.toLowerCase();
    return !OURS.has(lower) && !sent.includes(`${lower}: ${value}`);
  });
  if (invented) return `a field ${invented.join(': ')} that nobody sent`;
  const named = valuesOf(message.fields, 'connection')
    .join(',')
    .toLowerCase()
    .split(',')
    .map((one) => one.trim());
  const stays = (text: string): boolean => {
    const name = text.slice(0, text.indexOf(':'));
    return !MAY_GO.has(name) && !named.includes(name);
  };
  const kept = arrived.filter((text) => stays(text) && sent.includes(text));
  const wanted = sent.filter(stays);
  if (kept.join('\n') !== wanted.join('\n')) return `fields ${kept.join('; ')} of ${wanted.join('; ')}`;
  const trailers = spelled(message.trailers);
  if (!spelled(got.trailers).every((one) => trailers.includes(one))) return 'trailers that nobody sent';
  return null;
}

/** The final responses that are whole in what a caller got, by their status; null: it is not HTTP. */
export function statusesOf(bytes: Buffer, plan: Plan, ended: boolean): number[] | null {
  const statuses: number[] = [];
  let at = 0;
  while (at < bytes.length) {
    const method = plan.requests[statuses.length]?.message.start[0] ?? 'GET';
    const reading = readResponse(bytes, at, method === 'CONNECT' ? 'GET' : method, ended);
    if (reading.kind === 'invalid') return null;
    if (reading.kind === 'incomplete') break;
    const status = Number(reading.message.start[1]);
    if (status >= 200) statuses.push(status);
    at = reading.message.end;
  }
  return statuses;
}

export interface Outcome {
  readonly lines: readonly LoggedExchange[];
  readonly recorded: readonly ReferenceMessage[];
  readonly invalid: readonly { readonly why: string }[];
  /** What the caller got. */
  readonly answers: Buffer;
  readonly authority: string;
}

/** Null: all agree. */
export function disagreement(plan: Plan, outcome: Outcome): string | null {
  const { lines, recorded, invalid, answers, authority } = outcome;
  const { requests, tail } = plan;
  if (invalid[0]) return `the recorder got what is no request: ${invalid[0].why}`;
  let next = 0;
  for (const [i, line] of lines.entries()) {
    const expected = requests[i];
    if (expected === undefined) {
      if (line.status === 200) return `line ${i}: a 200 for what is ${tail}`;
      if (i > requests.length) return `line ${i}: more lines than requests`;
      if (tail === 'nothing' || tail === 'closed') return `line ${i}: a request that nobody sent`;
      continue;
    }
    const got = recorded[next];
    const differs = got === undefined ? 'nothing' : difference(expected, got, authority);
    if (line.status !== 200) {
      // Refused, or the caller had gone: the origin may have it only as it was meant.
      if (line.attempts.length > 0 && differs === null) next++;
      continue;
    }
    if (differs !== null) return `line ${i}: the recorder has ${differs}`;
    next++;
    // The log holds as much of a name as somebody reads.
    const method = expected.message.start[0].slice(0, 32);
    if (line.method !== method) return `line ${i}: logged method ${line.method}`;
    const { path } = expected;
    if (line.path !== path && !(path === '/' && line.path === '*'))
      return `line ${i}: logged path ${line.path}`;
    if (`${line.host}:${line.port}` !== authority) return `line ${i}: logged ${line.host}:${line.port}`;
    if (line.requestBytes !== expected.message.body.length)
      return `line ${i}: logged ${line.requestBytes} bytes`;
  }
  if (next !== recorded.length) return `the recorder has ${recorded.length} requests, ${next} are explained`;
  const allWell = lines.every(({ status }) => status === 200);
  if (allWell && lines.length < requests.length) return `only ${lines.length} of ${requests.length} lines`;
  const statuses = statusesOf(answers, plan, true);
  if (statuses === null) return 'the caller got what is no response';
  if (statuses.some((status, i) => status !== lines[i]?.status)) return `the caller got ${statuses.join()}`;
  return null;
}
