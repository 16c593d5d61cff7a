/**
 * What can befall the answer to a request, each as the peer sees it on the wire. Knows neither how often nor
 * when; `hang` is the vendor's own, for it ends with the vendor's return.
 */
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Fault } from './behaviour.ts';

/** A request that was read, and what the vendor would have answered. */
export interface Visit {
  readonly response: ServerResponse;
  readonly socket: Socket;
  readonly body: string;
  readonly status: number;
  readonly stepMs: number;
}

/** Long enough for the peer to read what came before a reset, which takes with it what is still unread. */
const READ_MS = 10;

const JSON_TYPE = 'application/json';

/** `then` once it has gone out, which chunks do a turn of the event loop later. */
function half(
  { response, body }: Visit,
  framing: Readonly<Record<string, string | number>>,
  then: () => void,
): void {
  response.writeHead(200, { 'Content-Type': JSON_TYPE, ...framing });
  response.write(body.slice(0, Math.ceil(body.length / 2)), then);
}

const whole = ({ body }: Visit): Record<string, number> => ({ 'Content-Length': Buffer.byteLength(body) });

export const FAULT: Readonly<Record<Exclude<Fault, 'hang'>, (visit: Visit) => void>> = {
  error({ response, status }) {
    const body = JSON.stringify({ error: { type: 'api_error', status, message: 'Please try again later' } });
    response.writeHead(status, { 'Content-Type': JSON_TYPE }).end(body);
  },
  reset({ socket }) {
    socket.resetAndDestroy();
  },
  'reset-within'(visit) {
    const reset = (): void => void visit.socket.resetAndDestroy();
    half(visit, whole(visit), () => setTimeout(reset, READ_MS).unref());
  },
  truncate(visit) {
    half(visit, whole(visit), () => visit.socket.end());
  },
  'truncate-chunked'(visit) {
    half(visit, { 'Transfer-Encoding': 'chunked' }, () => visit.socket.end());
  },
  html({ response }) {
    const body =
      '<!DOCTYPE html><html><head><title>Bad Gateway</title></head><body><h1>502</h1></body></html>';
    response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8' }).end(body);
  },
  /** A FIN in the place of an answer, while the other direction stays open. */
  'half-close'({ socket }) {
    socket.end();
  },
  /** A whole answer that says keep-alive, and a FIN right behind it. */
  'close-after'({ response, socket, body }) {
    response.writeHead(200, { 'Content-Type': JSON_TYPE }).end(body, () => socket.end());
  },
  'slow-bytes'(visit) {
    const { response, body, stepMs } = visit;
    response.writeHead(200, { 'Content-Type': JSON_TYPE, ...whole(visit) });
    let sent = 0;
    const bytes = Buffer.from(body);
    const timer = setInterval(() => {
      response.write(bytes.subarray(sent, ++sent));
      if (sent < bytes.length) return;
      clearInterval(timer);
      response.end();
    }, stepMs);
    response.once('close', () => clearInterval(timer));
  },
};
