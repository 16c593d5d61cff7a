/**
 * The trace an exchange belongs to: W3C Trace Context, `traceparent` and `tracestate`. A valid one passes
 * byte for byte; an invalid one is as good as none, and a new trace begins. Pure: randomness is an
 * argument.
 */
import type { RandomPool } from './request-id.ts';

/** W3C Trace Context, section 3.3.1.1: a list of more members is not valid. */
const TRACESTATE_MEMBERS_MAX = 32;

/**
 * Section 3.2: `version-traceid-parentid-flags` in lower-case hex, neither ID all zeros, version not ff. Of
 * a higher version the known part is read, and whatever follows it follows a dash (section 4.3).
 */
export function isValidTraceparent(value: string): boolean {
  if (value.length < 55 || (value.length > 55 && (value.startsWith('00') || value[55] !== '-'))) return false;
  if (value[2] !== '-' || value[35] !== '-' || value[52] !== '-') return false;
  if (!isHex(value, 0, 2) || !isHex(value, 3, 35) || !isHex(value, 36, 52) || !isHex(value, 53, 55))
    return false;
  return !value.startsWith('ff') && !isZero(value, 3, 35) && !isZero(value, 36, 52);
}

const ZERO_TRACE = '0'.repeat(32);
const ONE_TRACE = ZERO_TRACE.replace(/0$/, '1');
const ZERO_PARENT = '0'.repeat(16);
const ONE_PARENT = ZERO_PARENT.replace(/0$/, '1');

/** The 32 digits of a valid traceparent. */
export function traceIdOf(traceparent: string): string {
  return traceparent.slice(3, 35);
}

/**
 * A new trace. Unless told so, it is not `sampled`: we record nothing that another hop could look up.
 */
export function newTraceparent(random: RandomPool, sampled = false): string {
  const at = random.take(24);
  const traceId = random.hex(at, 16);
  const parentId = random.hex(at + 16, 8);
  // All zeros are not valid; one in 2^64, but a broken generator is likelier.
  return `00-${traceId === ZERO_TRACE ? ONE_TRACE : traceId}-${parentId === ZERO_PARENT ? ONE_PARENT : parentId}-${sampled ? '01' : '00'}`;
}

/** Whether a tracestate may go on with its valid traceparent: whole, or not at all. */
export function isForwardableTracestate(value: string): boolean {
  let members = 0;
  for (const member of value.split(',')) {
    if (member.trim() === '') continue;
    if (++members > TRACESTATE_MEMBERS_MAX || !member.includes('=')) return false;
  }
  return members > 0;
}

function isHex(value: string, from: number, to: number): boolean {
  for (let i = from; i < to; i++) {
    const code = value.charCodeAt(i);
    if (!((code >= 0x30 && code <= 0x39) || (code >= 0x61 && code <= 0x66))) return false;
  }
  return true;
}

function isZero(value: string, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (value.charCodeAt(i) !== 0x30) return false;
  return true;
}
