import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { folder } from '../support/process.ts';
import { program, runWell } from '../support/program.ts';
import { ClientStage, LARGE, proveTold, type Told } from './stage.ts';

test('Go net/http, with HTTP_PROXY set and nothing else: GET, POST, 100 MB down and 100 MB up in chunks, and the sidecar stays small', async (t) => {
  const go = program(t, 'go', 'golang-go');
  if (go === null) return;
  const stage = await ClientStage.start(t);
  const built = join(folder(t), 'fetch');
  const source = fileURLToPath(new URL('go-http.go', import.meta.url));
  const building = {
    GOCACHE: folder(t),
    GOPATH: folder(t),
    GOFLAGS: '-mod=mod',
    GOTOOLCHAIN: 'local',
    GO111MODULE: 'off',
    CGO_ENABLED: '0',
  };
  await runWell(t, go, ['build', '-o', built, source], { env: building });
  // Go takes no proxy for localhost and loopback addresses; by this spelling it does not know them.
  const url = stage.url.replace('127.0.0.1', 'LOCALHOST');
  let told = '';
  await stage.small('download and chunked upload with Go', async () => {
    told = (await runWell(t, built, [url, `${LARGE}`], { env: stage.env })).stdout.toString();
  });
  await proveTold(stage, JSON.parse(told) as Told, LARGE);
});
