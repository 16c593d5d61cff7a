/** Resident memory of a process at this moment, bytes, as the kernel has it; NaN where there is no such process. */
import { readFileSync } from 'node:fs';

export function residentBytesOf(pid: number): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'latin1');
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1_024;
  } catch {
    return Number.NaN;
  }
}
