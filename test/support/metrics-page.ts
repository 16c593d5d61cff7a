/** The page of metrics of a sidecar to which nothing has happened yet. */
import { Metrics } from '../../src/telemetry/metrics.ts';

export function emptyMetrics(): Metrics {
  return new Metrics({
    version: '0.0.0',
    routes: ['default'],
    snapshot: () => ({
      origins: [],
      exchangesInFlight: 0,
      connections: 0,
      tunnels: 0,
      replayBytes: 0,
      callerConnections: 0,
    }),
    dropped: () => 0,
  });
}
