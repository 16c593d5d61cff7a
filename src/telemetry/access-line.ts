/**
 * The access line: one finished exchange as one line of JSON, its fields always the same and in the
 * same order.
 *
 * Rules: headers never appear, and the query only where the configuration says so, because nothing else
 * of the request is read here; every string has a cap; null stands where nothing is known. The line is
 * concatenated by hand since its shape is fixed: a general serializer costs several times as much, once
 * per exchange. It does not know where the line goes.
 */
import type { Attempt, Exchange } from '../exchange.ts';
import { jsonString } from './json-string.ts';
import { redactQuery } from './query-redaction.ts';

export const CAPS = Object.freeze({ path: 2048, method: 32, other: 256 });

let second = -1;
let secondText = '';

/** ISO 8601 with milliseconds. The part down to the second is the same for many lines in a row. */
function isoTime(epochMs: number): string {
  const whole = Math.floor(epochMs / 1000);
  if (whole !== second) {
    second = whole;
    secondText = new Date(whole * 1000).toISOString().slice(0, 20);
  }
  const ms = Math.floor(epochMs - whole * 1000);
  return `${secondText}${ms < 10 ? '00' : ms < 100 ? '0' : ''}${ms}Z`;
}

const text = (value: string | null): string => (value === null ? 'null' : jsonString(value, CAPS.other));

/** Three decimals: microseconds are as fine as the clock is honest. */
function decimal(value: number | null): string {
  if (value === null) return 'null';
  const rounded = Math.round(value * 1000) / 1000;
  return Number.isFinite(rounded) ? `${rounded}` : 'null';
}

const integer = (value: number | null): string => (value === null ? 'null' : `${value}`);

function attemptJson(attempt: Attempt): string {
  return (
    `{"n":${attempt.n},"address":${text(attempt.address)},"reused":${attempt.reused}` +
    `,"queueMs":${decimal(attempt.queueMs)},"dnsMs":${decimal(attempt.dnsMs)}` +
    `,"connectMs":${decimal(attempt.connectMs)},"tlsMs":${decimal(attempt.tlsMs)}` +
    `,"headMs":${decimal(attempt.headMs)},"status":${integer(attempt.status)}` +
    `,"error":${attempt.error === null ? 'null' : `"${attempt.error.token}"`}` +
    `,"verdict":${attempt.verdict === null ? 'null' : `"${attempt.verdict}"`}` +
    `,"delivery":"${attempt.delivery}","retry":${text(attempt.retry)}}`
  );
}

function attemptsJson(attempts: readonly Attempt[]): string {
  let json = '';
  for (let i = 0; i < attempts.length; i++) {
    json += (i === 0 ? '' : ',') + attemptJson(attempts[i] as Attempt);
  }
  return json;
}

/** Why it ended so: the reason given, else the error by its own name, which says more than the token. */
function reasonOf(exchange: Exchange): string | null {
  if (exchange.reason !== null) return exchange.reason;
  const error = exchange.error;
  if (error === null) return null;
  return error.detail === '' ? error.name : `${error.name}: ${error.detail}`;
}

/** Path without its query, unless it is to be kept; then without what is known to be secret in it. */
function pathJson(path: string, keepQuery: boolean): string {
  if (keepQuery) return jsonString(redactQuery(path), CAPS.path);
  const query = path.indexOf('?');
  return jsonString(query < 0 ? path : path.slice(0, query), CAPS.path);
}

/** The line, without the newline. */
export function accessLine(exchange: Exchange, level: 'info' | 'warn', keepQuery: boolean): string {
  const target = exchange.target;
  return (
    `{"time":"${isoTime(exchange.time)}","level":"${level}","msg":"exchange"` +
    `,"requestId":${text(exchange.id)},"traceId":${text(exchange.traceId)}` +
    `,"client":${text(exchange.client)},"clientName":${text(exchange.clientName)},"method":${jsonString(exchange.method, CAPS.method)}` +
    (target === null
      ? ',"scheme":null,"host":null,"port":null'
      : `,"scheme":"${target.scheme}","host":${text(target.host)},"port":${target.port}`) +
    `,"path":${pathJson(exchange.path, keepQuery)},"route":${text(exchange.route.name)}` +
    `,"via":"${exchange.via}","serverName":${text(exchange.serverName)}` +
    `,"status":${integer(exchange.status)},"outcome":"${exchange.outcome ?? 'failed'}"` +
    `,"error":${exchange.error === null ? 'null' : `"${exchange.error.token}"`}` +
    `,"reason":${text(reasonOf(exchange))},"wouldRefuse":${text(exchange.wouldRefuse)},"attempts":[${attemptsJson(exchange.attempts)}]` +
    `,"durationMs":${decimal(exchange.durationMs)},"queueMs":${decimal(exchange.queueMs)}` +
    `,"requestBytes":${exchange.requestBytes},"responseBytes":${exchange.responseBytes}}`
  );
}
