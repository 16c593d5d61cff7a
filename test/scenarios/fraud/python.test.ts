import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { pythonWith } from '../../support/program.ts';
import { replay } from '../incident.ts';

test('a fraud service on FastAPI and aiohttp, with 20 connections and no timeout, outlives a vendor that hangs', async (t) => {
  const python = pythonWith(
    t,
    'fastapi, uvicorn, aiohttp',
    'python3-fastapi python3-uvicorn python3-aiohttp',
  );
  if (python === null) return;
  const service = fileURLToPath(new URL('service.py', import.meta.url));
  await replay(t, 'Python', () => [python, service]);
});
