/**
 * What the kernel has on record about a process and its children: CPU time and resident memory.
 *
 * CPU time is that of the scheduler, nanoseconds, thread by thread; it forgets threads that have ended. The
 * counters of the process do not, but they are ten milliseconds coarse and rounded down; whichever says more, counts.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { residentBytesOf } from '../support/resident-memory.ts';

const TICKS = Number(spawnSync('getconf', ['CLK_TCK']).stdout?.toString() || '100');
/** User and system time, each rounded down. */
const COARSE_ERROR_MICROS = (2 * 1e6) / TICKS;

export interface CpuReading {
  readonly fineMicros: number;
  readonly coarseMicros: number;
}

/** What is gone meanwhile is empty. */
function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

function threadsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

/** The process and all that it has started, and these. */
export function treeOf(pid: number): number[] {
  const children = threadsOf(pid).flatMap((thread) =>
    read(`/proc/${pid}/task/${thread}/children`).split(' ').filter(Boolean).map(Number),
  );
  return [pid, ...children.flatMap(treeOf)];
}

export class ProcessAccount {
  readonly pid: number;

  constructor(pid: number) {
    this.pid = pid;
  }

  /** User and system time so far. */
  cpu(): CpuReading {
    let fineMicros = 0;
    let coarseMicros = 0;
    for (const pid of treeOf(this.pid)) {
      for (const thread of threadsOf(pid)) {
        fineMicros += Number(read(`/proc/${pid}/task/${thread}/schedstat`).split(' ')[0]) / 1e3;
      }
      const stat = read(`/proc/${pid}/stat`);
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      coarseMicros += ((Number(fields[11]) + Number(fields[12])) / TICKS) * 1e6;
    }
    return { fineMicros, coarseMicros };
  }

  microsSince(before: CpuReading): number {
    const now = this.cpu();
    const coarse = now.coarseMicros - before.coarseMicros - COARSE_ERROR_MICROS;
    return Math.max(now.fineMicros - before.fineMicros, coarse);
  }

  /** Pages that several processes share count in each. */
  residentBytes(): number {
    return treeOf(this.pid)
      .map((pid) => residentBytesOf(pid) || 0)
      .reduce((sum, bytes) => sum + bytes, 0);
  }
}
