/** What a case is given, and what it is. */
import type { Ground } from './ground.ts';
import { installed, type Peer, type PeerKind, type Target } from './peers/peer.ts';
import type { Result } from './result.ts';

/** Of warming up, seconds: code is compiled as it is used. */
export const warmSeconds = ({ quick }: Pick<Plan, 'quick'>): number => (quick ? 2 : 3);

export interface Plan {
  readonly rounds: number;
  readonly seconds: number;
  readonly connections: number;
  /** Whether a look will do: fewer peers, fewer times. */
  readonly quick: boolean;
}

export interface Case {
  readonly name: string;
  readonly title: string;
  /** About as long as it takes, seconds. */
  readonly estimate: (plan: Plan) => number;
  readonly run: (bench: Bench) => Promise<Pick<Result, 'rows'> & { readonly notes?: readonly string[] }>;
}

export class Bench {
  readonly ground: Ground;
  readonly plan: Plan;
  readonly say: (line: string) => void;
  readonly #wanted: (peer: string) => boolean;
  readonly missing = new Set<string>();

  constructor(ground: Ground, plan: Plan, say: (line: string) => void, wanted: (peer: string) => boolean) {
    this.ground = ground;
    this.plan = plan;
    this.say = say;
    this.#wanted = wanted;
  }

  /** Those of them that are wanted and installed. */
  async startAll(kinds: readonly PeerKind[], target: Target): Promise<Peer[]> {
    const peers: Peer[] = [];
    for (const kind of kinds) {
      if (!this.#wanted(kind.name)) continue;
      if (installed(kind)) peers.push(await kind.start(this.ground, target));
      else this.missing.add(`${kind.name} (apt-get install ${kind.program})`);
    }
    return peers;
  }
}

/** About as long as rounds of a plan take, seconds. */
export const roundsOf = (plan: Plan, contestants: number): number =>
  contestants * (plan.rounds * (plan.seconds + 0.3) + warmSeconds(plan) + 0.8);
