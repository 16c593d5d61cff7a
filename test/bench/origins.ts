/**
 * The origins behind the proxies. They must cost much less than what is measured: nginx with answers that it has
 * in memory, or where it is not installed a process on raw sockets.
 */
import { spawnSync } from 'node:child_process';
import { createAuthority } from '../../src/certificates/authority.ts';
import { LARGE, SMALL } from './answers.ts';
import type { Ground } from './ground.ts';
import { scriptOf } from './load.ts';

const NGINX = spawnSync('nginx', ['-v']).status === 0;
export const ORIGIN = NGINX ? 'nginx' : 'raw sockets of Node (nginx is not installed)';
const DAY_MS = 86_400_000;

export interface Origin {
  readonly port: number;
  stop(): Promise<void>;
}

/** /small and /large, on 127.0.0.1 or, for many origins at one port, on every address that is this machine. */
export async function startOrigin(ground: Ground, everyAddress = false): Promise<Origin> {
  if (!NGINX) return startRawOrigin(ground, 0, everyAddress);
  const port = await ground.freePort();
  const listen = `${everyAddress ? '0.0.0.0' : '127.0.0.1'}:${port} backlog=8192`;
  return startNginx(ground, port, `listen ${listen};`);
}

/** The same over TLS, and the certificate to be trusted; null: there is no nginx. */
export async function startTlsOrigin(ground: Ground): Promise<(Origin & { readonly ca: string }) | null> {
  if (!NGINX) return null;
  const port = await ground.freePort();
  const authority = await createAuthority({ permittedHosts: null });
  const [notBefore, notAfter] = [new Date(Date.now() - DAY_MS), new Date(Date.now() + DAY_MS)];
  const certificate = ground.file(
    'origin.pem',
    await authority.issue({ host: 'localhost', notBefore, notAfter }),
  );
  const key = ground.file('origin.key', authority.leafKey);
  const ca = ground.file('ca.pem', authority.certificate);
  const origin = await startNginx(
    ground,
    port,
    `listen 127.0.0.1:${port} ssl backlog=8192; ssl_certificate ${certificate}; ssl_certificate_key ${key};`,
  );
  return { ...origin, ca };
}

async function startNginx(ground: Ground, port: number, server: string): Promise<Origin> {
  const large = ground.file('large', LARGE);
  const file = ground.file(
    'origin.conf',
    `daemon off; worker_processes 1; pid ${ground.folder}/origin-${port}.pid; error_log stderr error;
${process.getuid?.() === 0 ? 'user root;' : ''} worker_rlimit_nofile 20000;
events { worker_connections 19000; }
http {
  access_log off; keepalive_requests 1000000000; keepalive_timeout 1h; reset_timedout_connection on;
  sendfile on; tcp_nopush on; tcp_nodelay on; open_file_cache max=10 inactive=1h;
  default_type application/json;
  client_body_temp_path ${ground.folder}/origin-${port}-body; proxy_temp_path ${ground.folder}/origin-${port}-proxy;
  fastcgi_temp_path ${ground.folder}/origin-${port}-f; uwsgi_temp_path ${ground.folder}/origin-${port}-u; scgi_temp_path ${ground.folder}/origin-${port}-s;
  server {
    ${server}
    location = /large { alias ${large}; }
    location / { return 200 '${SMALL}'; }
  }
}
`,
  );
  const child = await ground.serve(
    {
      name: 'nginx as origin',
      on: 'load',
      command: ['nginx', '-c', file, '-p', ground.folder, '-e', 'stderr'],
    },
    port,
  );
  return { port, stop: () => ground.stop(child) };
}

/** The one on raw sockets: it reads request bodies to their end, and may take its time before it answers. */
export async function startRawOrigin(ground: Ground, delayMs = 0, everyAddress = false): Promise<Origin> {
  const port = await ground.freePort();
  const child = await ground.serve(
    {
      name: 'origin on raw sockets',
      on: 'load',
      command: [
        process.execPath,
        scriptOf('raw-origin.ts'),
        String(port),
        everyAddress ? '0.0.0.0' : '127.0.0.1',
        String(delayMs),
      ],
    },
    port,
  );
  return { port, stop: () => ground.stop(child) };
}

/** Sends bytes without end to whoever has said something. */
export async function startBulkOrigin(ground: Ground): Promise<Origin> {
  const port = await ground.freePort();
  const child = await ground.serve(
    {
      name: 'origin of bulk',
      on: 'load',
      command: [process.execPath, scriptOf('bulk-origin.ts'), String(port)],
    },
    port,
  );
  return { port, stop: () => ground.stop(child) };
}
