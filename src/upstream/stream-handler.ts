/**
 * One request and its response on a connection, as they are told to whoever asked: the same for HTTP/1.1 and
 * for a stream of HTTP/2.
 *
 * Rules: the handler hears one end, once, and nothing after it; until `onRequestStart` not a byte has gone out.
 */

/** What a handler may do meanwhile. */
export interface StreamController {
  /** HTTP/2 alone can tell: the message ended with its head, so neither a body nor trailers follow. */
  readonly empty: boolean;
  pause(): void;
  resume(): void;
  /** The handler wants no more, and hears no more. */
  abort(reason: Error): void;
}

/** None of the methods may throw. */
export interface StreamHandler {
  /** The first bytes have been handed over. */
  onRequestStart(controller: StreamController): void;
  onBodySent(bytes: number): void;
  onRequestSent(): void;
  /**
   * Also of informational responses, but of no 101. `fields` is a flat raw list, the handler's from here; the
   * reason phrase is as it came, and null in HTTP/2.
   */
  onResponseStart(
    controller: StreamController,
    status: number,
    fields: readonly string[],
    reason: string | null,
  ): void;
  onResponseData(controller: StreamController, chunk: Buffer): void;
  /** Trailers are a flat raw list. */
  onResponseEnd(controller: StreamController, trailers: readonly string[]): void;
  onResponseError(controller: StreamController | null, error: Error): void;
}
