/**
 * What is seen while a run goes on: on a terminal a picture that is drawn anew twice a second, elsewhere a plain line
 * every two seconds. It only reads.
 */
import { styleText } from 'node:util';
import type { OriginState, Run, VendorStates } from './run.ts';

const DRAW_EVERY_MS = 500;
const PLAIN_EVERY_MS = 2_000;
/** What "per second" looks back on. */
const RECENT_MS = 1_000;
const BLOCKS = '▁▁▂▃▄▅▆▇█';

type Colour = Parameters<typeof styleText>[0];
const paint = (colour: Colour, text: string): string =>
  styleText(colour, text, { validateStream: true, stream: process.stdout });

/** How many ended within the last second, and how. */
interface Recent {
  readonly full: number;
  readonly degraded: number;
  readonly failed: number;
}

export class Terminal {
  readonly #run: Run;
  readonly #live: boolean;
  readonly #title: string;
  readonly #timer: NodeJS.Timeout;
  readonly #vendors: Readonly<Record<string, string>>;
  #lines = 0;
  /** Answered shares so far, one for each half second. */
  #history: number[] = [];
  #seenScores = 0;
  #drawing = false;

  constructor(run: Run, title: string, vendors: Readonly<Record<string, string>>) {
    this.#run = run;
    this.#title = title;
    this.#vendors = vendors;
    this.#live = process.stdout.isTTY;
    const everyMs = this.#live ? DRAW_EVERY_MS : PLAIN_EVERY_MS;
    this.#timer = setInterval(() => void this.#show(), everyMs);
  }

  /** Leaves what is there. */
  end(): void {
    clearInterval(this.#timer);
    this.#lines = 0;
  }

  async #show(): Promise<void> {
    // Before the load there is nothing to see, and a slow answer is not overtaken.
    if (this.#run.load === undefined || this.#drawing) return;
    this.#drawing = true;
    try {
      const [states, origins] = await Promise.all([this.#run.vendorStates(), this.#run.originStates()]);
      if (this.#live) this.#draw(states, origins);
      else console.log(this.#plain(origins));
    } catch {
      // The run is over, and who was asked has gone.
    } finally {
      this.#drawing = false;
    }
  }

  #recent(): Recent {
    const { load } = this.#run;
    const since = load.nowMs - RECENT_MS;
    const recent = { full: 0, degraded: 0, failed: 0 };
    for (let i = load.scores.length - 1; i >= 0; i--) {
      const score = load.scores[i];
      if (score === undefined || score.atMs + score.ms < since) break;
      recent[score.outcome]++;
    }
    return recent;
  }

  #circuit(name: string, origins: readonly OriginState[]): OriginState | undefined {
    return origins.find(({ origin }) => origin === this.#vendors[name]);
  }

  #plain(origins: readonly OriginState[]): string {
    const { load, phase, pool } = this.#run;
    const { full, degraded, failed } = this.#recent();
    const open = Object.keys(this.#vendors).filter((name) => {
      const circuit = this.#circuit(name, origins)?.circuit;
      return circuit !== undefined && circuit !== 'closed';
    });
    return (
      `  ${(load.nowMs / 1_000).toFixed(1).padStart(5)} s  ${phase.padEnd(10)}  full ${full}/s  degraded ${degraded}/s  ` +
      `failed ${failed}/s  in flight ${load.inFlight}  pool ${pool.used} of 20, ${pool.waiting} wait` +
      (open.length === 0 ? '' : `  circuit not closed: ${open.join(', ')}`)
    );
  }

  #draw(states: VendorStates, origins: readonly OriginState[]): void {
    const { load, phase, pool, endMs } = this.#run;
    const recent = this.#recent();
    this.#remember();
    const end = phase === 'kept' ? '' : ` of ${(endMs / 1_000).toFixed(0)} s`;
    const nowMs = phase === 'ending' ? endMs : load.nowMs;
    const seconds = `${(nowMs / 1_000).toFixed(1)} s${end}`;
    const shown = phase === 'hanging' ? paint(['red', 'bold'], phase) : phase;
    const bar = this.#history.map((share) =>
      paint(share > 0.9 ? 'green' : share > 0.3 ? 'yellow' : 'red', BLOCKS[Math.ceil(share * 8)] ?? ''),
    );
    const lines = [
      `${paint('bold', this.#title)}   ${seconds}   ${shown}`,
      '',
      `  scores    full ${count(recent.full)}/s   degraded ${paint('yellow', count(recent.degraded))}/s   ` +
        `failed ${paint(recent.failed > 0 ? 'red' : 'dim', count(recent.failed))}/s   in flight ${count(load.inFlight)}`,
      `  answered  ${bar.join('')}`,
      `  pool      ${count(pool.used)} of 20 in use, ${pool.waiting > 0 ? paint('red', count(pool.waiting)) : count(0)} calls wait in line`,
      '',
      paint('dim', '  vendor       does        requests  in flight  connections  circuit       queue'),
      ...Object.keys(this.#vendors).map((name) => row(name, states, this.#circuit(name, origins))),
      '',
    ];
    const up = this.#lines > 0 ? `\x1b[${this.#lines}A` : '';
    process.stdout.write(`${up}${lines.map((one) => `\x1b[2K${one}\n`).join('')}`);
    this.#lines = lines.length;
  }

  /** The share of what ended since the last look. */
  #remember(): void {
    const { scores } = this.#run.load;
    const ended = scores.slice(this.#seenScores);
    this.#seenScores = scores.length;
    const answered = ended.filter(({ outcome }) => outcome !== 'failed').length;
    this.#history.push(ended.length === 0 ? 0 : answered / ended.length);
    this.#history = this.#history.slice(-60);
  }
}

const count = (number: number): string => String(number).padStart(3);

function row(name: string, states: VendorStates, origin: OriginState | undefined): string {
  const state = states[name];
  if (state === undefined) return '';
  const [does = ''] = state.behaviour.split(',');
  const circuit = origin?.circuit ?? 'none';
  const colour: Colour = circuit === 'open' ? 'red' : circuit === 'half-open' ? 'yellow' : 'dim';
  return [
    `  ${name.padEnd(11)}`,
    paint(does === 'hanging' ? ['red', 'bold'] : 'dim', does.padEnd(10)),
    String(state.requests.all).padStart(9),
    String(state.requests.inFlight).padStart(10),
    String(state.connections.open).padStart(12),
    ` ${paint(colour, circuit.padEnd(12))}`,
    origin === undefined ? '' : String(origin.queue).padStart(6),
  ].join(' ');
}
