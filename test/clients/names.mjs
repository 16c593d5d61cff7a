// Loaded into the process of a sidecar before anything else, in the place of a name server: every name below
// vendor.test (RFC 6761 keeps .test for this) is 127.0.0.1. All other names are the system's.
import dns from 'node:dns';
import { syncBuiltinESMExports } from 'node:module';

const { lookup } = dns;
dns.lookup = (host, options, callback) => {
  if (host.endsWith('.vendor.test')) setImmediate(callback, null, [{ address: '127.0.0.1', family: 4 }]);
  else lookup(host, options, callback);
};
syncBuiltinESMExports();
