/** The figures of one load through one proxy: what the load saw, and what the proxy cost meanwhile. */
import type { Load } from './load.ts';
import type { Peer } from './peers/peer.ts';
import { CPU, P50, P99, P999, RATE, RESIDENT } from './result.ts';

/** What a load may lose: its last requests are cut. */
const LOST = 1 / 1_000;

export interface Measured {
  readonly name: string;
  /** Null: nobody is between load and origin. */
  readonly peer: Peer | null;
  /** Whether nearly all are meant to be refused, and not to be served. */
  readonly refused?: boolean;
}

export async function measure(
  { name, peer, refused = false }: Measured,
  load: () => Promise<Load>,
): Promise<Record<string, number>> {
  const before = peer?.account.cpu();
  const { exchanges, seconds, p50, p99, p999, ...rest } = await load();
  const micros = peer && before ? peer.account.microsSince(before) : null;
  const resident = peer?.account.residentBytes();
  peer?.dropLog();
  if (exchanges === 0) throw new Error(`${name} answered nothing`);
  const served = exchanges - rest.refused;
  const unexpected = (refused ? served : rest.refused) + rest.broken;
  if (unexpected > Math.max(1, exchanges * (refused ? 0.1 : LOST)))
    throw new Error(
      `${name}: ${exchanges} exchanges, of which ${rest.refused} refused; ${rest.broken} broken`,
    );
  return {
    ...(micros === null ? {} : { [CPU]: micros / exchanges }),
    [RATE]: exchanges / seconds,
    [P50]: p50,
    [P99]: p99,
    [P999]: p999,
    ...(resident === undefined ? {} : { [RESIDENT]: resident / 1e6 }),
  };
}
