/** What must be reached, and whether it was. A bar of which nothing was measured is said to be so. */
import { median } from '../support/quantiles.ts';
import {
  FEW_ORIGINS,
  MANY_ORIGINS,
  ONE_ROUTE,
  ONE_ROUTE_FOR_PATHS,
  ROUTES_BY_HOST,
  ROUTES_BY_PATH,
} from './cases/growth.ts';
import { DENIED, OPEN, SERVED, SHED } from './cases/shed.ts';
import { FROM_PACKAGE, FROM_SOURCE } from './cases/start.ts';
import { HAPROXY, HAPROXY_RELAY } from './peers/haproxy.ts';
import { NGINX } from './peers/nginx.ts';
import { HTTP_PROXY_BARE, PROXY_CHAIN } from './peers/node-proxies.ts';
import { OUTRIGGER } from './peers/outrigger.ts';
import { SQUID } from './peers/squid.ts';
import {
  ADDED_P50,
  ADDED_P99,
  CPU,
  CPU_PER_MEGABYTE,
  PER_CALLER,
  RESIDENT,
  type Result,
  ratio,
  START,
  samplesOf,
} from './result.ts';

export interface Verdict {
  readonly bar: string;
  readonly atMost: number;
  readonly figure: number | null;
  readonly met: boolean | null;
}

type Results = ReadonlyMap<string, Result>;
type Figure = (results: Results) => number | null;

/** Of one row beside another, round by round. */
const beside =
  (name: string, ours: string, theirs: string, figure: string = CPU): Figure =>
  (results) =>
    ratio(samplesOf(results.get(name), ours, figure), samplesOf(results.get(name), theirs, figure));

const middle =
  (name: string, row: string, figure: string): Figure =>
  (results) => {
    const samples = samplesOf(results.get(name), row, figure);
    return samples === null ? null : median(samples);
  };

/** The last part beside the one at a quarter of the way. */
const atTheEnd: Figure = (results) => {
  const samples = samplesOf(results.get('flat'), OUTRIGGER, RESIDENT);
  return samples === null ? null : (samples.at(-1) ?? 0) / (samples[Math.floor(samples.length / 4)] ?? 0);
};

/** 0.8 of the throughput per CPU second. */
const MOST_OF_HAPROXY = 1 / 0.8;

const BARS: readonly (readonly [bar: string, atMost: number, figure: Figure])[] = [
  [`small GET: CPU beside ${HTTP_PROXY_BARE.name}`, 0.7, beside('small', OUTRIGGER, HTTP_PROXY_BARE.name)],
  [`small GET: CPU beside ${PROXY_CHAIN.name}`, 0.6, beside('small', OUTRIGGER, PROXY_CHAIN.name)],
  [`small GET: CPU beside ${SQUID.name}`, 0.9, beside('small', OUTRIGGER, SQUID.name)],
  [`small GET: CPU beside ${NGINX.name}`, 2.4, beside('small', OUTRIGGER, NGINX.name)],
  [`64 KiB GET: CPU beside ${HAPROXY.name}`, MOST_OF_HAPROXY, beside('large', OUTRIGGER, HAPROXY.name)],
  [
    `bulk through CONNECT: CPU beside ${HAPROXY_RELAY.name}`,
    MOST_OF_HAPROXY,
    beside('bulk', OUTRIGGER, HAPROXY_RELAY.name, CPU_PER_MEGABYTE),
  ],
  ['2,000 per second: p50 over direct, ms', 0.35, middle('latency', OUTRIGGER, ADDED_P50)],
  ['2,000 per second: p99 over direct, ms', 1.5, middle('latency', OUTRIGGER, ADDED_P99)],
  ['shed beside served, CPU', 1 / 3, beside('shed', SHED, SERVED)],
  ['denied beside served, CPU', 1 / 3, beside('shed', DENIED, SERVED)],
  ['refused by an open circuit beside served, CPU', 1 / 3, beside('shed', OPEN, SERVED)],
  ['memory at rest from source, MB', 80, middle('idle', FROM_SOURCE, RESIDENT)],
  ['memory at rest from the package, MB', 80, middle('idle', FROM_PACKAGE, RESIDENT)],
  ['memory of an idle caller, KB', 12, middle('callers', OUTRIGGER, PER_CALLER)],
  ['memory after many exchanges beside a quarter of them', 1.1, atTheEnd],
  ['start to ready from the package, ms', 250, middle('start', FROM_PACKAGE, START)],
  ['start to ready from source, ms', 400, middle('start', FROM_SOURCE, START)],
  ['2,000 origins beside 1, CPU', 1.1, beside('origins', MANY_ORIGINS, FEW_ORIGINS)],
  ['500 routes by host beside 1, CPU', 1.1, beside('routes', ROUTES_BY_HOST, ONE_ROUTE)],
  ['500 routes by path beside 1, CPU', 1.1, beside('routes', ROUTES_BY_PATH, ONE_ROUTE_FOR_PATHS)],
];

export function judge(results: Results): Verdict[] {
  return BARS.map(([bar, atMost, figureOf]) => {
    const figure = figureOf(results);
    return { bar, atMost, figure, met: figure === null ? null : figure <= atMost };
  });
}
