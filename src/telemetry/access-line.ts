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

/** `000` to `999`, without the zeros at their end. */
const THOUSANDTHS: readonly string[] = Array.from({ length: 1000 }, (_, i) =>
  String(i).padStart(3, '0').replace(/0+$/, ''),
);
const MICROS_MAX = 1e12;

/**
 * Three decimals: microseconds are as fine as the clock is honest. What has none of its own is written with as
 * few digits as it needs, the rest is put together by hand: a float as text costs three times as much.
 */
function decimal(value: number | null): string {
  if (value === null) return 'null';
  const micros = Math.round(value * 1000);
  if (!(micros > 0 && micros <= MICROS_MAX)) return Number.isFinite(micros) ? `${micros / 1000}` : 'null';
  const whole = Math.trunc(micros / 1000);
  const rest = micros - whole * 1000;
  return rest === 0 ? `${whole}` : `${whole}.${THOUSANDTHS[rest]}`;
}

const integer = (value: number | null): string => (value === null ? 'null' : `${value}`);

/** Most attempts dial nobody. */
const NO_DIAL = ',"dnsMs":null,"connectMs":null,"tlsMs":null';

function dialJson({ dnsMs, connectMs, tlsMs }: Attempt): string {
  if (dnsMs === null && connectMs === null && tlsMs === null) return NO_DIAL;
  return `,"dnsMs":${decimal(dnsMs)},"connectMs":${decimal(connectMs)},"tlsMs":${decimal(tlsMs)}`;
}

function attemptJson(attempt: Attempt): string {
  return (
    `{"n":${attempt.n},"address":${text(attempt.address)},"reused":${attempt.reused}` +
    `,"queueMs":${decimal(attempt.queueMs)}${dialJson(attempt)},"headMs":${decimal(attempt.headMs)},"status":${integer(attempt.status)}` +
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
