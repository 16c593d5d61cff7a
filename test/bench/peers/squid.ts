/** Squid as a forward proxy: its cache off, its access log on as it ships, written by its daemon. */
import { join } from 'node:path';
import type { Ground } from '../ground.ts';
import { Peer, type PeerKind, type Target } from './peer.ts';

export const SQUID: PeerKind = { name: 'Squid', way: 'forward', program: 'squid', start };

async function start(ground: Ground, { port: origin }: Target): Promise<Peer> {
  const port = await ground.freePort();
  const at = (name: string): string => join(ground.folder, `squid-${port}-${name}`);
  const file = ground.file(
    'squid.conf',
    `http_port 127.0.0.1:${port}
http_access allow all
acl CONNECT method CONNECT
acl origin port ${origin}
cache deny all
access_log ${at('access.log')} squid
cache_log ${at('cache.log')}
cache_store_log none
pid_filename ${at('pid')}
coredump_dir ${ground.folder}
netdb_filename none
pinger_enable off
visible_hostname bench
max_filedescriptors 19500
client_idle_pconn_timeout 10 minutes
shutdown_lifetime 0 seconds
`,
  );
  const command = ['squid', '-N', '-f', file];
  const child = await ground.serve({ name: SQUID.name, on: 'proxy', command }, port);
  return new Peer(ground, SQUID, port, child, at('access.log'));
}
