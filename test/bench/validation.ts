/** Whether a proxy gives the right answer: who answers wrongly is not measured. */
import { connect } from 'node:net';
import { MessageReader } from './processes/message-reader.ts';

const PATIENCE_MS = 5_000;

export interface Expected {
  readonly status: number;
  /** The whole body where it came with a length. */
  readonly body?: string;
}

/** One exchange on a connection of its own. */
export async function exchange(port: number, request: string): Promise<{ status: number; text: string }> {
  const parts: Buffer[] = [];
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    socket.setTimeout(PATIENCE_MS, () => socket.destroy(new Error('no answer in time')));
    const answered = (head: string): void => {
      socket.destroy();
      resolve({ status: Number(head.slice(9, 12)), text: Buffer.concat(parts).toString('latin1') });
    };
    const reader = new MessageReader(answered);
    socket.on('connect', () => socket.write(request, 'latin1'));
    socket.on('data', (data: Buffer) => {
      parts.push(data);
      reader.take(data);
    });
    socket.on('error', reject);
    socket.on('close', () =>
      reject(new Error(`an answer without an end: ${Buffer.concat(parts).toString('latin1').slice(0, 300)}`)),
    );
  });
}

/** Throws with what was wrong. */
export async function validate(
  name: string,
  port: number,
  request: string,
  expected: Expected,
): Promise<void> {
  const { status, text } = await exchange(port, request);
  if (status !== expected.status) throw new Error(`${name} answers ${status}: ${text.slice(0, 500)}`);
  const { body } = expected;
  if (body === undefined) return;
  const chunked = /\r\ntransfer-encoding: *chunked/i.test(text.slice(0, text.indexOf('\r\n\r\n')));
  if (chunked ? !text.includes(body) : !text.endsWith(`\r\n\r\n${body}`))
    throw new Error(`${name} answers with another body: ${text.slice(0, 500)}`);
}
