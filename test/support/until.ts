/** Waiting for an event that has no callback: looks again at every turn of the event loop, with an end. */
const END_MS = 10_000;

export async function until(condition: () => boolean, what: string, endMs = END_MS): Promise<void> {
  const end = performance.now() + endMs;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
