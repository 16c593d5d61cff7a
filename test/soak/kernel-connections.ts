/**
 * The connections to each vendor as the kernel has them at this moment, from its table of sockets: what the
 * events of a process tell, they tell later and in another order. A thread of its own, for the table takes long to
 * read where there are many sockets. Each question says how many there may be, and has one answer.
 */
import { readFileSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';

export interface Question {
  /** Far ends, as `kernelName` writes them, and how many connections each may have. */
  readonly far: readonly (readonly [name: string, limit: number])[];
  /** Of all these together. */
  readonly limit: number;
}

export interface Count {
  /** So many there were, all at one moment. */
  readonly least: number;
  /** And no more. */
  readonly most: number;
}

/** ESTABLISHED, SYN_SENT and CLOSE_WAIT: whoever dialled has not closed it. */
const HELD = new Set(['01', '02', '08']);

/** As the table has it: the bytes of the address turned round, in hexadecimal. */
export function kernelName(address: string, port: number): string {
  const hex = (value: number, digits: number): string =>
    value.toString(16).toUpperCase().padStart(digits, '0');
  const bytes = address.split('.').map((byte) => hex(Number(byte), 2));
  return `${bytes.reverse().join('')}:${hex(port, 4)}`;
}

/** Near ends, by far end. A row is `sl: near far state …`, all of a fixed width but the first. */
function connections(): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>();
  for (const line of readFileSync('/proc/net/tcp', 'latin1').split('\n')) {
    const at = line.indexOf(': ') + 2;
    if (!HELD.has(line.slice(at + 28, at + 30))) continue;
    const far = line.slice(at + 14, at + 27);
    const ends = found.get(far);
    if (ends) ends.add(line.slice(at, at + 13));
    else found.set(far, new Set([line.slice(at, at + 13)]));
  }
  return found;
}

/**
 * The table is not read in one: a connection that goes and one that comes meanwhile can both be in it. So where there seem to
 * be too many it is read twice: what is in it both times was there between the two.
 */
function answer({ far, limit }: Question): Count[] {
  const all = connections();
  const before = far.map(([name]) => all.get(name) ?? new Set<string>());
  const total = before.reduce((sum, { size }) => sum + size, 0);
  if (total <= limit && before.every(({ size }, i) => size <= (far[i]?.[1] ?? 0)))
    return before.map(({ size }) => ({ least: size, most: size }));
  const after = connections();
  return before.map((first, i) => {
    const second = after.get(far[i]?.[0] ?? '') ?? new Set<string>();
    let both = 0;
    for (const near of first) if (second.has(near)) both++;
    return { least: both, most: first.size + second.size - both };
  });
}

parentPort?.on('message', (question: Question) => {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- of windows, and this is a thread
  parentPort?.postMessage(answer(question));
});
