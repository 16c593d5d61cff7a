/** Plain HTTP in, TLS out to an origin that is verified, connections reused. */
import { SMALL } from '../answers.ts';
import { type Case, roundsOf } from '../bench-context.ts';
import { startTlsOrigin } from '../origins.ts';
import { HAPROXY } from '../peers/haproxy.ts';
import { NGINX } from '../peers/nginx.ts';
import { outrigger } from '../peers/outrigger.ts';
import { compare } from './exchanges.ts';

export const TLS: Case = {
  name: 'tls',
  title: 'GET of 700 bytes, TLS to the origin, connections kept',
  estimate: (plan) => roundsOf(plan, plan.quick ? 2 : 3),
  run: async (bench) => {
    const origin = await startTlsOrigin(bench.ground);
    if (origin === null)
      return { rows: [], notes: ['nginx is missing, which is the origin (apt-get install nginx)'] };
    const config = {
      access: { addresses: { allow: ['127.0.0.0/8', '::1/128'] } },
      routes: [{ name: 'tls', match: { hosts: ['localhost'] }, https: 'originate', tls: { ca: origin.ca } }],
    };
    const kinds = [outrigger({ config }), NGINX, ...(bench.plan.quick ? [] : [HAPROXY])];
    const ask = { method: 'GET', host: `localhost:${origin.port}`, path: '/small' } as const;
    const rows = await compare(bench, TLS.title, kinds, origin, ask, SMALL);
    await origin.stop();
    return { rows };
  },
};
