// @grpc/grpc-js as an application uses it, and not a word about the proxy: one call of each kind, and what
// came of it as JSON. Messages are bytes, so that no file of protocol buffers is needed. Arguments: the
// target, and tls or plain.
import { once } from 'node:events';
import { credentials, Metadata, makeGenericClientConstructor } from '@grpc/grpc-js';
import { METHODS, NAME } from './grpc-service.mjs';

const [, , target, security] = process.argv;
const Calls = makeGenericClientConstructor(METHODS, NAME);
const client = new Calls(target, security === 'tls' ? credentials.createSsl() : credentials.createInsecure());
const within = (ms) => ({ deadline: Date.now() + ms });
const LIMIT = within(20_000);

/** Status and what came with it; `call` is a call of any kind. */
const ended = (call) =>
  new Promise((resolve) => {
    let id = null;
    call.on('metadata', (metadata) => {
      id = metadata.get('x-request-id')[0] ?? null;
    });
    call.on('error', () => {});
    call.on('status', ({ code, details, metadata }) => {
      resolve({ id, code, details, trailer: metadata.get('x-trailer').map(String) });
    });
  });

function unary(name, message, metadata = new Metadata(), options = LIMIT) {
  let call;
  const answer = new Promise((resolve) => {
    call = client[name](message, metadata, options, (_error, value) => resolve(value ?? null));
  });
  return Promise.all([answer, ended(call)]).then(([value, status]) => ({ ...status, value }));
}

async function simple() {
  const metadata = new Metadata();
  metadata.set('x-asked', 'this');
  metadata.set('x-asked-bin', Buffer.from([0, 255, 10, 13]));
  const { value, ...status } = await unary('Echo', Buffer.from('hello'), metadata);
  return { ...status, value: value?.toString() };
}

async function large() {
  const message = Buffer.alloc(4_000_000, 'four megabytes ');
  const { value, code } = await unary('Echo', message);
  return { code, same: message.equals(value ?? Buffer.alloc(0)) };
}

async function serverStreaming() {
  const call = client.Count(Buffer.from('1000'), LIMIT);
  const status = ended(call);
  const values = [];
  call.on('data', (message) => values.push(Number(message)));
  const { code, trailer } = await status;
  return { code, trailer, count: values.length, ordered: values.every((value, i) => value === i) };
}

async function clientStreaming() {
  let call;
  const answer = new Promise((resolve) => {
    call = client.Sum(LIMIT, (_error, value) => resolve(value?.toString() ?? null));
  });
  const status = ended(call);
  for (let i = 0; i < 1_000; i++) {
    if (!call.write(Buffer.from(String(i)))) await once(call, 'drain');
  }
  call.end();
  const { code } = await status;
  return { code, sum: await answer };
}

/** Each message is sent when the answer to the one before it has come. */
async function bothStreaming() {
  const call = client.Talk(LIMIT);
  const status = ended(call);
  const values = [];
  call.on('data', (message) => {
    values.push(message.toString());
    if (values.length < 100) call.write(Buffer.from(`${values.length}`));
    else call.end();
  });
  call.write(Buffer.from('0'));
  const { code } = await status;
  return { code, values: values.length, last: values.at(-1) };
}

async function failing() {
  const { id: _, value, ...status } = await unary('Fail', Buffer.from('at once'));
  return { ...status, value };
}

/** After some messages have come. */
async function failingLate() {
  const call = client.Count(Buffer.from('3 then fail'), LIMIT);
  const status = ended(call);
  let count = 0;
  call.on('data', () => count++);
  const { code, details, trailer } = await status;
  return { code, details, trailer, count };
}

async function late() {
  const { code } = await unary('Never', Buffer.from('deadline'), new Metadata(), within(300));
  return { code };
}

/** The origin says nothing, and the sidecar waits for less than the deadline. */
async function slow() {
  const { code, details } = await unary('Slow', Buffer.alloc(0), new Metadata(), within(1_000));
  // The sidecar's own words name the key to change.
  return { code, hinted: details.includes('policy.timeouts.head') };
}

async function cancelled() {
  const call = client.Count(Buffer.from('3 then wait'), LIMIT);
  const status = ended(call);
  let count = 0;
  call.on('data', () => {
    if (++count === 3) call.cancel();
  });
  const { code } = await status;
  return { code, count };
}

const told = {};
for (const each of [
  simple,
  large,
  serverStreaming,
  clientStreaming,
  bothStreaming,
  failing,
  failingLate,
  late,
  slow,
  cancelled,
]) {
  told[each.name] = await each();
}
told.many = (await Promise.all(Array.from({ length: 50 }, simple))).filter(({ code }) => code === 0).length;
client.close();
console.log(JSON.stringify(told));
