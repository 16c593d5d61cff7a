/**
 * CONNECT: who may, where to, and whether it is intercepted; the rest is the tunnel's. The same admission as
 * for a request (RFC 9110, section 9.3.6).
 */
import { asOutriggerError, OutriggerError } from '../errors.ts';
import type { Target } from '../exchange.ts';
import { type CallerRequest, insideOf } from './caller.ts';
import { type InsideListener, Tunnel, type TunnelOptions } from './tunnel.ts';

export class Tunnels {
  readonly #options: TunnelOptions;
  /** Set before the first exchange: the listener and the tunnels know each other. */
  inside: InsideListener | null = null;

  constructor(options: TunnelOptions) {
    this.#options = options;
  }

  /** `early`: what came behind the head. */
  handle(request: CallerRequest, early: Buffer): void {
    const { admission, targets, interceptor, live } = this.#options;
    const { socket } = request;
    let target: Target | null = null;
    let refusal: OutriggerError | null = null;
    try {
      // Who sends this means a proxy at the tunnel's far end, and not us.
      if (insideOf(socket) !== null)
        throw new OutriggerError('method_unsupported', 'CONNECT inside a tunnel');
      target = targets.authority(request.url ?? '');
    } catch (error) {
      refusal = asOutriggerError(error);
    }
    const interception =
      target === null
        ? null
        : interceptor.routeFor(target, admission.callerOf(request, null)?.client?.name ?? null);
    const via = interception === null ? ('tunnel' as const) : ('intercept' as const);
    const way = target && { target, path: '', via, prefix: null };
    const admitted = admission.admit(request, way, null, refusal, interception);
    const { exchange } = admitted;
    live.add(exchange);
    const tunnel = new Tunnel(exchange, socket, early, this.#options, this.inside as InsideListener);
    tunnel.begin(admitted.refusal, admitted.byAccess);
  }
}
