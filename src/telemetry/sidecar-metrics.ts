/**
 * The metrics of the sidecar as a whole, as a table; the values come from the snapshot and from what
 * telemetry was told.
 */
import type { FamilyText, LevelFamily } from './families.ts';
import type { UpstreamSnapshot } from './snapshot.ts';

// biome-ignore format: one family per line reads as the table it is
export const SIDECAR_LEVELS = Object.freeze({
  inFlight: ['exchanges_in_flight', 'Exchanges that have not finished.'],
  connections: ['connections', 'Upstream connections, tunnels included.'],
  tunnels: ['tunnels', 'Tunnels that are open.'],
  replayBytes: ['replay_bytes', 'Bytes of request bodies that are held for a retry.'],
  build: ['build_info', 'The version that runs; always 1.', 'version', 'node'],
} as const satisfies Record<string, FamilyText>);

// biome-ignore format: one family per line reads as the table it is
export const SIDECAR_COUNTS = Object.freeze({
  tunnelBytes: ['tunnel_bytes_total', 'Bytes carried in tunnels.', 'direction'],
  handshakes: ['intercept_handshakes_total', 'TLS handshakes with callers whose connection is intercepted.', 'result'],
  unhandled: ['unhandled_errors_total', 'Errors that nobody caught; each is a bug of the sidecar.'],
  callersShed: ['caller_connections_shed_total', 'Connections of callers that were closed, or not let in, since there were too many.', 'reason'],
  reloads: ['config_reloads_total', 'Reloads of the configuration.', 'result'],
} as const satisfies Record<string, FamilyText>);

/** Only where the snapshot has it. */
export const CALLERS: FamilyText = ['caller_connections', 'Connections of the application to the sidecar.'];

/** Counted by the log itself. */
export const DROPPED: FamilyText = [
  'log_lines_dropped_total',
  'Log lines lost because the output was blocked or gone.',
];

export type SidecarLevels = { readonly [name in keyof typeof SIDECAR_LEVELS]: LevelFamily };

export function writeSidecar(levels: SidecarLevels, snapshot: UpstreamSnapshot, tunnels: number): void {
  levels.inFlight.set(snapshot.exchangesInFlight);
  levels.connections.set(snapshot.connections);
  levels.tunnels.set(tunnels);
  levels.replayBytes.set(snapshot.replayBytes);
}
