/**
 * What bodies leave behind. Each piece of a body is a buffer of up to 64 KiB outside V8's heap, which a few
 * dozen bytes inside stand for; so V8 sees little garbage, and waits until 64 MiB of it are dead before it
 * collects the whole heap. Collecting the young part after each few MiB keeps a sidecar small while it
 * carries large bodies, and costs less than V8's own way.
 *
 * A secure context is the same at a larger scale: 30 KiB of OpenSSL's. Those that a cache lets go are old, and
 * only a collection of the whole heap finds them, which V8 sees no reason for: ten thousand of them stayed.
 *
 * It knows no body, no exchange and no host. Where V8 does not let itself be asked, nothing is done.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

const EVERY_BYTES = 8 * 1024 * 1024;
const EVERY_CONTEXTS = 256;

type Collect = (options: { type: 'minor' | 'major' }) => void;

/** Node has no other door to it: the flag counts for contexts made after it. */
function collector(): Collect | null {
  setFlagsFromString('--expose-gc');
  try {
    return runInNewContext('gc') as Collect;
  } catch {
    return null;
  } finally {
    setFlagsFromString('--no-expose-gc');
  }
}

const collect = collector();
let bytesSince = 0;
let contextsSince = 0;

/** A piece of a body has come in; where it was kept does not matter, for it will be let go. */
export function bodyPassed(bytes: number): void {
  bytesSince += bytes;
  if (bytesSince < EVERY_BYTES) return;
  bytesSince = 0;
  collect?.({ type: 'minor' });
}

/** A cache has let a secure context go. */
export function contextDropped(): void {
  contextsSince += 1;
  if (contextsSince < EVERY_CONTEXTS) return;
  contextsSince = 0;
  collect?.({ type: 'major' });
}
