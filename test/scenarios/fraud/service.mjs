/**
 * The fraud service of the incident in Node: scores a payment by what five vendors say of it.
 *
 * fetch has no bound of its own: it opens as many connections as there are calls, and waits five minutes for a
 * head. So Node programs bound it themselves, here as most do: p-limit, twenty calls at once for all vendors
 * together. Nobody set a timeout, neither for the call nor for the wait until it may begin. A vendor that gives
 * no answer is left out of the score; the proxy is taken from the environment (NODE_USE_ENV_PROXY).
 *
 * It binds a port of its own, prints {"port":N}, and also tells what it saw of each call: GET /calls.
 */
import { createServer } from 'node:http';
import pLimit from 'p-limit';

const VENDORS = ['device', 'identity', 'network', 'email', 'sanctions'].map((name) => [
  name,
  process.env[`${name.toUpperCase()}_URL`],
]);
const limit = pLimit(20);
const calls = [];

async function ask([name, url], payment) {
  const call = { vendor: name, at: Date.now(), ms: null, outcome: null };
  calls.push(call);
  const began = performance.now();
  try {
    return await limit(async () => {
      const response = await fetch(`${url}/v1/score?payment=${payment}`);
      if (!response.ok) {
        await response.body?.cancel();
        call.outcome = `status ${response.status}`;
        return null;
      }
      const { score } = await response.json();
      call.outcome = 'ok';
      return score;
    });
  } catch (error) {
    call.outcome = error.cause?.code ?? error.name;
    return null;
  } finally {
    call.ms = performance.now() - began;
  }
}

async function score(payment) {
  const scores = await Promise.all(VENDORS.map((vendor) => ask(vendor, payment)));
  const given = scores.filter((value) => value !== null);
  return {
    score: given.length > 0 ? given.reduce((sum, value) => sum + value, 0) / given.length : 1,
    missing: VENDORS.filter((_, i) => scores[i] === null).map(([name]) => name),
  };
}

const server = createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://service.invalid');
  const said = pathname === '/calls' ? calls : await score(searchParams.get('payment'));
  response.setHeader('Content-Type', 'application/json');
  response.end(JSON.stringify(said));
});
server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ port: server.address().port })));
