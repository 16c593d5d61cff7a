/** The sidecar as it ships, everything switched on; its log goes where a log goes, to a file. */
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '../../../src/config/load.ts';
import { Sidecar } from '../../../src/sidecar.ts';
import { createLog } from '../../../src/telemetry/log.ts';

const folder = mkdtempSync(join(tmpdir(), 'outrigger-bench-'));
const file = join(folder, 'bench.yaml');
writeFileSync(
  file,
  'listen: { proxy: "127.0.0.1:0", admin: "127.0.0.1:0" }\naccess: { addresses: { allow: [127.0.0.0/8] }, tunnelPorts: [443, ' +
    `${process.argv[2] ?? 443}], tunnelProtocols: [tls, http, other] }\n`,
);
const { config } = loadConfig({ files: [file], env: process.env });
const log = openSync(join(folder, 'log'), 'w');
rmSync(folder, { recursive: true });
const sink = createLog({ level: config.log.level, format: config.log.format, fd: log });
const sidecar = new Sidecar(config, 'bench', sink);
const { proxy } = await sidecar.start();
console.log(proxy.port);
process.once('SIGINT', () => process.exit(0));
process.once('exit', () => closeSync(log));
