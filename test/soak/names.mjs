/**
 * The resolver of a soak, for `node --import`: names below vendor.test have the addresses and the faults that a
 * file says at the moment of the look-up; every other name goes to the system. Nothing else of the process is
 * touched. The file is `{ "addresses": { name: address }, "faults": { name: "missing" | "failing" | "late" | "hanging" } }`.
 */
import dns from 'node:dns';
import { readFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

const LATE_MS = 400;
/** Longer than anybody waits for a name. */
const HANGS_MS = 3_000;
const lookup = dns.lookup;

const problem = (code, host) =>
  Object.assign(new Error(`getaddrinfo ${code} ${host}`), { code, hostname: host });

dns.lookup = (host, options, callback) => {
  if (!host.endsWith('.vendor.test')) return lookup(host, options, callback);
  const { addresses, faults } = JSON.parse(readFileSync(process.env.SOAK_NAMES, 'utf8'));
  const address = addresses[host];
  const answer = () =>
    address === undefined ? callback(problem('ENOTFOUND', host)) : callback(null, [{ address, family: 4 }]);
  switch (faults[host]) {
    case 'missing':
      return setImmediate(() => callback(problem('ENOTFOUND', host)));
    case 'failing':
      return setImmediate(() => callback(problem('EAI_AGAIN', host)));
    case 'late':
      return setTimeout(answer, LATE_MS);
    case 'hanging':
      return setTimeout(() => callback(problem('EAI_AGAIN', host)), HANGS_MS);
    default:
      return setImmediate(answer);
  }
};
syncBuiltinESMExports();
