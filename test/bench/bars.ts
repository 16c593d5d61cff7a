/** What must be reached, and whether it was. A bar of which nothing was measured is said to be so. */
import { CPU, CPU_PER_MEGABYTE, type Result, ratio, samplesOf } from './result.ts';

export interface Verdict {
  readonly bar: string;
  readonly atMost: number;
  readonly figure: number | null;
  readonly met: boolean | null;
}

interface Bar {
  readonly bar: string;
  readonly atMost: number;
  readonly figure: (results: Results) => number | null;
}

type Results = ReadonlyMap<string, Result>;

const OURS = 'outrigger';

const cpuBeside =
  (name: string, peer: string) =>
  (results: Results): number | null => {
    const result = results.get(name);
    return ratio(samplesOf(result, OURS, CPU), samplesOf(result, peer, CPU));
  };

const BARS: readonly Bar[] = [
  {
    bar: 'small GET: CPU beside http-proxy 1.18.1, bare',
    atMost: 0.7,
    figure: cpuBeside('small', 'http-proxy 1.18.1, bare'),
  },
  { bar: 'small GET: CPU beside proxy-chain', atMost: 0.6, figure: cpuBeside('small', 'proxy-chain') },
  { bar: 'small GET: CPU beside Squid', atMost: 0.9, figure: cpuBeside('small', 'Squid') },
  { bar: 'small GET: CPU beside nginx', atMost: 2.4, figure: cpuBeside('small', 'nginx') },
  // 0.8 of the throughput per CPU second.
  { bar: '64 KiB GET: CPU beside HAProxy', atMost: 1 / 0.8, figure: cpuBeside('large', 'HAProxy') },
  {
    bar: 'bulk through CONNECT: CPU beside HAProxy',
    atMost: 1 / 0.8,
    figure: (results) => {
      const result = results.get('bulk');
      return ratio(
        samplesOf(result, OURS, CPU_PER_MEGABYTE),
        samplesOf(result, 'HAProxy (TCP relay)', CPU_PER_MEGABYTE),
      );
    },
  },
];

export function judge(results: Results): Verdict[] {
  return BARS.map(({ bar, atMost, figure }) => {
    const value = figure(results);
    return { bar, atMost, figure: value, met: value === null ? null : value <= atMost };
  });
}
