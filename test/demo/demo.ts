/**
 * The incident, replayed: `npm run demo -- [--seconds 25] [--keep] [--config FILE] [--out FOLDER]`.
 *
 * A service scores payments with five vendors behind it, under a steady load; one of the vendors hangs, and later
 * returns. First the service calls them by itself, then through the sidecar. Nothing is played: vendors, service and
 * sidecar are processes, and the figures are what happened to every score.
 *
 * Exit codes: 0, the promises were kept; 1, one was not, or something failed; 2, wrong usage; 128 + n after signal n,
 * and nothing is left running.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { styleText } from 'node:util';
import { readOptions, wrongUsage } from '../support/options.ts';
import { Child } from './child.ts';
import { figuresOf } from './figures.ts';
import { latencyPlot } from './latency-plot.ts';
import { CONFIG_FILE, Run, vendorBehaviour } from './run.ts';
import { promisesOf, type Result, tableOf } from './summary.ts';
import { Terminal } from './terminal.ts';

const VENDORS = ['identity', 'device', 'address', 'sanctions', 'velocity'];
const HUNG = 'device';
const VENDORS_PROGRAM = fileURLToPath(new URL('../vendors/main.ts', import.meta.url));

interface VendorPlaces {
  readonly control: string;
  readonly vendors: Readonly<Record<string, string>>;
}

const ending = new AbortController();
let endedBy: NodeJS.Signals | null = null;
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(name, () => {
    // Who asks twice does not wait; npm passes on what the terminal has sent us already, so not within a moment.
    if (endedBy === null) setTimeout(() => process.once(name, () => process.exit(codeOf(name))), 250).unref();
    endedBy ??= name;
    ending.abort();
  });
}
const codeOf = (name: NodeJS.Signals): number => 128 + constants.signals[name];

const children: { end(): Promise<void> }[] = [];

async function startVendors(): Promise<VendorPlaces> {
  const { promise, resolve } = Promise.withResolvers<VendorPlaces>();
  const args = VENDORS.flatMap((name) => ['--vendor', `${name}=${vendorBehaviour(name)}`]);
  const child = new Child([VENDORS_PROGRAM, ...args, '--with-stdin'], {
    onLine: (line) => resolve(JSON.parse(line)),
  });
  children.push(child);
  return Promise.race([promise, child.unexpectedEnd('the vendors')]);
}

interface Play {
  readonly seconds: number;
  readonly folder: string;
  readonly configFile: string;
  readonly places: VendorPlaces;
}

async function play(
  name: Run['name'],
  { seconds, folder, configFile, places }: Play,
): Promise<[Result, Run]> {
  const { control, vendors } = places;
  const run = new Run({
    name,
    seconds,
    vendors,
    controlUrl: control,
    hung: HUNG,
    configFile,
    logFile: join(folder, `${name}.log`),
  });
  children.push(run);
  const prefix = name === 'direct' ? '' : `outrigger exec --config ${relative('.', configFile)} -- `;
  console.log(`Run ${name === 'direct' ? 1 : 2} of 2, ${name}: ${prefix}node scoring-service.ts`);
  const terminal = new Terminal(run, name, vendors);
  try {
    const record = await run.play(ending.signal);
    return [{ run: record, figures: figuresOf(record) }, run];
  } finally {
    terminal.end();
  }
}

/** What there is to try, while all of it runs. */
function exploration(
  { control, vendors }: VendorPlaces,
  { adminUrl, proxyUrl, serviceUrl }: Run,
  log: string,
) {
  return `
Everything goes on, under its load, until Ctrl-C. To try, in another terminal:

  curl -s ${adminUrl}/origins                       # pool, queue and circuit of each vendor
  curl -s ${adminUrl}/metrics | grep outrigger_pool
  curl -s ${adminUrl}/exchanges                     # the latest exchanges
  curl -i -x ${proxyUrl} ${vendors[HUNG]}/v1/score       # through the sidecar, as the service calls
  curl -s -X POST -H 'X-Score-Id: 1' ${serviceUrl}  # a score
  tail -f ${log}                                    # the log of the sidecar

  curl -s -d hanging ${control}/vendors/${HUNG}     # it hangs ...
  curl -s -d ${vendorBehaviour(HUNG)} ${control}/vendors/${HUNG}   # ... and returns
  curl -s -d slow,latencyMs=280,spreadMs=10 ${control}/vendors/${HUNG}   # its pool runs dry
  curl -s ${control}/                               # what the vendors saw

The vendors: ${Object.entries(vendors)
    .map(([name, url]) => `${name} ${url}`)
    .join(', ')}`;
}

function report(results: readonly [Result, Result], { folder, configFile }: Play): boolean {
  const mark = (kept: boolean): string =>
    styleText(kept ? 'green' : 'red', kept ? 'kept' : 'NOT KEPT', { stream: process.stdout });
  const promises = promisesOf(...results);
  const plot = join(folder, 'latency.svg');
  const answered = results.map(({ figures }) => figures.hanging.answeredShare);
  writeFileSync(
    plot,
    latencyPlot(
      results.map(({ run }) => run),
      answered,
    ),
  );
  // Without what the figures are made of.
  const brief = (name: string, value: unknown): unknown =>
    name === 'scores' || name === 'calls' ? undefined : value;
  const [direct, sidecar] = results;
  const figures = JSON.stringify({ direct, sidecar, promises }, brief, 2);
  writeFileSync(join(folder, 'figures.json'), `${figures}\n`);
  console.log(`\n${tableOf(results)}\n`);
  for (const { text, kept } of promises) console.log(`${mark(kept)}  ${text}`);
  console.log(`\nThe plot: ${plot}\nThe figures: ${join(folder, 'figures.json')}`);
  console.log(`The configuration of the sidecar: ${configFile}`);
  return promises.every(({ kept }) => kept);
}

/** A folder of ours of which nobody has been told yet. */
let untold: string | null = null;

const USAGE = 'npm run demo -- [--seconds 25] [--keep] [--config FILE] [--out FOLDER]';

async function main(): Promise<number> {
  const values = readOptions(USAGE, {
    seconds: { type: 'string', default: '25' },
    keep: { type: 'boolean', default: false },
    config: { type: 'string' },
    out: { type: 'string' },
  });
  const seconds = Number(values.seconds);
  if (!(seconds >= 3)) wrongUsage('--seconds is the length of a run, at least 3', USAGE);
  const folder = values.out ?? mkdtempSync(join(tmpdir(), 'outrigger-demo-'));
  if (values.out === undefined) untold = folder;
  mkdirSync(folder, { recursive: true });
  console.log(
    `A service scores payments, 30 a second, with ${VENDORS.length} vendors behind it (${VENDORS.join(', ')}).\n` +
      `In the middle of each run "${HUNG}" hangs, and then it returns.\n`,
  );
  const configFile = values.config ?? CONFIG_FILE;
  const stage = { seconds, folder, configFile, places: await startVendors() };
  const [direct, first] = await play('direct', stage);
  await first.end();
  const [sidecar, second] = await play('sidecar', stage);
  const kept = report([direct, sidecar], stage);
  untold = null;
  if (values.keep) {
    console.log(exploration(stage.places, second, join(folder, 'sidecar.log')));
    console.log();
    second.phase = 'kept';
    const view = process.stdout.isTTY ? new Terminal(second, 'It goes on', stage.places.vendors) : null;
    await new Promise((resolve) => ending.signal.addEventListener('abort', resolve, { once: true }));
    view?.end();
  }
  return kept ? 0 : 1;
}

async function endAll(): Promise<void> {
  await Promise.all(children.map((one) => one.end()));
}

try {
  process.exitCode = await main();
} catch (error) {
  if (endedBy === null) console.error((error as Error).message);
  process.exitCode = 1;
} finally {
  await endAll();
}
if (endedBy !== null) {
  if (untold !== null) rmSync(untold, { recursive: true, force: true });
  process.exit(codeOf(endedBy));
}
process.exit();
