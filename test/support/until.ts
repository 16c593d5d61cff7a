/** Waiting for an event that has no callback: looks again at every turn of the event loop, with an end. */
const END_MS = 10_000;

export async function until(condition: () => boolean, what: string, endMs = END_MS): Promise<void> {
  const end = performance.now() + endMs;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Resolves once the number has not changed for a while: whoever moves it has stopped. */
export async function untilStill(count: () => number, what = 'the flow to stop'): Promise<void> {
  let last = count();
  let since = performance.now();
  await until(() => {
    const now = count();
    if (now !== last) {
      last = now;
      since = performance.now();
    }
    return performance.now() - since > 200;
  }, what);
}
