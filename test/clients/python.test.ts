import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { pythonWith, runWell } from '../support/program.ts';
import { ClientStage, LARGE, proveTold, type Told } from './stage.ts';
import { PROMISE, printing, proveWays } from './ways.ts';

for (const [module, debianPackage, how] of [
  ['aiohttp', 'python3-aiohttp', 'with trust_env=True'],
  ['requests', 'python3-requests', 'with HTTP_PROXY set and nothing else'],
  ['httpx', 'python3-httpx', 'with HTTP_PROXY set and nothing else'],
] as const) {
  test(`Python ${module}, ${how}: GET, POST, 100 MB down and 100 MB up in chunks, and the sidecar stays small`, async (t) => {
    const python = pythonWith(t, module, debianPackage);
    if (python === null) return;
    const stage = await ClientStage.start(t);
    const script = fileURLToPath(new URL(`python-${module}.py`, import.meta.url));
    let told = '';
    await stage.small(`download and chunked upload with ${module}`, async () => {
      const ran = await runWell(t, python, [script, stage.url, `${LARGE}`], { env: stage.env });
      told = ran.stdout.toString();
    });
    await proveTold(stage, JSON.parse(told) as Told, LARGE);
  });
  test(`Python ${module} by every way: ${PROMISE}`, async (t) => {
    const python = pythonWith(t, module, debianPackage);
    if (python === null) return;
    const script = fileURLToPath(new URL(`python-${module}-get.py`, import.meta.url));
    await proveWays(t, printing(t, python, script), '1.1');
  });
}
