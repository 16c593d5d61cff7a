/**
 * Faults at the edge of the process, for `node --import`: the system's look-up of some names goes wrong in
 * ways that no library promises never to have; and with FAULT_AT_START, listening. Everything else is as it is.
 */
import dns from 'node:dns';
import { syncBuiltinESMExports } from 'node:module';
import { Server } from 'node:net';

const SECRET = 'c4n4ry';
const lookup = dns.lookup;

/** By the first label of the name. */
const faults = {
  throws: () => {
    throw new TypeError(SECRET);
  },
  later: () => {
    setImmediate(() => {
      throw Object.assign(new RangeError(SECRET), { code: 'ERR_FAULT', headers: SECRET });
    });
  },
  rejects: () => {
    void Promise.reject(new Error(SECRET));
  },
  nothing: () => {
    setImmediate(() => {
      throw SECRET;
    });
  },
  garbage: (callback) => setImmediate(() => callback(null, { [SECRET]: SECRET })),
  twice: (callback) => {
    const answer = [{ address: '127.0.0.1', family: 4 }];
    setImmediate(() => callback(null, answer));
    setTimeout(() => callback(null, answer), 20);
  },
};

dns.lookup = (host, options, callback) => {
  const fault = host.endsWith('.fault.test') ? faults[host.split('.')[0]] : undefined;
  if (fault) fault(callback);
  else lookup(host, options, callback);
};
if (process.env.FAULT_AT_START) {
  Server.prototype.listen = () => {
    setImmediate(() => {
      throw Object.assign(new TypeError(SECRET), { code: 'ERR_FAULT' });
    });
  };
}
syncBuiltinESMExports();
