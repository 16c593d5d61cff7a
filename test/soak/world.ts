/** What every caller of a soak knows. */

import type { Agent } from 'node:http';
import type { Chance } from '../fuzz/chance.ts';
import type { Certificates } from '../support/certificates.ts';
import type { Ledger } from './ledger.ts';
import type { SoakedSidecar } from './soaked-sidecar.ts';
import type { Vendors } from './vendors.ts';

export interface World {
  readonly ledger: Ledger;
  readonly vendors: Vendors;
  readonly sidecar: SoakedSidecar;
  readonly certificates: Certificates;
  /** What those trust whose TLS ends in the sidecar. */
  readonly bundle: string;
  readonly agent: Agent;
}

export interface Turn {
  readonly world: World;
  readonly chance: Chance;
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
