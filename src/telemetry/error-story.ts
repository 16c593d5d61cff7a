/**
 * What a log may tell of an error that nobody expected: its name, its code and the frames of its stack, and
 * the same of what caused it.
 *
 * Rules: never its message nor its other properties, which may quote a header, a body or a key; bounded in
 * depth and length. It does not know where the error came from.
 */

/** Deeper causes say nothing new; a longer stack is a runaway recursion. */
const MAX_CAUSES = 4;
const MAX_FRAMES = 24;
const MAX_LENGTH = 8192;

/** What identifiers of programs look like; anything else could be a text of somebody else. */
const IDENTIFIER = /^[A-Za-z_$][\w$]{0,63}$/;
/** As V8 writes them: `    at f (file:///a.ts:1:2)`. */
const FRAME = /^ {4}at [^\n]{1,300}$/;

/** Several lines, the first of which names the error. */
export function storyOf(thrown: unknown): string {
  const told: string[] = [];
  let current = thrown;
  while (told.length < MAX_CAUSES) {
    told.push(current instanceof Error ? one(current) : current === null ? 'null' : typeof current);
    current = current instanceof Error ? current.cause : null;
    if (current === undefined || current === null) break;
  }
  return told.join('\ncaused by ').slice(0, MAX_LENGTH);
}

function one(error: Error): string {
  const { name, code } = error as NodeJS.ErrnoException;
  const called = typeof name === 'string' && IDENTIFIER.test(name) ? name : 'Error';
  const coded = typeof code === 'string' && IDENTIFIER.test(code) ? ` [${code}]` : '';
  return [called + coded, ...framesOf(error)].join('\n');
}

/** A message may hold what looks like a frame, so all that comes before its end is left out. */
function framesOf({ stack, message }: Error): string[] {
  if (typeof stack !== 'string' || typeof message !== 'string') return [];
  const at = stack.indexOf(message);
  if (at < 0) return [];
  const frames = stack.slice(at + message.length).split('\n');
  return frames.filter((line) => FRAME.test(line)).slice(0, MAX_FRAMES);
}
