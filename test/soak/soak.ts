/**
 * `npm run soak`: the sidecar as a process of its own under mixed load, with faults at the vendors and at itself, for a
 * bounded time; what it promises is looked at throughout. Prints every violation with its evidence, and a table at the end;
 * exit code 1 if there was one. `--seconds N` (600), `--seed S` (another one each time): what callers, vendors and faults
 * do is decided by the seed, when they do it also by the machine.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeCertificates } from '../support/certificates.ts';
import { readOptions, wrongUsage } from '../support/options.ts';
import { until } from '../support/until.ts';
import { Audit } from './audit.ts';
import { configurationText, KNOBS } from './configuration.ts';
import { FairClock } from './fair-clock.ts';
import { FaultInjector } from './fault-injector.ts';
import { Ledger } from './ledger.ts';
import { Limits } from './limits.ts';
import { printProgress, printTable } from './report.ts';
import { SoakedSidecar } from './soaked-sidecar.ts';
import { Tally } from './tally.ts';
import { openVendors } from './vendors.ts';
import { Violations } from './violations.ts';
import { Workload } from './workload.ts';
import { pause } from './world.ts';

const USAGE = 'npm run soak -- [--seconds 600] [--seed S]';
const values = readOptions(USAGE, {
  seconds: { type: 'string', default: '600' },
  seed: { type: 'string', default: '' },
});
const seconds = Number(values.seconds);
const seed = values.seed === '' ? Date.now() % 1_000_000 : Number(values.seed);
if (!(seconds > 0) || !Number.isInteger(seed) || seed < 0) {
  wrongUsage('--seconds is more than 0, and --seed a whole number', USAGE);
}

/** What is compiled, cached and grown once. */
const WARM_UP_SHARE = 0.25;
const PROGRESS_MS = 10_000;

const certificates = makeCertificates();
if (certificates === null) {
  console.error('openssl is missing: apt-get install openssl');
  process.exit(1);
}
const folder = mkdtempSync(join(tmpdir(), 'outrigger-soak-'));
let keep = false;
process.on('exit', () => keep || rmSync(folder, { recursive: true, force: true }));
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => process.exit(130));

console.log(`soak of ${seconds} s, seed ${seed}`);
const clock = new FairClock();
const violations = new Violations(
  seed,
  () => clock.wallMs,
  (line) => console.log(line),
);
const ledger = new Ledger(clock, violations);
const faults = new Tally();
const vendors = await openVendors(certificates, ledger, faults);
const places = { folder, ca: join(folder, 'ca.pem'), bundle: join(folder, 'bundle.pem') };
writeFileSync(places.ca, certificates.ca);
const names = {
  addresses: Object.fromEntries(vendors.all.map(({ host, options }) => [host, options.address])),
  faults: {},
};
const sidecar = new SoakedSidecar(folder, configurationText(vendors, places, KNOBS), names);
await until(
  () => sidecar.exit !== null || readFileSync(sidecar.logPath, 'utf8').includes('"msg":"ready"'),
  'the sidecar to be ready',
);
const ready = /"proxy":"[^"]*:(\d+)","admin":"[^"]*:(\d+)"/.exec(readFileSync(sidecar.logPath, 'utf8'));
if (ready === null)
  throw new Error(`the sidecar did not start: ${readFileSync(sidecar.logPath, 'utf8')}${sidecar.errors}`);
sidecar.port = Number(ready[1]);
sidecar.adminPort = Number(ready[2]);

const agent = new Agent({ keepAlive: true, maxSockets: 400, maxFreeSockets: 60 });
const world = { ledger, vendors, sidecar, certificates, bundle: readFileSync(places.bundle, 'utf8'), agent };
const limits = new Limits(vendors, KNOBS, violations);
const injector = new FaultInjector(world, limits, places, names, faults, seed);
const messages = new Tally();
const audit = new Audit(sidecar, ledger, limits, injector, messages, seconds * WARM_UP_SHARE * 1_000);
audit.begin();
const workload = new Workload(world, seed);
injector.begin();
const progress = setInterval(() => printProgress(clock, ledger, faults, sidecar), PROGRESS_MS);

await Promise.race([pause(seconds * 1_000), sidecar.ended()]);
await injector.end();
await workload.stop();
agent.destroy();
await audit.end();
clearInterval(progress);
await vendors.close();
clock.end();
printTable({ seconds, seed, clock, ledger, faults, limits, audit });
keep = violations.total > 0;
if (keep) console.log(`log and configuration: ${folder}`);
process.exit(violations.total > 0 ? 1 : 0);
