/**
 * The connections to each vendor as the kernel has them at this moment, from its table of sockets: what the
 * events of a process tell, they tell later and in another order.
 */
import { readFileSync } from 'node:fs';

/** ESTABLISHED, SYN_SENT and CLOSE_WAIT: whoever dialled has not closed it. */
const HELD = new Set(['01', '02', '08']);

/** As the table has it: the bytes of the address turned round, in hexadecimal. */
export function kernelName(address: string, port: number): string {
  const hex = (value: number, digits: number): string =>
    value.toString(16).toUpperCase().padStart(digits, '0');
  const bytes = address.split('.').map((byte) => hex(Number(byte), 2));
  return `${bytes.reverse().join('')}:${hex(port, 4)}`;
}

/** Near ends, by far end as `kernelName` writes it. */
function connections(): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>();
  for (const line of readFileSync('/proc/net/tcp', 'latin1').split('\n')) {
    const [, near = '', far = '', state = ''] = line.trim().split(/\s+/, 4);
    if (!HELD.has(state)) continue;
    const ends = found.get(far);
    if (ends) ends.add(near);
    else found.set(far, new Set([near]));
  }
  return found;
}

export interface Count {
  /** So many there were, all at one moment. */
  readonly least: number;
  /** And no more. */
  readonly most: number;
}

/**
 * Of the connections to each of these far ends. The table is not read in one: a connection that goes and one that comes
 * meanwhile can both be in it. What is in it twice was there between the two readings.
 */
export function countConnections(fars: readonly string[]): Count[] {
  const before = connections();
  const after = connections();
  return fars.map((far) => {
    const first = before.get(far) ?? new Set();
    const second = after.get(far) ?? new Set();
    let both = 0;
    for (const near of first) if (second.has(near)) both++;
    return { least: both, most: first.size + second.size - both };
  });
}
