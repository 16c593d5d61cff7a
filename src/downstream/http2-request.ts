/**
 * The request of an HTTP/2 stream, as HTTP/1.1 would have said it: a method, a target and a flat list of
 * fields, on the stream itself, whose bytes are the body.
 *
 * Rules: RFC 9113, section 8.3.1 (what :authority and Host say must be one), section 8.2.3 (the crumbs of
 * Cookie become one field again), section 8.1 (a body goes on until END_STREAM, whatever was announced).
 * A field that HTTP/2 forbids was dropped by nghttp2, or has ended its stream. It opens nothing and decides nothing.
 */
import type { ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import { OutriggerError } from '../errors.ts';
import type { Target } from '../exchange.ts';
import { isNamed } from '../headers/field-names.ts';
import type { HeadBounds } from '../http1/head-fault.ts';
import { METHOD_MAX } from '../http1/request-head.ts';
import type { CallerRequest } from './caller.ts';

/** What a field takes in HTTP/1.1 beside its name and value, so that one bound means one size. */
const FIELD_BYTES = 4;

const NONE: readonly string[] = [];

/** Where a stream came from. */
export interface StreamHome {
  readonly socket: Socket;
  /** The scheme of the tunnel, which settled where everything goes; null: there is none. */
  readonly inside: Target['scheme'] | null;
  /** Authorities that mean the sidecar itself, lower case. */
  readonly ownNames: ReadonlySet<string>;
  /** Of a head, as in HTTP/1.1; as they are now. */
  readonly services: { readonly bounds: HeadBounds };
}

/** The stream with a head. `raw` is the flat list of nghttp2, pseudo-header fields among it. */
export function requestOf(
  stream: ServerHttp2Stream,
  raw: readonly string[],
  endOfStream: boolean,
  home: StreamHome,
): CallerRequest {
  let method = '';
  let scheme = '';
  let authority: string | null = null;
  let path = '';
  let announced = false;
  let bytes = 0;
  let cookieAt = -1;
  const rest: string[] = [];
  const hosts: string[] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] as string;
    const value = raw[i + 1] as string;
    bytes += name.length + value.length + FIELD_BYTES;
    if (name === ':method') method = value;
    else if (name === ':scheme') scheme = value;
    else if (name === ':authority') authority = value;
    else if (name === ':path') path = value;
    else if (name === 'host') hosts.push(value);
    else if (name === 'cookie' && cookieAt !== -1) rest[cookieAt] = `${rest[cookieAt]}; ${value}`;
    else {
      if (name === 'cookie') cookieAt = rest.length + 1;
      else if (name === 'content-length') announced = true;
      rest.push(name, value);
    }
  }
  const rawHeaders: string[] = [];
  if (authority !== null) rawHeaders.push('Host', authority);
  // A Host that says the same is the same; one that does not makes two, which is refused.
  for (const host of hosts)
    if (authority === null || !sameHost(host, authority)) rawHeaders.push('Host', host);
  for (const part of rest) rawHeaders.push(part);
  // The framing of a body without a length, in the words of HTTP/1.1.
  if (!endOfStream && !announced) rawHeaders.push('Transfer-Encoding', 'chunked');
  const head = {
    method,
    url: targetOf(method, scheme, authority ?? hosts[0] ?? '', path, home),
    rawHeaders,
    httpVersionMajor: 2,
    httpVersionMinor: 0,
    http2: true,
    refusal: refusalOf(method, bytes, rawHeaders.length / 2, path, home),
    complete: endOfStream,
    trailers: NONE,
    socket: home.socket,
  };
  if (!endOfStream) {
    // Before the end.
    stream.on('trailers', (_fields: unknown, _flags: unknown, list?: string[]) => {
      request.trailers = list ?? NONE;
    });
    stream.on('end', () => {
      request.complete = true;
    });
  }
  const request = Object.assign(stream, head);
  return request;
}

/** The bound of the settings counts otherwise, and only once the caller has agreed to it. */
function refusalOf(
  method: string,
  bytes: number,
  fields: number,
  path: string,
  { services: { bounds } }: StreamHome,
): OutriggerError | null {
  if (path.length > bounds.startLineBytes)
    return new OutriggerError('request_target_too_long', `more than ${bounds.startLineBytes} bytes`);
  if (bytes > bounds.headBytes) return new OutriggerError('request_head_too_large', `${bytes} bytes`);
  if (fields > bounds.fields)
    return new OutriggerError('request_head_too_large', `more than ${bounds.fields} fields`);
  if (method.length > METHOD_MAX)
    return new OutriggerError('request_malformed', `a method of more than ${METHOD_MAX} characters`);
  return method === 'CONNECT' ? new OutriggerError('method_unsupported', 'CONNECT in HTTP/2') : null;
}

/** RFC 9113, section 8.3.1: names are compared as hosts are, without regard to case. */
function sameHost(a: string, b: string): boolean {
  return isNamed(a, b.toLowerCase());
}

/**
 * In origin form where the sidecar itself is meant or a tunnel says where, else in absolute form; so is what names
 * another scheme than its tunnel's, for it is misdirected (RFC 9110, section 7.4).
 */
function targetOf(method: string, scheme: string, authority: string, path: string, home: StreamHome): string {
  // It is refused whatever it asks for, and its authority is worth a log line (RFC 9113, section 8.5).
  if (method === 'CONNECT') return `https://${authority}/`;
  if (path === '*' || scheme.toLowerCase() === home.inside) return path;
  // Whatever ends an authority would let it reach into the path, and a path that does not begin as one, back.
  if (!path.startsWith('/') || /[/?#\\]/.test(authority)) return '';
  return home.ownNames.has(authority.toLowerCase()) ? path : `${scheme}://${authority}${path}`;
}

/** `localhost` and the address that was dialled, at the port that was dialled (RFC 9110, section 4.3.3). */
export function ownNamesOf(socket: Socket): ReadonlySet<string> {
  const { localAddress = '', localPort = 0 } = socket;
  const address = localAddress.startsWith('::ffff:') ? localAddress.slice(7) : localAddress;
  const names = new Set<string>();
  for (const host of ['localhost', address.includes(':') ? `[${address}]` : address]) {
    names.add(`${host}:${localPort}`);
    if (localPort === 80) names.add(host);
  }
  return names;
}
