/** The page of metrics as a reader has it: text. */

/** The sum of a metric over all its series; throws where the page does not know it, so that nobody takes that for 0. */
export function sumOf(page: string, metric: string): number {
  if (!page.includes(`# TYPE ${metric} `)) throw new Error(`there is no metric ${metric}`);
  const series = page.matchAll(new RegExp(`^${metric}(?:\\{.*\\})? (\\S+)$`, 'gm'));
  return [...series].reduce((sum, [, value]) => sum + Number(value), 0);
}
