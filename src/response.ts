/**
 * The response of an origin on its way to the caller: a head that is here and a body that still flows.
 * The seam between upstream, which produces it, and downstream, which writes it; neither knows the other.
 */
import type { OutriggerError } from './errors.ts';

/** Takes the body of a response. None of its methods may throw. */
export interface ResponseSink {
  /** False asks for a pause; `resume()` of the response ends it. */
  data(chunk: Buffer): boolean;
  /** The body is whole. Trailers are a flat raw list. */
  end(trailers: readonly string[]): void;
  /** The body will never be whole. */
  failed(error: OutriggerError): void;
}

export interface Response {
  readonly status: number;
  readonly statusText: string;
  /** Flat raw list, hop-by-hop fields gone. */
  readonly headers: string[];
  readonly retryAfter: string | null;
  /** Bytes of the body as announced, 0 where HTTP/2 ended with the head; null: only its end tells. */
  readonly length: number | null;
  /** Trailers are announced. */
  readonly trailer: boolean;
  /** Lets the body flow into the sink: what is already here at once, before this returns. */
  pipe(sink: ResponseSink): void;
  resume(): void;
  /** The body is not wanted: the connection is kept if the rest is small, else closed. */
  discard(): void;
}
