import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { replay } from '../incident.ts';

const SERVICE = fileURLToPath(new URL('service.mjs', import.meta.url));

test('a fraud service on Node and fetch, with 20 calls at once and no timeout, outlives a vendor that hangs', (t) =>
  replay(t, 'Node', () => [process.execPath, SERVICE]));
