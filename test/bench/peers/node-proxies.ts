/** Proxies for Node that come as packages, each in a script of its own. None of them writes a log. */
import type { Ground } from '../ground.ts';
import { scriptOf } from '../load.ts';
import { Peer, type PeerKind, type Target } from './peer.ts';

export const HTTP_PROXY_BARE = scripted('http-proxy 1.18.1, bare', 'reverse', 'http-proxy-bare.ts');
export const HTTP_PROXY_AGENT = scripted('http-proxy 1.18.1, keep-alive', 'reverse', 'http-proxy-agent.ts');
export const HTTP_PROXY_3 = scripted('http-proxy-3', 'reverse', 'http-proxy-3.ts');
/** No proxy: it reads nothing. */
export const RELAY = scripted('a relay of bytes in Node', 'relay', 'relay.ts');
export const PROXY_CHAIN = scripted('proxy-chain', 'forward', 'proxy-chain.ts');

function scripted(name: string, way: PeerKind['way'], script: string): PeerKind {
  const kind: PeerKind = {
    name,
    way,
    start: async (ground: Ground, { port: origin }: Target) => {
      const port = await ground.freePort();
      const command = [process.execPath, scriptOf(script), String(port), String(origin)];
      const child = await ground.serve({ name, on: 'proxy', command }, port);
      return new Peer(ground, kind, port, child, null);
    },
  };
  return kind;
}
