/**
 * Why a call is treated as it is: the route and its reasons, the way, whether access lets it pass, every value
 * that is in force with the place that it came from, and what these come to.
 *
 * Rules: it decides nothing by itself (`decider.ts` does, with the parts of the running sidecar) and shows no
 * secret. What depends on the moment is said in notes. Pure, and ready to be printed as JSON.
 */
import { isIP } from 'node:net';
import type { LoadedConfig } from '../config/assembly.ts';
import type { ListenAddress } from '../config/config.ts';
import {
  type Effective,
  type EffectiveValue,
  effectiveValues,
  plainText,
} from '../config/effective-values.ts';
import type { OutriggerError } from '../errors.ts';
import { isPlainPath, readingsOf } from '../policy/path-readings.ts';
import type { Route } from '../policy/policy.ts';
import type { Conditions } from '../policy/route.ts';
import { type Arithmetic, arithmetic, spanText } from './arithmetic.ts';
import { Decider, type Decision } from './decider.ts';

/** A route, and where it stands. */
interface RoutePlace {
  readonly name: string;
  /** Null: the default policy. */
  readonly index: number | null;
  readonly from: string;
}

/** A condition of a route, as it is written. */
interface Condition {
  readonly condition: keyof Conditions;
  readonly written: string;
  readonly from: string;
}

interface Passing {
  readonly passes: boolean;
  /** The row of the error table by which it is refused. */
  readonly error: string | null;
  readonly status: number | null;
  readonly detail: string | null;
  readonly hint: string | null;
  /** The key that decides, and where it was set. */
  readonly key: string | null;
  readonly from: string | null;
  /** The CONNECT is let in, and what is inside is cut. */
  readonly inside: boolean;
  /** What would be refused, were it not only reported. */
  readonly wouldRefuse: string | null;
}

export interface Step {
  /** What the caller sends. */
  readonly asked: string;
  readonly route: RoutePlace;
  /** Why it is that route. */
  readonly because: string;
  /** What the route asks for; nothing: it matches everything. */
  readonly met: readonly Condition[];
  /** Routes ahead of it, with the conditions that were not met. */
  readonly earlier: readonly { readonly route: RoutePlace; readonly unmet: readonly Condition[] }[];
  readonly via: Decision['via'];
  /** `scheme://host:port`; null: it could not be read. */
  readonly origin: string | null;
  readonly path: string;
  readonly reached: string;
  readonly access: Passing;
  readonly values: readonly EffectiveValue[];
  /** Null: nothing goes out. */
  readonly arithmetic: Arithmetic | null;
  readonly notes: readonly string[];
}

export interface Explanation {
  readonly method: string;
  readonly url: string;
  readonly client: string | null;
  /** One after the other, as far as it comes. */
  readonly steps: readonly Step[];
  /** Other ways to ask for the same. */
  readonly alternatives: readonly Step[];
}

/** Which conditions of a route count, by why it is that route. */
const ASKED: Readonly<Record<Decision['reason'], readonly (keyof Conditions)[]>> = {
  match: ['hosts', 'ports', 'methods', 'paths', 'clients'],
  denied: ['hosts', 'ports', 'methods', 'paths', 'clients'],
  prefix: ['methods', 'paths', 'clients'],
  intercept: ['hosts', 'ports', 'clients'],
};

/** The name of a client that the configuration does not have. */
export class UnknownClientError extends Error {
  readonly known: readonly string[];

  constructor(name: string, known: readonly string[]) {
    super(`there is no client ${JSON.stringify(name)}`);
    this.name = 'UnknownClientError';
    this.known = known;
  }
}

export class Explainer {
  readonly decider: Decider;
  readonly #effective: Effective;
  readonly #loaded: Pick<LoadedConfig, 'config' | 'provenance' | 'written'>;

  /** `proxy`: where the sidecar is reached, if it is known better than the configuration says. */
  constructor(loaded: Pick<LoadedConfig, 'config' | 'provenance' | 'written'>, proxy?: ListenAddress) {
    this.#loaded = loaded;
    this.decider = new Decider(loaded.config, proxy);
    this.#effective = effectiveValues(loaded);
  }

  /**
   * `url`: absolute, or a path of the sidecar itself; `host:port` for CONNECT.
   * @throws UnknownClientError
   */
  explain(method: string, url: string, client: string | null = null): Explanation {
    const { clients } = this.#loaded.config;
    if (client !== null && !clients.some(({ name }) => name === client))
      throw new UnknownClientError(
        client,
        clients.map(({ name }) => name),
      );
    const steps: Step[] = [];
    const alternatives: Step[] = [];
    if (method === 'CONNECT') this.#connect(authorityOf(url), client, steps);
    else if (/^https:\/\//i.test(url)) {
      const absolute = this.decider.request(method, url, client);
      if (absolute.target === null) steps.push(this.#step(absolute));
      else {
        const { host, port } = absolute.target;
        const connect = this.#connect(`${isIP(host) === 6 ? `[${host}]` : host}:${port}`, client, steps);
        if (connect !== null && connect.via === 'intercept')
          steps.push(this.#step(this.decider.inside(method, absolute.path, connect)));
        alternatives.push(this.#step(absolute));
        const plain = this.decider.request(method, plainUrl(url, port), client);
        if (plain.via === 'originate') alternatives.push(this.#step(plain));
      }
    } else steps.push(this.#step(this.decider.request(method, url, client)));
    return { method, url, client, steps, alternatives };
  }

  /** The CONNECT, if TLS may go through it; else null. */
  #connect(authority: string, client: string | null, steps: Step[]): Decision | null {
    let decision = this.decider.connect(authority, client);
    let inside: OutriggerError | null = null;
    if (decision.refusal === null) {
      const { refusal, wouldRefuse } = this.decider.tlsInside(decision);
      inside = refusal;
      decision = { ...decision, wouldRefuse };
    }
    steps.push(this.#step(decision, inside));
    return decision.refusal === null && inside === null ? decision : null;
  }

  /** `inside`: what TLS inside meets. */
  #step(decision: Decision, inside: OutriggerError | null = null): Step {
    const { route, target, via, method, asked, path } = decision;
    const address = this.#addressRefusal(decision);
    const access = this.#passing(decision, inside, address);
    const secure = target?.scheme === 'https' && via !== 'tunnel';
    const arithmetics =
      access.passes && target !== null ? arithmetic(route.policy, method, via, secure) : null;
    return {
      asked: `${method} ${asked}`,
      route: this.#placeOf(route),
      because: this.#because(decision),
      met: this.#conditions(decision, route, ASKED[decision.reason]),
      earlier: this.#earlier(decision),
      via,
      origin: target?.origin ?? null,
      path,
      reached: reachedText(decision),
      access,
      values: this.#values(decision, secure),
      arithmetic: arithmetics,
      notes: this.#notes(decision, inside),
    };
  }

  #placeOf(route: Route): RoutePlace {
    const index = this.decider.routes.indexOf(route);
    if (index < 0) return { name: route.name, index: null, from: this.#from('policy') };
    return { name: route.name, index, from: this.#from(`routes[${index}].name`) };
  }

  #from(path: string): string {
    return this.#loaded.provenance.get(path) ?? this.#effective.values.get(path)?.from ?? 'default';
  }

  #because({ reason, route, prefix, target }: Decision): string {
    if (target === null) return 'the request could not be read';
    switch (reason) {
      case 'prefix':
        return `the request came by its prefix ${prefix}`;
      case 'intercept':
        return 'it is the first route about this host and port that says how HTTPS is handled';
      case 'denied':
        return 'it denies where the request would go by TLS';
      default:
        return route === this.decider.fallback ? 'no route matches' : 'it is the first route that matches';
    }
  }

  /** Those conditions that count; null: those that are not met. */
  #conditions(decision: Decision, route: Route, asked: readonly string[] | null): Condition[] {
    const index = this.decider.routes.indexOf(route);
    const conditions = this.decider.conditions(route, decision);
    if (conditions === null || index < 0) return [];
    return (Object.entries(conditions) as [keyof Conditions, boolean | null][]).flatMap(([condition, is]) => {
      if (is === null || (asked === null ? is : !asked.includes(condition))) return [];
      const key = `routes[${index}].match.${condition}`;
      const written = plainText(route.match[condition]);
      // A route with an origin and no hosts is about that origin.
      const own = this.#effective.values.get(key);
      const from =
        own === undefined || plainText(own.shown) === '[]' ? this.#from(`routes[${index}].origin`) : own.from;
      return [{ condition, written, from }];
    });
  }

  #earlier(decision: Decision): Step['earlier'] {
    const { routes } = this.decider;
    if (decision.matched === null) return [];
    const index = routes.indexOf(decision.route);
    return routes
      .slice(0, index < 0 ? routes.length : index)
      .map((route) => ({ route: this.#placeOf(route), unmet: this.#conditions(decision, route, null) }));
  }

  /** Of a literal address. Who is intercepted reads it over TLS, as the answer to each request inside. */
  #addressRefusal({ target, route, method, via }: Decision): string | null {
    if (target === null || isIP(target.host) === 0) return null;
    if (method === 'CONNECT' && via === 'intercept') return null;
    return this.decider.addressRefusal(target.host, target.port, route);
  }

  #passing(decision: Decision, inside: OutriggerError | null, address: string | null): Passing {
    const { route, wouldRefuse } = decision;
    const refusal = decision.refusal ?? inside;
    if (refusal === null && address !== null)
      return {
        passes: false,
        error: 'address_denied',
        status: 403,
        detail: address,
        hint: null,
        ...this.#addressKey(address, route),
        inside: decision.method === 'CONNECT' && !decision.atOnce,
        wouldRefuse,
      };
    if (refusal === null)
      return {
        passes: true,
        error: null,
        status: null,
        detail: null,
        hint: null,
        ...this.#allowing(route),
        inside: false,
        wouldRefuse,
      };
    const key = this.#keyOf(refusal, route);
    return {
      passes: false,
      error: refusal.name,
      status: refusal.row.status,
      detail: refusal.detail === '' ? null : refusal.detail,
      hint: refusal.row.hint,
      key,
      from: key && this.#from(key),
      inside: decision.refusal === null,
      wouldRefuse,
    };
  }

  #addressKey(refusal: string, route: Route): { key: string; from: string } {
    const ofRoute = refusal.endsWith(' of the route');
    const key = ofRoute
      ? `routes[${this.decider.routes.indexOf(route)}].addresses.deny`
      : 'access.addresses.deny';
    return { key, from: this.#from(key) };
  }

  #allowing(route: Route): { key: string; from: string } {
    const index = this.decider.routes.indexOf(route);
    const key = index < 0 ? 'access.default' : `routes[${index}].access`;
    return { key, from: this.#from(key) };
  }

  /** The key by which an error of access is made. */
  #keyOf({ name }: OutriggerError, route: Route): string | null {
    switch (name) {
      case 'access_denied':
        return this.#allowing(route).key;
      case 'client_unknown':
      case 'client_unauthenticated':
        return 'access.clients';
      case 'port_denied':
        return 'access.deniedPorts';
      case 'tunnel_port_denied':
        return 'access.tunnelPorts';
      case 'tunnel_protocol_denied':
        return 'access.tunnelProtocols';
      default:
        return null;
    }
  }

  /** What is in force for it, in the order of the schema. */
  #values({ route, via, target }: Decision, secure: boolean): EffectiveValue[] {
    if (target === null) return [];
    const index = this.decider.routes.indexOf(route);
    const below = (path: string): EffectiveValue[] => this.#effective.below(path);
    const whole = [...below('limits'), ...below('access.addresses')];
    if (via === 'tunnel' || via === 'intercept')
      whole.push(...below('access.tunnelPorts'), ...below('access.tunnelProtocols'));
    if (index < 0) return [...below('policy'), ...below('access.default'), ...whole];
    const own = `routes[${index}]`;
    const keys = ['access', 'report', 'https', 'prefix', 'origin', 'addresses'];
    if (secure) keys.push('tls', 'http2');
    if (via !== 'tunnel') keys.push('credentials');
    return [...keys.flatMap((key) => below(`${own}.${key}`)), ...below(`${own}.policy`), ...whole];
  }

  #notes(decision: Decision, inside: OutriggerError | null): string[] {
    const { route, target, via, path, method, refusal, atOnce } = decision;
    const notes: string[] = [];
    const { clients, access, intercept } = this.#loaded.config;
    if (target === null) return notes;
    if (clients.length > 0 && decision.client === null)
      notes.push('asked for nobody known: name a client with --client (client= of /explain)');
    if (refusal !== null || inside !== null) return notes;
    if (method === 'CONNECT' && via === 'tunnel') {
      if (!atOnce) notes.push('nothing is dialled before the first bytes inside tell what they are');
      notes.push('requests inside TLS are not seen: of the policy, only what is about connections applies');
      if (access.tunnelServerName === 'match')
        notes.push('TLS inside must ask for the host of the CONNECT, or for none');
    }
    if (method === 'CONNECT' && via === 'intercept')
      notes.push(
        intercept.pinned === 'tunnel'
          ? `a tunnel for ${spanText(intercept.pinnedForMs)} once a client of this host did not accept our certificate`
          : 'a client that does not accept our certificate is refused',
      );
    if (isIP(target.host) === 0)
      notes.push(
        'addresses are judged when they are dialled: what is not public needs access.addresses.allow, or addresses.allow of the route',
      );
    if (!isPlainPath(path) && this.decider.routes.some(({ match }) => match.paths.length > 0)) {
      const readings = readingsOf(path);
      const read = readings === null ? 'too many ways' : readings.slice(0, 8).join(', ');
      notes.push(`where access depends on the path, every reading of it counts: ${read}`);
    }
    const { credentials } = route;
    if (method !== 'CONNECT' && credentials !== null) {
      if (credentials.caller === 'refuse')
        notes.push(
          `a request with credentials of the caller (${credentials.fields.join(', ')}) is refused: 403`,
        );
      if (credentials.caller === 'remove')
        notes.push(`credentials of the caller are taken out: ${credentials.fields.join(', ')}`);
      if (credentials.oauth2 !== null)
        notes.push(
          `a token is fetched where none is held: up to ${spanText(credentials.oauth2.timeoutMs)} more`,
        );
    }
    return notes;
  }
}

function reachedText({ via, target, path, atOnce, method, prefix }: Decision): string {
  if (target === null) return 'nowhere';
  const { origin } = target;
  switch (via) {
    case 'originate':
      return `originate: http:// comes in, TLS goes out to ${origin}`;
    case 'prefix':
      return `prefix ${prefix}: to ${origin} as ${path}`;
    case 'tunnel':
      return `tunnel: opaque, to ${target.host}:${target.port}${atOnce ? ', which is dialled at once' : ''}`;
    case 'intercept':
      return method === 'CONNECT'
        ? `intercept: TLS ends here, once ${origin} is verified`
        : `intercept: inside that tunnel, to ${origin}`;
    default:
      return `forward: as it came, to ${origin}`;
  }
}

/** What CONNECT names, also where a URL is given. */
function authorityOf(url: string): string {
  const [, scheme = '', authority] = /^(https?):\/\/([^/?#]*)/i.exec(url) ?? [];
  if (authority === undefined) return url;
  const port = scheme.toLowerCase() === 'http' ? 80 : 443;
  return /:\d+$/.test(authority) ? authority : `${authority.replace(/:$/, '')}:${port}`;
}

/** The same with http://, on the port of that. */
function plainUrl(url: string, port: number): string {
  const plain = url.replace(/^https:/i, 'http:');
  return port === 443 ? plain.replace(/^(http:\/\/[^/?#]*?):443(?=[/?#]|$)/i, '$1') : plain;
}
