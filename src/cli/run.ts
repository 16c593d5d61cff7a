/** `outrigger run`: serves until a signal or an operator ends it, or a second signal at once; SIGHUP reloads. */
import { FAILED, INVALID } from './exit-code.ts';
import { type ServingOptions, serve } from './serving.ts';

/** Resolves with the exit code once the sidecar has ended. */
export async function run(options: ServingOptions): Promise<number> {
  const asked = askedToEnd();
  let hungUp = false;
  // While the sidecar starts it is kept in mind, and ends nothing.
  let reload = (): void => void (hungUp = true);
  process.on('SIGHUP', () => reload());
  const serving = await serve(options);
  if (serving === null) return INVALID;
  reload = () => serving.reload();
  if (hungUp) reload();
  const why = await Promise.race([asked.once, serving.tooMany, serving.drainAsked]);
  return serving.end(isSignal(why) ? { signal: why } : { reason: why }, asked.twice);
}

function isSignal(why: string): why is NodeJS.Signals {
  return why.startsWith('SIG');
}

/**
 * Ctrl-C under npm is two signals: the terminal's to the whole group, and npm's own to its child. The same
 * signal again this soon is one wish, milliseconds.
 */
const SAME_WISH_MS = 250;

/** Listens from now on: a signal while the sidecar starts counts, and is not lost to process 1 of a container. */
function askedToEnd(): { once: Promise<NodeJS.Signals>; twice: Promise<'signal'> } {
  const once = Promise.withResolvers<NodeJS.Signals>();
  const twice = Promise.withResolvers<'signal'>();
  let count = 0;
  let last: NodeJS.Signals | null = null;
  let lastAt = 0;
  const on = (signal: NodeJS.Signals): void => {
    const now = performance.now();
    if (signal === last && now - lastAt < SAME_WISH_MS) return;
    last = signal;
    lastAt = now;
    count++;
    if (count === 1) once.resolve(signal);
    else if (count === 2) twice.resolve('signal');
    else process.exit(FAILED);
  };
  process.on('SIGTERM', on);
  process.on('SIGINT', on);
  return { once: once.promise, twice: twice.promise };
}
