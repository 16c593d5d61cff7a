import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { program, runWell } from '../support/program.ts';
import { ClientStage, LARGE, proveTold, type Told } from './stage.ts';
import { PROMISE, printing, proveWays } from './ways.ts';

test('Java HttpClient, with -Dhttp.proxyHost: GET, POST, 100 MB down and 100 MB up in chunks, and the sidecar stays small', async (t) => {
  const java = program(t, 'java', 'default-jdk-headless');
  if (java === null) return;
  const stage = await ClientStage.start(t);
  const { port } = stage.sidecar;
  const settings = ['-Dhttp.proxyHost=127.0.0.1', `-Dhttp.proxyPort=${port}`, '-Dhttp.nonProxyHosts='];
  const source = fileURLToPath(new URL('java-http.java', import.meta.url));
  let told = '';
  await stage.small('download and chunked upload with Java', async () => {
    told = (await runWell(t, java, [...settings, source, stage.url, `${LARGE}`])).stdout.toString();
  });
  await proveTold(stage, JSON.parse(told) as Told, LARGE);
});

test(`Java HttpClient by every way: ${PROMISE}`, async (t) => {
  const java = program(t, 'java', 'default-jdk-headless');
  if (java === null) return;
  const source = fileURLToPath(new URL('java-get.java', import.meta.url));
  await proveWays(t, printing(t, java, source), '2.0');
});
