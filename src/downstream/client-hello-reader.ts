/**
 * Gathers a ClientHello out of TLS records, however many they are and however they are cut into packets.
 *
 * Rules: RFC 8446, section 5.1 (records) and section 4 (the header of a message). Bytes are taken one after
 * the other and the answer comes with the first byte that decides it, so it is the same for every way to
 * cut them. Each byte is looked at once. It knows nothing of what the message says, and keeps no bytes
 * but those of the message: whoever reads a tunnel keeps its own for the far end.
 */
import { type BrokenTls, brokenTls, type ClientHello, parseClientHello } from './client-hello.ts';

/** All that is read of a tunnel before it must have said what it is, record headers included. */
export const CLIENT_HELLO_BYTES_MAX = 32_768;

export const HANDSHAKE_RECORD = 0x16;
/** The first byte of every version since SSL 3.0; the second means nothing (RFC 8446, section 5.1). */
export const MAJOR_VERSION = 0x03;

const RECORD_HEADER_BYTES = 5;
const FRAGMENT_BYTES_MAX = 16_384;
const MESSAGE_HEADER_BYTES = 4;
const CLIENT_HELLO = 1;

type Answer = ClientHello | BrokenTls;

export class ClientHelloReader {
  #bytesRead = 0;
  /** Of the record that is being read: how much of its header is here, and what of it is to come. */
  #recordHeaderRead = 0;
  /** The high byte of its length, until the low one is here. */
  #recordBytes = 0;
  #recordLeft = 0;
  #messageHeaderRead = 0;
  #messageBytes = 0;
  /** There once the message has said how long it is. */
  #message: Buffer | null = null;
  #messageRead = 0;

  /** Null: the answer needs more bytes. Not to be called again after an answer. */
  read(chunk: Uint8Array): Answer | null {
    const bytes = chunk.subarray(0, CLIENT_HELLO_BYTES_MAX - this.#bytesRead);
    this.#bytesRead += bytes.length;
    let at = 0;
    while (at < bytes.length) {
      let answer: Answer | null;
      if (this.#recordLeft === 0) answer = this.#recordHeader(bytes[at++] as number);
      else if (this.#message === null) answer = this.#messageHeader(bytes[at++] as number);
      else {
        const taken = bytes.subarray(at, at + Math.min(this.#recordLeft, this.#messageLeft));
        this.#message.set(taken, this.#messageRead);
        this.#messageRead += taken.length;
        this.#recordLeft -= taken.length;
        at += taken.length;
        answer = this.#messageLeft === 0 ? this.#whole(this.#message) : null;
      }
      if (answer !== null) return answer;
    }
    return this.#bytesRead === CLIENT_HELLO_BYTES_MAX ? brokenTls('a ClientHello without an end') : null;
  }

  get #messageLeft(): number {
    return this.#messageBytes - this.#messageRead;
  }

  #recordHeader(byte: number): BrokenTls | null {
    switch (this.#recordHeaderRead++) {
      case 0:
        // Nothing may come between the pieces of a message.
        return byte === HANDSHAKE_RECORD ? null : brokenTls('a record that is no handshake');
      case 1:
        return byte === MAJOR_VERSION ? null : brokenTls('a record of no TLS version');
      case 2:
        return null;
      case 3:
        this.#recordBytes = byte * 256;
        return null;
      default:
        return this.#beginFragment(this.#recordBytes + byte);
    }
  }

  #beginFragment(length: number): BrokenTls | null {
    if (length > FRAGMENT_BYTES_MAX) return brokenTls('a record that is too long');
    if (length === 0) return brokenTls('a record that is empty');
    this.#recordHeaderRead = 0;
    this.#recordLeft = length;
    return null;
  }

  #messageHeader(byte: number): Answer | null {
    this.#recordLeft--;
    const position = this.#messageHeaderRead++;
    if (position === 0) return byte === CLIENT_HELLO ? null : brokenTls('a message that is no ClientHello');
    this.#messageBytes = this.#messageBytes * 256 + byte;
    if (position < MESSAGE_HEADER_BYTES - 1) return null;
    // Its announced length is reserved at once, so it is bounded first.
    if (this.#messageBytes > CLIENT_HELLO_BYTES_MAX - RECORD_HEADER_BYTES - MESSAGE_HEADER_BYTES)
      return brokenTls('a ClientHello that is too long');
    this.#message = Buffer.allocUnsafe(this.#messageBytes);
    return this.#messageBytes === 0 ? this.#whole(this.#message) : null;
  }

  /** Nothing may follow before the server has answered, least of all in the same record. */
  #whole(message: Buffer): Answer {
    return this.#recordLeft > 0
      ? brokenTls('a record that goes on after its ClientHello')
      : parseClientHello(message);
  }
}
