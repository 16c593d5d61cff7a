/**
 * What can be asked of the admin and telemetry listeners: a table from path to answer.
 *
 * Rules: reading only, nothing here changes state; the telemetry listener has what Prometheus and the
 * kubelet need and nothing that tells of origins. It reads snapshots and knows no socket, no HTTP server and
 * none of the classes behind the numbers.
 */
import type { OriginSnapshot } from '../telemetry/snapshot.ts';

export interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

export interface AdminSources {
  readonly ready: () => { ready: boolean; detail: object };
  readonly metrics: () => Promise<{ body: string; contentType: string }>;
  readonly origins: () => readonly OriginSnapshot[];
}

interface Endpoint {
  /** For the list of paths. */
  readonly about: string;
  readonly answer: () => Answer | Promise<Answer>;
}

const TEXT = 'text/plain; charset=utf-8';

export const text = (status: number, body: string): Answer => ({
  status,
  contentType: TEXT,
  body: `${body}\n`,
});

const json = (status: number, value: unknown): Answer => ({
  status,
  contentType: 'application/json',
  body: `${JSON.stringify(value, null, 2)}\n`,
});

/** The endpoints of one listener, by path. */
export function endpoints(sources: AdminSources, paths: 'all' | 'telemetry'): ReadonlyMap<string, Endpoint> {
  const table = new Map<string, Endpoint>([
    ['/livez', { about: '200 while the process answers at all', answer: () => text(200, 'ok') }],
    ['/readyz', { about: '200 while new exchanges are welcome, else 503', answer: () => readiness(sources) }],
    ['/metrics', { about: "Prometheus' text format", answer: () => metrics(sources) }],
  ]);
  if (paths === 'telemetry') return table;
  table.set('/origins', {
    about: 'pool, queue and circuit of each origin',
    answer: () => json(200, { origins: sources.origins() }),
  });
  table.set('/', { about: 'this list', answer: () => text(200, listOf(table)) });
  return table;
}

/** One line per path. */
export function listOf(table: ReadonlyMap<string, Endpoint>): string {
  return [...table].map(([path, { about }]) => `GET ${path.padEnd(10)} ${about}`).join('\n');
}

function readiness(sources: AdminSources): Answer {
  const { ready, detail } = sources.ready();
  return json(ready ? 200 : 503, { ready, ...detail });
}

async function metrics(sources: AdminSources): Promise<Answer> {
  const { body, contentType } = await sources.metrics();
  return { status: 200, contentType, body };
}
