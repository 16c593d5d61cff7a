/**
 * On which way a request came, and where that takes it: in absolute form, to a prefix of the sidecar
 * itself, or inside a tunnel, where its target was settled by the CONNECT.
 *
 * It knows no sockets; what is inside a tunnel is told by whoever opened it.
 */
import { OutriggerError } from '../errors.ts';
import type { Target, Via } from '../exchange.ts';
import type { Route } from '../policy/policy.ts';
import type { TargetReader } from './target.ts';

/** What a tunnel settles for every request inside it. */
export interface Inside {
  readonly target: Target;
  readonly via: 'intercept' | 'forward';
}

export interface Way {
  readonly target: Target;
  /** Path and query as they go on. */
  readonly path: string;
  readonly via: Via;
  /** The route of the prefix; null: the table of routes decides. */
  readonly route: Route | null;
}

export class Ways {
  readonly #targets: TargetReader;

  constructor(targets: TargetReader) {
    this.#targets = targets;
  }

  /** Throws `target_unusable`, `request_misdirected`, `prefix_unknown` or `method_unsupported`. */
  read(url: string, inside: Inside | null): Way {
    if (inside === null && !url.startsWith('/')) {
      const { target, path } = this.#targets.absolute(url);
      return { target, path, via: 'forward', route: null };
    }
    return inside === null ? this.#prefixed(url) : this.#within(url, inside);
  }

  #prefixed(_url: string): Way {
    throw new OutriggerError('target_unusable', 'the target is not in absolute form');
  }

  /** RFC 9110, section 7.4: what is meant for somewhere else does not go through this tunnel. */
  #within(url: string, { target, via }: Inside): Way {
    if (url.startsWith('/')) return { target, path: this.#targets.path(url), via, route: null };
    const absolute = this.#targets.absolute(url);
    if (absolute.target.origin !== target.origin) {
      throw new OutriggerError('request_misdirected', `${absolute.target.origin} inside ${target.origin}`);
    }
    return { target, path: absolute.path, via, route: null };
  }

  /** Whether a Host inside a tunnel names what the tunnel goes to. */
  agrees(host: string, { target }: Inside): boolean {
    return this.#targets.names(host, target);
  }
}
