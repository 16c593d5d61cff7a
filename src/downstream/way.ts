/**
 * On which way a request came, and where that takes it: in absolute form, to a prefix of the sidecar
 * itself, or inside a tunnel, where its target was settled by the CONNECT.
 *
 * Rules: absolute form that names the sidecar itself is a request to the sidecar (RFC 9112, section
 * 3.2.2): so a client may have both its proxy and its base URL here. It opens no sockets; what is inside a tunnel is
 * told by whoever opened it.
 */
import type { Socket } from 'node:net';
import { OutriggerError } from '../errors.ts';
import type { Target, Via } from '../exchange.ts';
import { PrefixTable } from '../headers/prefix.ts';
import { PrefixRewriter } from '../headers/prefix-rewriter.ts';
import type { Route } from '../policy/policy.ts';
import type { TargetReader } from './target.ts';

/** What a tunnel settles for every request inside it. */
export interface Inside {
  readonly target: Target;
  readonly via: 'intercept' | 'forward';
  /** A request has come. */
  used?: boolean;
}

export interface Way {
  readonly target: Target;
  /** Path and query as they go on. */
  readonly path: string;
  readonly via: Via;
  /** Of requests that came by a prefix. */
  readonly prefix: Prefix | null;
}

/** What a prefix stands for. */
export interface Prefix {
  readonly route: Route;
  readonly target: Target;
  readonly rewriter: PrefixRewriter;
}

/** The address and port that the caller dialled. */
type Dialled = Pick<Socket, 'localAddress' | 'localPort'>;

/** So many prefixes are named to whoever asked for none of them. */
const NAMED_MAX = 20;

export class Ways {
  readonly #targets: TargetReader;
  readonly #prefixes: PrefixTable<Prefix>;
  /** For whoever asks for another. */
  readonly #known: string;
  readonly #none: boolean;

  constructor(targets: TargetReader, routes: readonly Route[]) {
    this.#targets = targets;
    const entries = routes.flatMap((route) => {
      const { prefix, origin } = route;
      if (prefix === null || origin === null) return [];
      const { basePath } = origin;
      const target = targets.origin(origin);
      return [{ prefix, basePath, value: { route, target, rewriter: new PrefixRewriter(prefix, origin) } }];
    });
    this.#prefixes = new PrefixTable(entries);
    this.#none = entries.length === 0;
    const names = entries.slice(0, NAMED_MAX).map(({ prefix }) => prefix);
    if (entries.length > NAMED_MAX) names.push(`and ${entries.length - NAMED_MAX} more`);
    this.#known = names.length === 0 ? 'no route has a prefix' : `the prefixes are ${names.join(', ')}`;
  }

  /** Throws `target_unusable`, `request_misdirected`, `prefix_unknown` or `method_unsupported`. */
  read(url: string, inside: Inside | null, socket: Dialled): Way {
    if (inside === null && !url.startsWith('/')) {
      const { target, path } = this.#targets.absolute(url);
      // Without a prefix nothing of ours can be meant, and that our own address is not dialled says more.
      if (!this.#none && isOurs(target, socket)) return this.#prefixed(path);
      return { target, path, via: 'forward', prefix: null };
    }
    return inside === null ? this.#prefixed(url) : this.#within(url, inside);
  }

  #prefixed(url: string): Way {
    const match = this.#prefixes.find(this.#targets.path(url));
    if (match === null) throw new OutriggerError('prefix_unknown', this.#known);
    const { value: prefix, path } = match;
    return { target: prefix.target, path, via: 'prefix', prefix };
  }

  /** RFC 9110, section 7.4: what is meant for somewhere else does not go through this tunnel. */
  #within(url: string, { target, via }: Inside): Way {
    if (url.startsWith('/')) return { target, path: this.#targets.path(url), via, prefix: null };
    const absolute = this.#targets.absolute(url);
    if (absolute.target.origin !== target.origin) {
      throw new OutriggerError('request_misdirected', `${absolute.target.origin} inside ${target.origin}`);
    }
    return { target, path: absolute.path, via, prefix: null };
  }
}

/** `localhost` and the address that was dialled, at the port that was dialled. */
function isOurs({ scheme, host, port }: Target, { localAddress = '', localPort }: Dialled): boolean {
  if (port !== localPort || scheme !== 'http') return false;
  return host === 'localhost' || host === localAddress || `::ffff:${host}` === localAddress;
}
