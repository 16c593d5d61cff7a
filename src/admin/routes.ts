/**
 * What can be asked of the admin and telemetry listeners, and done through the former: a table from path to methods
 * to answers.
 *
 * Rules: nothing changes by GET; the telemetry listener has what Prometheus and the
 * kubelet need and nothing that tells of origins or of how routes are set up; a probe needs no token, and
 * without one learns no more than its yes or no. It reads snapshots and knows no socket, no HTTP server and
 * none of the classes behind the numbers.
 */
import type { RecentExchange } from '../telemetry/recent-exchanges.ts';
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

type CircuitWord = 'open' | 'closed' | 'auto';

/** What came of a reload. */
type ReloadAnswer =
  | {
      readonly ok: true;
      readonly changed: readonly string[];
      readonly restart: readonly string[];
      readonly warnings: readonly string[];
    }
  | { readonly ok: false; readonly problems: readonly string[] };

interface ShownConfig {
  readonly yaml: string;
  readonly values: unknown;
  /** Where each value came from, by path. */
  readonly from: object;
  /** Paths of values that count after a restart only. */
  readonly restart: readonly string[];
}

type Explained =
  | { readonly status: 200; readonly value: object }
  | { readonly status: 400; readonly problem: string };

/** For whoever runs the sidecar, and nobody else. */
export interface Operations {
  /** Without its secrets; null: it is not known how it was written. */
  config(): ShownConfig | null;
  /** What would become of a request; null: it is not known how the configuration was written. */
  explain(query: string): Explained | null;
  /** The latest first. */
  exchanges(): readonly RecentExchange[];
  timelines(requestId: string): readonly object[];
  reload(): Promise<ReloadAnswer>;
  drain(): void;
  force(origin: string, state: CircuitWord): OriginSnapshot | 'unknown' | 'no circuit';
}

export interface AdminSources {
  readonly ready: () => Readiness;
  readonly metrics: () => Promise<{ body: string; contentType: string }>;
  readonly origins: () => readonly OriginSnapshot[];
  /** Null: none are offered. */
  readonly operations: Operations | null;
}

/** Who asks, and for what. */
interface Asked {
  /** Whoever asks may see everything. */
  readonly operator: boolean;
  /** In the place of the path's `*`, decoded. */
  readonly name: string;
  readonly query: URLSearchParams;
  /** Of a POST, from JSON; undefined: there was none. */
  readonly body: unknown;
}

type Answering = (asked: Asked) => Answer | Promise<Answer>;

export interface Endpoint {
  /** For the list of paths. */
  readonly about: string;
  /** A probe: it needs no token. */
  readonly open: boolean;
  /** HEAD is GET without its body, and is not here. */
  readonly methods: ReadonlyMap<string, Answering>;
}

/** By path; `*` stands for one segment that is not empty. */
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

const doing = (about: string, answer: Answering): Endpoint => ({
  about,
  open: false,
  methods: new Map([['POST', answer]]),
});

/** The endpoints of one listener, by path. */
export function endpoints(sources: AdminSources, paths: 'all' | 'telemetry'): Endpoints {
  const table = new Map<string, Endpoint>([
    ['/livez', reading('200 while the process answers at all', () => text(200, 'ok'), true)],
    [
      '/readyz',
      reading(
        '200 while new exchanges are welcome, else 503',
        ({ operator }) => readiness(sources, operator),
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
  if (sources.operations !== null) addOperations(table, sources.operations);
  table.set(
    '/',
    reading('this list', () => text(200, listOf(table))),
  );
  return table;
}

function addOperations(table: Map<string, Endpoint>, operations: Operations): void {
  table.set(
    '/origins/*/circuit',
    doing('sets its circuit, by {"state": "open" | "closed" | "auto"}', (asked) => force(operations, asked)),
  );
  table.set(
    '/config',
    reading('the configuration, effective and without secrets; as JSON by ?format=json', ({ query }) =>
      config(operations, query),
    ),
  );
  table.set(
    '/explain',
    reading('what would become of a request, and why: ?method=GET&url=...&client=...', ({ query }) =>
      explain(operations, query),
    ),
  );
  table.set(
    '/exchanges',
    reading('the latest exchanges', () => json(200, { exchanges: operations.exchanges() })),
  );
  table.set(
    '/exchanges/*',
    reading('the timeline of one, by its request ID', ({ name }) => timelines(operations, name)),
  );
  table.set(
    '/reload',
    doing('reads the configuration again: all of it counts, or nothing', () => reload(operations)),
  );
  table.set(
    '/drain',
    doing('begins the end, as SIGTERM does', () => {
      operations.drain();
      return json(202, { draining: true });
    }),
  );
}

/** What a path leads to, and what stands in the place of its `*`. */
export function endpointAt(
  table: Endpoints,
  path: string,
): { readonly endpoint: Endpoint; readonly name: string } | null {
  const exact = path.includes('*') ? undefined : table.get(path);
  if (exact !== undefined) return { endpoint: exact, name: '' };
  const segments = path.split('/');
  for (const [pattern, endpoint] of table) {
    const parts = pattern.split('/');
    const at = parts.indexOf('*');
    if (at < 0 || parts.length !== segments.length || segments[at] === '') continue;
    if (!parts.every((part, i) => i === at || part === segments[i])) continue;
    const name = decoded(segments[at] as string);
    if (name !== null) return { endpoint, name };
  }
  return null;
}

/** Null: no percent-encoding is like that. */
function decoded(segment: string): string | null {
  try {
    return decodeURIComponent(segment);
  } catch {
    return null;
  }
}

/** One line per path and method. */
export function listOf(table: Endpoints): string {
  return [...table]
    .flatMap(([path, { about, methods }]) =>
      [...methods.keys()].map((method) => `${`${method} ${path}`.padEnd(24)} ${about}`),
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

function config(operations: Operations, query: URLSearchParams): Answer {
  const disclosed = operations.config();
  if (disclosed === null) return text(404, 'it is not known how the configuration was written');
  const { yaml, values, from, restart } = disclosed;
  if (query.get('format') === 'json') return json(200, { config: values, from, restart });
  // As text, so that a browser shows it.
  return { status: 200, contentType: TEXT, body: restartNote(restart) + yaml };
}

function explain(operations: Operations, query: URLSearchParams): Answer {
  const explained = operations.explain(query.toString());
  if (explained === null) return text(404, 'it is not known how the configuration was written');
  return explained.status === 200 ? json(200, explained.value) : text(400, explained.problem);
}

function restartNote(restart: readonly string[]): string {
  return restart.length === 0 ? '' : `# after a restart only: ${restart.join(', ')}\n`;
}

function timelines(operations: Operations, requestId: string): Answer {
  const found = operations.timelines(requestId);
  if (found.length === 0) return text(404, 'none of the latest exchanges has this request ID');
  return json(200, { exchanges: found });
}

/** RFC 9110, section 15.5.21: what was to be read is understood, and cannot be followed. */
async function reload(operations: Operations): Promise<Answer> {
  const { ok, ...result } = await operations.reload();
  return json(ok ? 200 : 422, { reloaded: ok, ...result });
}

const CIRCUIT_WORDS: ReadonlySet<unknown> = new Set<CircuitWord>(['open', 'closed', 'auto']);

function force(operations: Operations, { name, body }: Asked): Answer {
  const state = typeof body === 'object' && body !== null && 'state' in body ? body.state : undefined;
  if (!CIRCUIT_WORDS.has(state)) return text(422, 'the body must be {"state": "open" | "closed" | "auto"}');
  const origin = operations.force(name, state as CircuitWord);
  if (origin === 'unknown') return text(404, 'no such origin; /origins has those that are known');
  if (origin === 'no circuit') return text(409, 'this origin has no circuit: its policy has breaker: null');
  return json(200, origin);
}
