/**
 * How TLS is spoken to the origins of a route: the trusted roots, our own certificate, the server name, the
 * versions, and whether HTTP/2 is offered. Connections of different profiles are never shared.
 *
 * Rules: a secure context is made once per profile and not per connection, for it costs more than a
 * handshake's bookkeeping; that of the roots alone with the first connection, or ahead of it where routes speak of
 * TLS. Its files are looked at again and again, by content, for a file can be exchanged in too many ways to be told
 * of each; what has changed counts for new connections once all of it fits together, and until then what was good
 * stays. It knows no sockets, no log and no metrics: who owns the profiles is told.
 */
import { createHash } from 'node:crypto';
import { isIP } from 'node:net';
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import { rootsNeeded } from '../certificates/machine-roots.ts';
import {
  contextOf,
  readTlsFiles,
  readTlsFilesLater,
  TlsFileError,
  type TlsFiles,
} from '../certificates/tls-files.ts';
import type { InsecurePolicy, Route, TlsPolicy } from '../policy/policy.ts';

const HTTP1: readonly string[] = ['http/1.1'];
const HTTP2: readonly string[] = ['h2', 'http/1.1'];

/** What is trusted where a route says nothing else. */
export interface Roots {
  /** For profiles without settings of their own; made when it is first read. */
  readonly context: SecureContext;
  /** PEM; null: those of the process. */
  readonly pem: readonly string[] | null;
}

/** Certificates; null: those of the process. */
export function rootsOf(pem: readonly string[] | null): Roots {
  let made: SecureContext | null = null;
  return {
    pem,
    get context() {
      made ??= rooted(pem === null ? {} : { ca: [...pem] });
      return made;
    },
  };
}

function rooted(options: SecureContextOptions): SecureContext {
  if (options.ca === undefined) rootsNeeded();
  return createSecureContext(options);
}

/** What a look at the files brought. */
type Change = 'none' | 'renewed' | 'unusable';

export class TlsProfile {
  /** Part of the key of upstream state; '' for what has no settings of its own. */
  readonly suffix: string;
  /** What the files have now and cannot be used; null: all is well. */
  problem: string | null = null;
  readonly #policy: TlsPolicy | null;
  readonly #http2: boolean;
  readonly #options: SecureContextOptions;
  /** Null: that of the roots. */
  #context: SecureContext | null = null;
  readonly #roots: Roots;
  /** Of the contents that the context was made of. */
  #digest = '';
  /** A look found them unusable, and the one before did not. */
  #doubtful = false;

  /** Throws a TlsFileError. */
  constructor(suffix: string, policy: TlsPolicy | null, http2: boolean, roots: Roots) {
    this.suffix = suffix;
    this.#policy = policy;
    this.#http2 = http2;
    this.#options = {
      minVersion: policy?.minVersion ?? 'TLSv1.2',
      ...(roots.pem === null ? {} : { ca: [...roots.pem] }),
    };
    this.#roots = roots;
    if (policy === null) return;
    if (this.hasFiles) this.#use(policy, readTlsFiles(policy));
    else if (policy.minVersion !== 'TLSv1.2') this.#context = rooted(this.#options);
  }

  /** Of the next connection. The oldest version is part of it: beside a context, Node does not look at one. */
  get secureContext(): SecureContext {
    return this.#context ?? this.#roots.context;
  }

  /** RFC 7301; `http1`: nothing else can be used, as for an upgrade. */
  alpn(http1: boolean): readonly string[] {
    return this.#http2 && !http1 ? HTTP2 : HTTP1;
  }

  /** RFC 6066, section 3: a literal address is not sent as a server name. */
  servername(host: string): string {
    return this.#policy?.servername ?? (isIP(host) === 0 ? host : '');
  }

  /** Whether the origin's certificate must be valid. */
  get verifies(): boolean {
    const insecure = this.#policy?.insecure ?? null;
    return insecure === null || Date.now() >= insecure.untilMs;
  }

  get hasFiles(): boolean {
    return this.#policy !== null && (this.#policy.ca !== null || this.#policy.cert !== null);
  }

  /** Looks at the files again. */
  async renew(): Promise<Change> {
    const policy = this.#policy as TlsPolicy;
    try {
      const contents = await readTlsFilesLater(policy);
      if (digestOf(contents) === this.#digest && this.problem === null) {
        this.#doubtful = false;
        return 'none';
      }
      this.#use(policy, contents);
      return 'renewed';
    } catch (error) {
      if (!(error instanceof TlsFileError)) throw error;
      return this.#doubt(error.message);
    }
  }

  #use(policy: TlsPolicy, contents: TlsFiles): void {
    this.#context = contextOf(policy, contents, this.#options);
    this.#digest = digestOf(contents);
    this.problem = null;
    this.#doubtful = false;
  }

  /** A certificate and its key are written one after the other: what is wrong only once is not worth a word. */
  #doubt(problem: string): Change {
    if (!this.#doubtful) {
      this.#doubtful = true;
      return 'none';
    }
    if (this.problem === problem) return 'none';
    this.problem = problem;
    return 'unusable';
  }
}

/** Compared in the place of what it is made of: a key is not kept here. */
function digestOf({ ca, cert, key }: TlsFiles): string {
  return createHash('sha256')
    .update(JSON.stringify([ca, cert, key]))
    .digest('base64');
}

/** Is told what becomes of the profiles while the sidecar runs. */
export interface TlsObserver {
  tlsRenewed(routes: readonly string[]): void;
  /** What they had before stays. */
  tlsUnusable(routes: readonly string[], problem: string): void;
  /** The last day of `insecure` is over. */
  tlsVerifiedAgain(route: string): void;
}

/** How an operator sees them. */
export interface TlsSnapshot {
  /** Routes on which certificates are not verified now. */
  readonly insecure: readonly { readonly route: string; readonly reason: string; readonly until: string }[];
  /** Routes whose files have changed and cannot be used: what they had before is in use. */
  readonly stale: readonly { readonly routes: readonly string[]; readonly problem: string }[];
}

interface Shared {
  readonly profile: TlsProfile;
  readonly routes: readonly string[];
}

/** What routes of a configuration have, before it counts. */
export interface PreparedProfiles {
  readonly byRoute: ReadonlyMap<Route, TlsProfile>;
  /** By their settings. */
  readonly shared: ReadonlyMap<string, Shared>;
  readonly insecure: ReadonlyMap<string, InsecurePolicy>;
}

export class TlsProfiles {
  /** Of exchanges under way, too, whose routes are those of an earlier configuration. */
  readonly #byRoute = new WeakMap<Route, TlsProfile>();
  readonly #roots: Roots;
  readonly #standard: TlsProfile;
  #shared: PreparedProfiles['shared'] = new Map();
  #withFiles: readonly Shared[] = [];
  /** Until the log has said that they are over. */
  #insecure = new Map<string, InsecurePolicy>();
  #watching: (() => void) | null = null;
  #timer: NodeJS.Timeout | null = null;
  #closed = false;

  /** Throws a TlsFileError. */
  constructor(roots: Roots, routes: readonly Route[]) {
    this.#roots = roots;
    this.#standard = new TlsProfile('', null, false, roots);
    this.adopt(this.prepare(routes));
  }

  /**
   * Throws a TlsFileError, and nothing has changed. Equal settings keep their profile; what is new after the start
   * has a suffix that was never there, so that no connection is taken for one of another trust.
   */
  prepare(routes: readonly Route[], generation = 1): PreparedProfiles {
    const byRoute = new Map<Route, TlsProfile>();
    const shared = new Map<string, { profile: TlsProfile; routes: string[] }>();
    const insecure = new Map<string, InsecurePolicy>();
    for (const route of routes) {
      const { name, tls, http2 } = route;
      if (tls === null && !http2) continue;
      const key = JSON.stringify([tls, http2]);
      let one = shared.get(key);
      if (one === undefined) {
        const suffix = generation === 1 ? `#${name}` : `#${name}~${generation}`;
        const profile = this.#shared.get(key)?.profile ?? new TlsProfile(suffix, tls, http2, this.#roots);
        one = { profile, routes: [] };
        shared.set(key, one);
      }
      one.routes.push(name);
      byRoute.set(route, one.profile);
      if (tls?.insecure) insecure.set(name, tls.insecure);
    }
    return { byRoute, shared, insecure };
  }

  /** From now on. */
  adopt({ byRoute, shared, insecure }: PreparedProfiles): void {
    for (const [route, profile] of byRoute) this.#byRoute.set(route, profile);
    this.#shared = shared;
    this.#withFiles = [...shared.values()].filter(({ profile }) => profile.hasFiles);
    this.#insecure = new Map(insecure);
    this.#watching?.();
  }

  /** Those that somebody may ask for now. */
  get suffixes(): string[] {
    return [...this.#shared.values()].map(({ profile }) => profile.suffix);
  }

  of(route: Route): TlsProfile {
    return this.#byRoute.get(route) ?? this.#standard;
  }

  /** Makes ahead of the first connection what routes without settings of their own will want. */
  warm(): void {
    void this.#standard.secureContext;
  }

  snapshot(): TlsSnapshot {
    const now = Date.now();
    return {
      insecure: [...this.#insecure]
        .filter(([, { untilMs }]) => now < untilMs)
        .map(([route, { reason, until }]) => ({ route, reason, until })),
      stale: this.#withFiles.flatMap(({ profile: { problem }, routes }) =>
        problem === null ? [] : [{ routes, problem }],
      ),
    };
  }

  /** Looks at files and days every so often, until `close`. Nothing waits for it. */
  watch(intervalMs: number, observer: TlsObserver): void {
    const later = (): void => {
      this.#timer = null;
      if (this.#closed || (this.#withFiles.length === 0 && this.#insecure.size === 0)) return;
      this.#timer = setTimeout(() => void look(), intervalMs).unref();
    };
    let looking = false;
    const look = async (): Promise<void> => {
      looking = true;
      await this.#look(observer);
      looking = false;
      later();
    };
    this.#watching = () => {
      if (this.#timer === null && !looking) later();
    };
    later();
  }

  close(): void {
    this.#closed = true;
    if (this.#timer) clearTimeout(this.#timer);
  }

  async #look(observer: TlsObserver): Promise<void> {
    const now = Date.now();
    for (const [route, { untilMs }] of this.#insecure) {
      if (now < untilMs) continue;
      this.#insecure.delete(route);
      observer.tlsVerifiedAgain(route);
    }
    for (const { profile, routes } of this.#withFiles) {
      const change = await profile.renew();
      if (this.#closed) return;
      if (change === 'renewed') observer.tlsRenewed(routes);
      else if (change === 'unusable') observer.tlsUnusable(routes, profile.problem ?? '');
    }
  }
}
