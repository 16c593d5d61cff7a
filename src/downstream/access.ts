/**
 * What access says of a request: who may call, which route denies, which ports no exchange goes to; and whether
 * that is enforced or only reported. The same rules for what runs and for what is only asked about.
 *
 * It notes on the exchange what is let through although it is denied; it reads no sockets and no heads.
 */
import { OutriggerError } from '../errors.ts';
import type { Target } from '../exchange.ts';
import type { Route } from '../policy/policy.ts';
import type { Caller } from './clients.ts';

/** What is denied whatever the route. */
export interface AccessRules {
  readonly clients: 'any' | 'known';
  /** Denials are only reported. */
  readonly report: boolean;
  readonly deniedPorts: readonly number[];
}

/** What is judged: an exchange, or what would become one. */
export interface Judged {
  readonly route: Route;
  readonly target: Target | null;
  /** What would have been refused, had it not only been to be reported. */
  wouldRefuse: string | null;
}

export class Access {
  readonly #rules: AccessRules;
  readonly #deniedPorts: ReadonlySet<number>;

  constructor(rules: AccessRules) {
    this.#rules = rules;
    this.#deniedPorts = new Set(rules.deniedPorts);
  }

  /** What is denied, unless that is only to be reported. */
  settle(judged: Judged, denial: OutriggerError): OutriggerError | null {
    const ofRoute = denial.name === 'access_denied' && judged.route.report;
    if (!this.#rules.report && !ofRoute) return denial;
    judged.wouldRefuse ??= denial.detail === '' ? denial.name : `${denial.name}: ${denial.detail}`;
    return null;
  }

  /**
   * By who, which route, which port. Null: none, or it is only reported. `caller` null: nobody is told from
   * anybody.
   */
  denial(judged: Judged, caller: Caller | null): OutriggerError | null {
    const { target, route } = judged;
    if (caller !== null) {
      if (caller.wrong) return new OutriggerError('client_unauthenticated', 'the credentials are wrong');
      if (caller.client === null && this.#rules.clients === 'known') {
        const denial = this.settle(judged, new OutriggerError('client_unknown'));
        if (denial !== null) return denial;
      }
    }
    if (route.access === 'deny') {
      const denial = this.settle(judged, new OutriggerError('access_denied', `route ${route.name}`));
      if (denial !== null) return denial;
    }
    if (target === null || !this.#deniedPorts.has(target.port) || opens(route, target)) return null;
    return this.settle(judged, new OutriggerError('port_denied', `port ${target.port}`));
  }
}

/** Whether a route says itself that its requests may go to that port. */
function opens({ access, match, origin }: Route, { host, port }: Target): boolean {
  if (access === 'deny') return false;
  return match.ports.includes(port) || (origin !== null && origin.port === port && origin.host === host);
}

/**
 * Who has not said who they are, and could, is asked to (RFC 9110, section 15.5.8): some clients wait for that.
 * Inside a tunnel nobody would take the question for ours.
 */
export function challenged(
  denial: OutriggerError | null,
  caller: Caller | null,
  inside: boolean,
  canAnswer: boolean,
): OutriggerError | null {
  if (denial === null || inside || denial.name === 'port_denied') return denial;
  if (caller?.client !== null || !canAnswer) return denial;
  if (denial.name === 'client_unauthenticated') return denial;
  return new OutriggerError('client_unauthenticated', denial.detail);
}
