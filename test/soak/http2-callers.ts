/** A caller that speaks HTTP/2 to the sidecar: some streams at once on a connection, a few of which are reset. */
import { type ClientHttp2Session, connect, constants } from 'node:http2';
import { Judge } from './call.ts';
import { MOST_ATTEMPTS, TOTAL_MS } from './configuration.ts';
import { scriptOf } from './http1-callers.ts';
import type { Turn } from './world.ts';

export async function http2Caller(turn: Turn): Promise<void> {
  const session = connect(`http://127.0.0.1:${turn.world.sidecar.port}`);
  session.on('error', () => {});
  await Promise.all(Array.from({ length: 2 + turn.chance.below(8) }, () => stream(turn, session)));
  session.destroy();
}

function stream({ world, chance }: Turn, session: ClientHttp2Session): Promise<void> {
  const vendor = chance.one(['orders', 'scores', 'quotes', 'grid'] as const);
  const { host, port } = world.vendors.byName[vendor];
  const posted = chance.yes(0.4);
  const ticket = world.ledger.begin({
    kind: `${posted ? 'POST' : 'GET'}, HTTP/2 in`,
    arrivals: posted ? 1 : MOST_ATTEMPTS,
    boundMs: TOTAL_MS,
  });
  return new Promise((resolve) => {
    const it = session.request(
      {
        ':method': posted ? 'POST' : 'GET',
        ':scheme': 'http',
        ':authority': `${host}:${port}`,
        ':path': scriptOf(chance, vendor, chance.below(30_000)),
        'x-request-id': ticket.id,
      },
      { endStream: !posted },
    );
    let judge: Judge | undefined;
    let whole = false;
    let left = false;
    it.on('response', (headers) => {
      judge = new Judge(ticket, Number(headers[':status']), headers);
    });
    it.on('data', (piece: Buffer) => judge?.piece(piece));
    it.on('end', () => (whole = true));
    it.on('error', () => {});
    it.on('close', () => {
      // What was reset looks ended, too.
      const good = whole && judge !== undefined && it.rstCode === constants.NGHTTP2_NO_ERROR && !it.aborted;
      if (good && !left) judge?.whole();
      ticket.ended(left ? 'left' : good ? 'whole' : 'cut');
      resolve();
    });
    if (posted) it.end(Buffer.alloc(chance.below(3_000), 'b'));
    if (!chance.yes(0.1)) return;
    setTimeout(() => {
      if (it.closed) return;
      left = true;
      it.close(constants.NGHTTP2_CANCEL);
    }, chance.below(100));
  });
}
