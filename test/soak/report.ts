/** What a soak prints while it runs, and the table at its end. */
import type { Audit } from './audit.ts';
import type { FairClock } from './fair-clock.ts';
import { type Ledger, TOLERANCE_MS } from './ledger.ts';
import type { Limits } from './limits.ts';
import type { Trend } from './memory-trend.ts';
import type { SoakedSidecar } from './soaked-sidecar.ts';
import type { Tally } from './tally.ts';

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;

export function printProgress(clock: FairClock, ledger: Ledger, faults: Tally, sidecar: SoakedSidecar): void {
  if (sidecar.exit !== null) return;
  const at = `${Math.round(clock.wallMs / 1_000)} s`.padStart(6);
  console.log(
    `${at}  ${ledger.begun} begun, ${ledger.lines} lines, ${ledger.waiting} under way, ${faults.total} faults, ` +
      `${megabytes(sidecar.residentBytes)}, ${ledger.violations.total} violations`,
  );
}

export interface Soaked {
  readonly seconds: number;
  readonly seed: number;
  readonly clock: FairClock;
  readonly ledger: Ledger;
  readonly faults: Tally;
  readonly limits: Limits;
  readonly audit: Audit;
}

function rows(title: string, pairs: Iterable<readonly [string, number | string]>): void {
  console.log(`\n${title}`);
  for (const [name, value] of pairs) console.log(`  ${name.padEnd(58)} ${String(value).padStart(9)}`);
}

const shown = (trend: Trend | null): string =>
  trend === null
    ? 'too few samples'
    : `${megabytes(trend.first)} -> ${megabytes(trend.last)}, at most ${megabytes(trend.most)}`;

export function printTable({ seconds, seed, clock, ledger, faults, limits, audit }: Soaked): void {
  const { violations } = ledger;
  rows(`faults injected: ${faults.total}, of ${faults.counts.size} kinds`, faults.sorted);
  rows(`exchanges begun: ${ledger.begun}, by kind of caller`, ledger.kinds.sorted);
  rows(`exchanges in the log: ${ledger.lines}, by outcome and error`, ledger.outcomes.sorted);
  rows('ends as callers saw them', ledger.ends.sorted);
  rows('other lines of the log', audit.messages.sorted);
  rows('most connections at once', [...limits.most]);
  console.log(`\nmemory, resident  ${shown(audit.resident.trend)}`);
  console.log(`memory, heap      ${shown(audit.heap.trend)}`);
  console.log(`descriptors       at most ${audit.mostDescriptors}`);
  const longest = `${(ledger.longestShare * 100).toFixed(0)} % of its bound`;
  console.log(`longest wait      ${longest}; ${TOLERANCE_MS / 1_000} s beyond it is no violation yet`);
  console.log(`not counted       ${(clock.excusedMs / 1_000).toFixed(1)} s of stops and of our own stalls`);
  rows(`violations: ${violations.total} (${seconds} s, seed ${seed})`, violations.counts);
}
