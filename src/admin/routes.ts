/**
 * What can be asked of the admin and telemetry listeners: a table from path to methods to answers.
 *
 * Rules: nothing here changes state, and a GET never will; the telemetry listener has what Prometheus and the
 * kubelet need and nothing that tells of origins or of how routes are set up; a probe needs no token, and
 * without one learns no more than its yes or no. It reads snapshots and knows no socket, no HTTP server and
 * none of the classes behind the numbers.
 */
import type { OriginSnapshot } from '../telemetry/snapshot.ts';

export interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
  /** Beside those that every answer has: name, value, name, value. */
  readonly headers?: readonly string[];
}

export interface Readiness {
  readonly ready: boolean;
  /** For everybody. */
  readonly state: object;
  /** For the operator. */
  readonly detail: object;
}

export interface AdminSources {
  readonly ready: () => Readiness;
  readonly metrics: () => Promise<{ body: string; contentType: string }>;
  readonly origins: () => readonly OriginSnapshot[];
}

/** `operator`: whether whoever asks may see everything. */
type Answering = (operator: boolean) => Answer | Promise<Answer>;

export interface Endpoint {
  /** For the list of paths. */
  readonly about: string;
  /** A probe: it needs no token. */
  readonly open: boolean;
  /** HEAD is GET without its body, and is not here. */
  readonly methods: ReadonlyMap<string, Answering>;
}

export type Endpoints = ReadonlyMap<string, Endpoint>;

const TEXT = 'text/plain; charset=utf-8';

export const text = (status: number, body: string, headers: readonly string[] = []): Answer => ({
  status,
  contentType: TEXT,
  body: `${body}\n`,
  headers,
});

const json = (status: number, value: unknown): Answer => ({
  status,
  contentType: 'application/json',
  body: `${JSON.stringify(value, null, 2)}\n`,
});

const reading = (about: string, answer: Answering, open = false): Endpoint => ({
  about,
  open,
  methods: new Map([['GET', answer]]),
});

/** The endpoints of one listener, by path. */
export function endpoints(sources: AdminSources, paths: 'all' | 'telemetry'): Endpoints {
  const table = new Map<string, Endpoint>([
    ['/livez', reading('200 while the process answers at all', () => text(200, 'ok'), true)],
    [
      '/readyz',
      reading(
        '200 while new exchanges are welcome, else 503',
        (operator) => readiness(sources, operator),
        true,
      ),
    ],
    ['/metrics', reading("Prometheus' text format", () => metrics(sources))],
  ]);
  if (paths === 'telemetry') return table;
  table.set(
    '/origins',
    reading('pool, queue and circuit of each origin', () => json(200, { origins: sources.origins() })),
  );
  table.set(
    '/',
    reading('this list', () => text(200, listOf(table))),
  );
  return table;
}

/** One line per path and method. */
export function listOf(table: Endpoints): string {
  return [...table]
    .flatMap(([path, { about, methods }]) =>
      [...methods.keys()].map((method) => `${method} ${path.padEnd(10)} ${about}`),
    )
    .join('\n');
}

/** RFC 9110, section 10.2.1. */
export function allowOf({ methods }: Endpoint): string {
  return [...methods.keys()].map((method) => (method === 'GET' ? 'GET, HEAD' : method)).join(', ');
}

function readiness(sources: AdminSources, operator: boolean): Answer {
  const { ready, state, detail } = sources.ready();
  return json(ready ? 200 : 503, { ready, ...state, ...(operator ? detail : {}) });
}

async function metrics(sources: AdminSources): Promise<Answer> {
  const { body, contentType } = await sources.metrics();
  return { status: 200, contentType, body };
}
