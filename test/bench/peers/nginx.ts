/** nginx as a reverse proxy: one worker, connections to the origin kept, its access log on as it ships. */
import type { Ground } from '../ground.ts';
import { Peer, type PeerKind, type Target } from './peer.ts';

export const NGINX: PeerKind = { name: 'nginx', way: 'reverse', program: 'nginx', start };

async function start(ground: Ground, { port: origin, ca }: Target): Promise<Peer> {
  const port = await ground.freePort();
  const logFile = ground.file('nginx.log', '');
  const at = `${ground.folder}/nginx-${port}`;
  const tls =
    ca === undefined
      ? ''
      : `proxy_ssl_trusted_certificate ${ca}; proxy_ssl_verify on; proxy_ssl_name localhost; proxy_ssl_server_name on;`;
  const file = ground.file(
    'nginx.conf',
    `daemon off; worker_processes 1; pid ${at}.pid; error_log stderr error;
${process.getuid?.() === 0 ? 'user root;' : ''} worker_rlimit_nofile 20000;
events { worker_connections 19000; }
http {
  access_log ${logFile}; keepalive_requests 1000000000; keepalive_timeout 1h;
  client_body_temp_path ${at}-body; proxy_temp_path ${at}-proxy;
  fastcgi_temp_path ${at}-f; uwsgi_temp_path ${at}-u; scgi_temp_path ${at}-s;
  upstream origin { server 127.0.0.1:${origin}; keepalive 64; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:${port} backlog=8192;
    location / {
      proxy_pass http${ca === undefined ? '' : 's'}://origin;
      proxy_http_version 1.1; proxy_set_header Connection ""; ${tls}
    }
  }
}
`,
  );
  const command = ['nginx', '-c', file, '-p', ground.folder, '-e', 'stderr'];
  const child = await ground.serve({ name: NGINX.name, on: 'proxy', command }, port);
  return new Peer(ground, NGINX, port, child, logFile);
}
