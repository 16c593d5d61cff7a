/**
 * What went wrong on a connection of HTTP/1.1, and it is no error of a socket: a code for the table of errors,
 * and words for people. Built without a stack: failing is an everyday event here.
 */
import type { HeadFault } from '../http1/head-fault.ts';

type Http1FaultCode =
  /** What came is no response. */
  | 'H1_MALFORMED'
  | 'H1_HEAD_TOO_LARGE'
  /** The origin ended the connection before the response was whole. */
  | 'H1_CLOSED'
  /** The body of the request is not as long as its head says. */
  | 'H1_REQUEST_LENGTH'
  /** The request cannot be written. */
  | 'H1_REQUEST_LINE';

export class Http1Fault implements Error {
  readonly name = 'Http1Fault';
  readonly code: Http1FaultCode;
  readonly message: string;

  constructor(code: Http1FaultCode, message: string) {
    this.code = code;
    this.message = message;
  }
}

export function faultOf({ kind, reason }: HeadFault): Http1Fault {
  return new Http1Fault(kind === 'malformed' ? 'H1_MALFORMED' : 'H1_HEAD_TOO_LARGE', reason);
}
