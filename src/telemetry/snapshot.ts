/**
 * What the composition root shows of upstream state when somebody looks: plain values of one moment.
 * Types only; they name what telemetry and admin need and know nothing of how it is kept.
 */
export interface OriginSnapshot {
  /** `scheme://host:port`. */
  readonly origin: string;
  readonly connections: {
    readonly busy: number;
    readonly idle: number;
    readonly connecting: number;
    readonly closing: number;
  };
  /** Exchanges that hold a connection; more than `busy` where several share one. */
  readonly streams: number;
  /** What is spoken on the connections; null: there is none yet. */
  readonly protocol: 'h2' | 'http/1.1' | null;
  /** Connections there may be at once. */
  readonly limit: number;
  /** Exchanges that wait for a connection. */
  readonly queue: number;
  /** Null: the policy has no breaker. */
  readonly circuit: 'closed' | 'half-open' | 'open' | null;
  readonly circuitOpenings: number;
  /** Milliseconds since the last use. */
  readonly lastUsedMs: number;
}

export interface UpstreamSnapshot {
  readonly origins: readonly OriginSnapshot[];
  readonly exchangesInFlight: number;
  /** Upstream connections, tunnels included. */
  readonly connections: number;
  readonly tunnels: number;
  readonly replayBytes: number;
  /** Connections of the application to the sidecar. */
  readonly callerConnections?: number;
}
