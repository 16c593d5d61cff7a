/**
 * The metrics of upstream state by origin, written anew from a snapshot at every scrape.
 *
 * Rules: at most MAX_ORIGINS origins have series of their own, those first that somebody would look for;
 * the rest is summed as `other`. An origin that is no longer remembered has no series. It does not
 * know how pools and circuits are kept.
 */
import type { FamilyText, LevelFamily } from './families.ts';
import type { OriginSnapshot } from './snapshot.ts';

const MAX_ORIGINS = 100;

// biome-ignore format: one family per line reads as the table it is
export const ORIGIN_LEVELS = Object.freeze({
  connections: ['pool_connections', 'Connections to the origin, by state.', 'origin', 'state'],
  limit: ['pool_connections_limit', 'Connections to the origin there may be at once.', 'origin'],
  queue: ['pool_queue', 'Exchanges that wait for a connection to the origin.', 'origin'],
  circuit: ['circuit_state', 'Circuit of the origin: 0 closed, 1 half-open, 2 open.', 'origin'],
} as const satisfies Record<string, FamilyText>);

export const CIRCUIT_OPENINGS: FamilyText = [
  'circuit_openings_total',
  'How often the circuit of the origin has opened.',
  'origin',
];

export type OriginFamilies = { readonly [name in keyof typeof ORIGIN_LEVELS]: LevelFamily } & {
  readonly circuitOpenings: LevelFamily;
};

const CIRCUIT = Object.freeze({ closed: 0, 'half-open': 1, open: 2 });

export function writeOrigins(families: OriginFamilies, origins: readonly OriginSnapshot[]): void {
  for (const family of Object.values(families)) family.reset();
  if (origins.length <= MAX_ORIGINS) {
    for (const origin of origins) writeOrigin(families, origin);
    return;
  }
  const sorted = origins.toSorted((a, b) => interest(b) - interest(a) || a.lastUsedMs - b.lastUsedMs);
  for (const origin of sorted.slice(0, MAX_ORIGINS)) writeOrigin(families, origin);
  writeOrigin(families, sum(sorted.slice(MAX_ORIGINS)));
}

/** The busiest first; a circuit that is not closed has nothing busy, and is what one looks for. */
const interest = (origin: OriginSnapshot): number =>
  origin.connections.busy +
  origin.queue +
  (origin.circuit === null || origin.circuit === 'closed' ? 0 : Number.MAX_SAFE_INTEGER / 2);

function writeOrigin(families: OriginFamilies, snapshot: OriginSnapshot): void {
  const { origin, connections } = snapshot;
  families.connections.set(connections.busy, origin, 'busy');
  families.connections.set(connections.idle, origin, 'idle');
  families.connections.set(connections.connecting, origin, 'connecting');
  families.connections.set(connections.closing, origin, 'closing');
  families.limit.set(snapshot.limit, origin);
  families.queue.set(snapshot.queue, origin);
  if (snapshot.circuit === null) return;
  families.circuit.set(CIRCUIT[snapshot.circuit], origin);
  families.circuitOpenings.set(snapshot.circuitOpenings, origin);
}

/** One origin in the place of many; its circuit is the worst of theirs, since states do not add up. */
function sum(origins: readonly OriginSnapshot[]): OriginSnapshot {
  const connections = { busy: 0, idle: 0, connecting: 0, closing: 0 };
  let streams = 0;
  let limit = 0;
  let queue = 0;
  let circuitOpenings = 0;
  let circuit: OriginSnapshot['circuit'] = null;
  for (const origin of origins) {
    connections.busy += origin.connections.busy;
    connections.idle += origin.connections.idle;
    connections.connecting += origin.connections.connecting;
    connections.closing += origin.connections.closing;
    streams += origin.streams;
    limit += origin.limit;
    queue += origin.queue;
    circuitOpenings += origin.circuitOpenings;
    if (origin.circuit !== null && (circuit === null || CIRCUIT[origin.circuit] > CIRCUIT[circuit])) {
      circuit = origin.circuit;
    }
  }
  return {
    origin: 'other',
    connections,
    streams,
    protocol: null,
    limit,
    queue,
    circuit,
    circuitOpenings,
    lastUsedMs: 0,
  };
}
