import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { folder } from '../support/process.ts';
import { program, runWell } from '../support/program.ts';
import { ClientStage, LARGE, proveTold, type Told } from './stage.ts';
import { PROMISE, printing, proveWays } from './ways.ts';

/** One cache for both programs: most of the time goes into the standard library. */
const cache = mkdtempSync(join(tmpdir(), 'outrigger-'));
after(() => rmSync(cache, { recursive: true }));

async function build(t: TestContext, go: string, name: string): Promise<string> {
  const built = join(folder(t), 'program');
  const source = fileURLToPath(new URL(name, import.meta.url));
  const env = {
    GOCACHE: cache,
    GOPATH: folder(t),
    GOFLAGS: '-mod=mod',
    GOTOOLCHAIN: 'local',
    GO111MODULE: 'off',
    CGO_ENABLED: '0',
  };
  await runWell(t, go, ['build', '-o', built, source], { env });
  return built;
}

test('Go net/http, with HTTP_PROXY set and nothing else: GET, POST, 100 MB down and 100 MB up in chunks, and the sidecar stays small', async (t) => {
  const go = program(t, 'go', 'golang-go');
  if (go === null) return;
  const stage = await ClientStage.start(t);
  const built = await build(t, go, 'go-http.go');
  // Go takes no proxy for localhost and loopback addresses; by this spelling it does not know them.
  const url = stage.url.replace('127.0.0.1', 'LOCALHOST');
  let told = '';
  await stage.small('download and chunked upload with Go', async () => {
    told = (await runWell(t, built, [url, `${LARGE}`], { env: stage.env })).stdout.toString();
  });
  await proveTold(stage, JSON.parse(told) as Told, LARGE);
});

test(`Go net/http by every way: ${PROMISE}`, async (t) => {
  const go = program(t, 'go', 'golang-go');
  if (go === null) return;
  await proveWays(t, printing(t, await build(t, go, 'go-get.go')), '2.0');
});
