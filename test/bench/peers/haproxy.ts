/** HAProxy with one thread, its log on: as a reverse proxy, and as a relay of bytes. */
import type { Ground } from '../ground.ts';
import { Peer, type PeerKind, type Target } from './peer.ts';

export const HAPROXY: PeerKind = {
  name: 'HAProxy',
  way: 'reverse',
  program: 'haproxy',
  start: (ground, target) => start(ground, HAPROXY, target, 'mode http\n  option httplog'),
};

export const HAPROXY_RELAY: PeerKind = {
  name: 'HAProxy (TCP relay)',
  way: 'relay',
  program: 'haproxy',
  start: (ground, target) => start(ground, HAPROXY_RELAY, target, 'mode tcp\n  option tcplog'),
};

async function start(
  ground: Ground,
  kind: PeerKind,
  { port: origin, ca }: Target,
  mode: string,
): Promise<Peer> {
  const port = await ground.freePort();
  const logFile = ground.file('haproxy.log', '');
  const tls =
    ca === undefined ? '' : `ssl verify required ca-file ${ca} sni str(localhost) verifyhost localhost`;
  const file = ground.file(
    'haproxy.cfg',
    `global
  nbthread 1
  no strict-limits
  maxconn 10500
  log stdout format raw local0
defaults
  ${mode}
  log global
  timeout connect 3s
  timeout client 60s
  timeout server 60s
  timeout http-keep-alive 120s
listen proxy
  bind 127.0.0.1:${port} backlog 8192
  server origin 127.0.0.1:${origin} ${tls}
`,
  );
  const child = await ground.serve(
    { name: kind.name, on: 'proxy', command: ['haproxy', '-f', file, '-db'], logFile },
    port,
  );
  return new Peer(ground, kind, port, child, logFile);
}
