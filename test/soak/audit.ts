/**
 * Looks at the sidecar from outside, all the time and once more at the end: the kernel's sockets, the log, the metrics,
 * readiness, memory and descriptors.
 */
import { sumOf } from '../support/metric-sum.ts';
import { median } from '../support/quantiles.ts';
import type { FaultInjector } from './fault-injector.ts';
import type { Ledger } from './ledger.ts';
import type { Limits } from './limits.ts';
import { LogReader } from './log-reader.ts';
import { HEAP_TOLERANCE, lowest, RESIDENT_TOLERANCE, Samples } from './memory-trend.ts';
import type { SoakedSidecar } from './soaked-sidecar.ts';
import type { Tally } from './tally.ts';
import { pause } from './world.ts';

const LOOK_MS = 50;
const ASK_MS = 1_000;
/** The caller's last byte, the log line and the gauges are not of one moment. */
const REST_MS = 15_000;

/** Nothing is under way, and nothing is kept: all of these are 0. */
const AT_REST = [
  'outrigger_exchanges_in_flight',
  'outrigger_tunnels',
  'outrigger_connections',
  'outrigger_replay_bytes',
  'outrigger_caller_connections',
  'outrigger_pool_queue',
  'outrigger_pool_connections',
];
/** Never anything else than 0. */
const NEVER = ['outrigger_unhandled_errors_total', 'outrigger_log_lines_dropped_total'];

const NOT_RELOADED = 'the configuration was not reloaded; what runs stays';

export class Audit {
  readonly resident = new Samples(median, RESIDENT_TOLERANCE);
  readonly heap = new Samples(lowest, HEAP_TOLERANCE);
  /** Other lines of the log, by what they say. */
  readonly messages: Tally;
  mostDescriptors = 0;
  readonly #sidecar: SoakedSidecar;
  readonly #ledger: Ledger;
  readonly #limits: Limits;
  readonly #injector: FaultInjector;
  readonly #log: LogReader;
  readonly #warmUpMs: number;
  readonly #descriptors: number;
  readonly #never = new Map<string, number>();
  #looking: NodeJS.Timeout | undefined;
  #asking = Promise.resolve();
  #watching = Promise.resolve();
  #going = true;

  constructor(
    sidecar: SoakedSidecar,
    ledger: Ledger,
    limits: Limits,
    injector: FaultInjector,
    messages: Tally,
    warmUpMs: number,
  ) {
    this.#sidecar = sidecar;
    this.#ledger = ledger;
    this.#limits = limits;
    this.#injector = injector;
    this.messages = messages;
    this.#warmUpMs = warmUpMs;
    this.#descriptors = sidecar.descriptors;
    this.#log = new LogReader(sidecar.logPath, (line) => this.#line(line));
  }

  begin(): void {
    this.#looking = setInterval(() => this.#log.read(), LOOK_MS);
    this.#watching = this.#limits.watch();
    this.#asking = this.#ask();
  }

  /** Once all callers are answered and have closed their connections. */
  async end(): Promise<void> {
    this.#going = false;
    await this.#asking;
    await this.#rest();
    this.#sidecar.signal('SIGTERM');
    await Promise.race([this.#sidecar.ended(), pause(REST_MS)]);
    clearInterval(this.#looking);
    this.#limits.end();
    await this.#watching;
    this.#log.read();
    this.#log.close();
    this.#ledger.audit(true);
    const { violations } = this.#ledger;
    if (this.#sidecar.exit !== '0') violations.add('it ends well', `exit ${this.#sidecar.exit ?? 'none'}`);
    if (this.#sidecar.errors !== '') violations.add('it ends well', this.#sidecar.errors.slice(0, 2_000));
    for (const [what, { trend }] of [
      ['resident memory', this.resident],
      ['the heap', this.heap],
    ] as const) {
      if (trend?.grown)
        violations.add(
          'memory is flat',
          `${what} from ${trend.first} to ${trend.last} bytes, at most ${trend.most}`,
        );
    }
  }

  #line(line: string): void {
    if (line.includes('"msg":"exchange"')) {
      this.#ledger.logged(line);
      return;
    }
    const { level, msg } = JSON.parse(line);
    this.messages.add(`${level}: ${msg}`);
    const asked =
      msg === NOT_RELOADED && this.messages.of(`error: ${msg}`) <= this.#injector.invalidReloads * 2;
    if (level === 'fatal' || (level === 'error' && !asked))
      this.#ledger.violations.add('no bug of its own', `a line of level ${level}`, { line });
  }

  async #ask(): Promise<void> {
    while (this.#going && this.#sidecar.exit === null) {
      await pause(ASK_MS);
      this.#ledger.audit();
      if (this.#injector.stopped || this.#sidecar.exit !== null) continue;
      await this.#examine().catch((error: unknown) => {
        this.#ledger.violations.add('the admin listener answers', String(error));
      });
    }
    if (this.#going) this.#ledger.violations.add('it lives', `it ended with ${this.#sidecar.exit}`);
  }

  async #examine(): Promise<void> {
    const { violations, clock } = this.#ledger;
    const { body: page } = await this.#sidecar.ask('/metrics');
    const ready = await this.#sidecar.ask('/readyz');
    if (ready.status !== 200) violations.add('it is ready', ready.body);
    this.#limits.exchanges(sumOf(page, 'outrigger_exchanges_in_flight'));
    for (const name of NEVER) {
      const value = sumOf(page, name);
      if (value > (this.#never.get(name) ?? 0)) violations.add('no bug of its own', `${name} is ${value}`);
      this.#never.set(name, value);
    }
    this.mostDescriptors = Math.max(this.mostDescriptors, this.#sidecar.descriptors);
    if (clock.wallMs < this.#warmUpMs) return;
    this.resident.add(this.#sidecar.residentBytes);
    this.heap.add(sumOf(page, 'nodejs_heap_size_used_bytes'));
  }

  /** Waits until nothing is held any more, and says what is, if that does not come. */
  async #rest(): Promise<void> {
    const { violations } = this.#ledger;
    if (this.#sidecar.exit !== null) return;
    const end = performance.now() + REST_MS;
    for (;;) {
      const { body: page } = await this.#sidecar.ask('/metrics');
      const held = AT_REST.map((name) => [name, sumOf(page, name)] as const).filter(
        ([, value]) => value !== 0,
      );
      // The answer to this very question has a descriptor, too, for a moment.
      const more = this.#sidecar.descriptors - this.#descriptors;
      const counted = sumOf(page, 'outrigger_exchanges_total');
      this.#log.read();
      const agreed = counted === this.#ledger.lines;
      if (held.length === 0 && more <= 0 && agreed) return;
      if (performance.now() > end) {
        if (held.length > 0)
          violations.add('all is given back', held.map((pair) => pair.join(' ')).join(', '));
        if (more > 0) violations.add('all is given back', `${more} descriptors more than at the start`);
        if (!agreed)
          violations.add('one line for an exchange', `${this.#ledger.lines} lines, metrics say ${counted}`);
        return;
      }
      await pause(200);
    }
  }
}
