/**
 * The whole configuration as frozen values: defaults, files and environment merged, units resolved.
 * Only the composition root sees it whole; every part is handed just what it needs.
 */
import type { Client, Policy, Route } from '../policy/policy.ts';
import type { SecretText } from '../policy/secret-text.ts';

/** A socket address to listen on; IPv6 hosts are without brackets. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

interface InterceptConfig {
  /** Files; null: the authority is made in memory. */
  readonly ca: { readonly cert: string; readonly key: string } | null;
  /** Null: the default path. */
  readonly bundle: string | null;
  /** Certificates remembered. */
  readonly leaves: number;
  readonly pinned: 'tunnel' | 'refuse';
  readonly pinnedForMs: number;
}

export interface Config {
  readonly listen: {
    readonly proxy: ListenAddress;
    readonly admin: ListenAddress;
    readonly telemetry: ListenAddress | null;
    /** A caller has this long to send a request head. */
    readonly headTimeoutMs: number;
    /** A caller's connection without an exchange is closed after this long. */
    readonly idleTimeoutMs: number;
    /** HTTP/2 streams at once on one caller's connection. */
    readonly streams: number;
    /** Callers' connections at once. */
    readonly connections: number;
    /** Of one source address. */
    readonly connectionsPerClient: number;
  };
  readonly admin: {
    /** What operators bring; null: nobody is asked. Never shown. */
    readonly token: string | null;
    /** Names under which the admin listener may be asked, beside its address. */
    readonly hosts: readonly string[];
    /** The latest exchanges that are kept for whoever asks; 0: none. */
    readonly exchanges: number;
  };
  readonly limits: {
    readonly connections: number;
    readonly exchanges: number;
    readonly origins: number;
    readonly targetBytes: number;
    readonly headerBytes: number;
    readonly headerFields: number;
    readonly replayBytes: number;
  };
  readonly policy: Policy;
  readonly routes: readonly Route[];
  readonly clients: readonly Client[];
  /** Those of policies and routes that are read again when their files change. */
  readonly secrets: readonly SecretText[];
  readonly access: {
    readonly default: 'allow' | 'deny';
    /** Known: who is none of `clients` is refused. */
    readonly clients: 'any' | 'known';
    /** What access rules deny is let through, and the log says what would have been refused. */
    readonly report: boolean;
    /** Where no exchange goes, unless a route says so. */
    readonly deniedPorts: readonly number[];
    readonly addresses: { readonly deny: readonly string[]; readonly allow: readonly string[] };
    readonly tunnelPorts: readonly number[];
    readonly tunnelProtocols: readonly ('tls' | 'http' | 'other')[];
    readonly tunnelServerName: 'match' | 'any';
  };
  readonly intercept: InterceptConfig;
  readonly requestId: { readonly header: string; readonly accept: boolean };
  readonly log: {
    readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';
    readonly format: 'json' | 'pretty';
    readonly query: 'drop' | 'keep';
  };
  readonly reload: {
    /** Whether files are looked at, so that a change counts by itself. */
    readonly watch: boolean;
    readonly intervalMs: number;
  };
  readonly shutdown: {
    readonly drainTimeoutMs: number;
    /** The drain ends early once no caller has been connected for this long. */
    readonly quietMs: number;
  };
}
