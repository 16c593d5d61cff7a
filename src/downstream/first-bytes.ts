/**
 * What the first bytes inside a CONNECT tunnel are: TLS, a request of HTTP/1, the preface of HTTP/2, or
 * something else, with the reason.
 *
 * Rules: a record that begins 0x16 0x03 is a promise of TLS (RFC 8446, section 5.1), and what then does not
 * parse is broken. A known method and a space is HTTP/1; up to two empty lines before it are passed over
 * (RFC 9112, section 2.2). The preface counts once it is whole (RFC 9113, section 3.4). The answer comes
 * with the first byte that decides it and depends on the bytes alone, not on how they were cut; nothing
 * throws; at most 32 KiB are read. It keeps no bytes for the far end, and it knows no clock: who waits
 * for more sets the bound in time, and says with `end` that no more will come.
 */
import { METHODS } from '../node-http.ts';
import { type BrokenTls, brokenTls, type ClientHello } from './client-hello.ts';
import { ClientHelloReader, HANDSHAKE_RECORD, MAJOR_VERSION } from './client-hello-reader.ts';

/** Reasons are from a fixed list: none repeats what a caller sent. */
export type Opening =
  | { readonly kind: 'more' }
  | ClientHello
  | BrokenTls
  | { readonly kind: 'http' }
  | { readonly kind: 'http2' }
  | { readonly kind: 'other'; readonly reason: string };

const MORE: Opening = Object.freeze({ kind: 'more' });
const HTTP: Opening = Object.freeze({ kind: 'http' });
const HTTP2: Opening = Object.freeze({ kind: 'http2' });

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
const REQUESTS: readonly string[] = METHODS.map((method) => `${method} `);
const EMPTY_LINES_MAX = 2;
const CR = 0x0d;
const LF = 0x0a;

/** A promise of TLS, as the reader of records gets it: they are taken before it is there. */
const PROMISE = Uint8Array.of(HANDSHAKE_RECORD, MAJOR_VERSION);

export class FirstBytes {
  #opening: Opening = MORE;
  #begun = false;
  #handshakeByte = false;
  #hello: ClientHelloReader | null = null;
  #emptyLines = 0;
  #carriageReturn = false;
  /** Of a request line or the preface; never longer than the preface. */
  #text = '';

  /** Takes what has arrived since the last call. Once the answer is not `more`, it stays. */
  read(chunk: Uint8Array): Opening {
    let at = 0;
    while (this.#opening.kind === 'more' && at < chunk.length) {
      if (this.#hello !== null) {
        this.#opening = this.#hello.read(chunk.subarray(at)) ?? MORE;
        break;
      }
      this.#opening = this.#next(chunk[at++] as number);
      this.#begun = true;
    }
    return this.#opening;
  }

  /** No more will come, or it is no longer waited for: the answer is final, and never `more`. */
  end(): Opening {
    if (this.#opening.kind === 'more') {
      if (this.#hello !== null) this.#opening = brokenTls('a ClientHello that was not finished');
      else this.#opening = other(this.#begun ? 'the first bytes are too few to tell' : 'nothing was sent');
    }
    return this.#opening;
  }

  #next(byte: number): Opening {
    if (this.#handshakeByte) {
      if (byte !== MAJOR_VERSION) return other('neither TLS nor HTTP');
      this.#hello = new ClientHelloReader();
      return this.#hello.read(PROMISE) ?? MORE;
    }
    if (!this.#begun && byte === HANDSHAKE_RECORD) {
      this.#handshakeByte = true;
      return MORE;
    }
    if (this.#text === '' && (byte === CR || byte === LF || this.#carriageReturn))
      return this.#emptyLine(byte);
    return this.#textByte(byte);
  }

  #emptyLine(byte: number): Opening {
    if (byte === CR && !this.#carriageReturn && this.#emptyLines < EMPTY_LINES_MAX) {
      this.#carriageReturn = true;
      return MORE;
    }
    if (byte !== LF || this.#emptyLines === EMPTY_LINES_MAX) return other('neither TLS nor HTTP');
    this.#carriageReturn = false;
    this.#emptyLines++;
    return MORE;
  }

  #textByte(byte: number): Opening {
    this.#text += String.fromCharCode(byte);
    const text = this.#text;
    // The preface is the very first of a connection.
    if (this.#emptyLines === 0 && PREFACE.startsWith(text)) return text === PREFACE ? HTTP2 : MORE;
    for (const request of REQUESTS) if (request.startsWith(text)) return text === request ? HTTP : MORE;
    return other('neither TLS nor HTTP');
  }
}

function other(reason: string): Opening {
  return { kind: 'other', reason };
}
