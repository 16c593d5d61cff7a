import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { program } from '../../support/program.ts';
import { replay } from '../incident.ts';

const SERVICE = fileURLToPath(new URL('service.java', import.meta.url));

test('a fraud service on Java and HttpClient, with 20 threads and no timeout, outlives a vendor that hangs', async (t) => {
  const java = program(t, 'java', 'default-jdk-headless');
  if (java === null) return;
  await replay(t, 'Java', (proxy) => [java, ...settingsFor(proxy), SERVICE]);
});

/** Java does not look at the environment, and by itself goes past a proxy to loopback. */
function settingsFor(proxy: string | null): readonly string[] {
  if (proxy === null) return [];
  const { hostname, port } = new URL(proxy);
  return [`-Dhttp.proxyHost=${hostname}`, `-Dhttp.proxyPort=${port}`, '-Dhttp.nonProxyHosts='];
}
