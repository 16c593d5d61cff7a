/**
 * What a scenario found, direct against sidecar: told in the test's output, and kept as `<scenario>.json` in the folder
 * that SCENARIO_FIGURES names, from which the table of the README is made. Numbers with their units in their names;
 * knows nothing of what they mean.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

/** Milliseconds end in Ms, seconds in S, shares are between 0 and 1 and end in Share, anything else is a count. */
export type WayFigures = Readonly<Record<string, number | null>>;

export interface Figures {
  /** In the words of the table. */
  readonly scenario: string;
  readonly direct: WayFigures;
  readonly sidecar: WayFigures;
}

export function tell(t: TestContext, file: string, figures: Figures): void {
  t.diagnostic(JSON.stringify(figures));
  const folder = process.env['SCENARIO_FIGURES'];
  if (folder) writeFileSync(join(folder, `${file}.json`), `${JSON.stringify(figures, null, 2)}\n`);
}
