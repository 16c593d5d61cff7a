import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CallerRequest } from '../../../src/downstream/caller.ts';
import { grpcReply, isGrpc } from '../../../src/downstream/grpc-reply.ts';
import { OutriggerError } from '../../../src/errors.ts';

const request = (http2: boolean, type: string): CallerRequest =>
  ({ http2, rawHeaders: ['Host', 'a', 'Content-Type', type] }) as unknown as CallerRequest;

test('gRPC is told by its content type, over HTTP/2 only', () => {
  for (const type of ['application/grpc', 'application/grpc+proto', 'Application/gRPC;x=y'])
    assert.equal(isGrpc(request(true, type)), true, type);
  for (const type of ['application/grpc-web', 'application/json', 'text/plain'])
    assert.equal(isGrpc(request(true, type)), false, type);
  assert.equal(isGrpc(request(false, 'application/grpc')), false);
});

test('an error becomes a trailers-only answer with its fields, a gRPC status and a message in ASCII', () => {
  const headers = ['Content-Type', 'application/problem+json', 'Content-Length', '9', 'Proxy-Status', 'x'];
  const reply = (status: number) => ({ status, statusText: '', headers, body: 'something' });
  const error = new OutriggerError('circuit_open', '100 % of ü\r\n');
  const answered = grpcReply(reply(503), error);
  assert.deepEqual([answered.status, answered.body], [200, '']);
  const fields = new Map(
    answered.headers.flatMap((name, i, all) => (i % 2 === 0 ? [[name, all[i + 1]] as const] : [])),
  );
  assert.deepEqual([...fields.keys()], ['Content-Type', 'Proxy-Status', 'grpc-status', 'grpc-message']);
  assert.equal(fields.get('Content-Type'), 'application/grpc');
  assert.equal(fields.get('grpc-status'), '14');
  assert.match(fields.get('grpc-message') ?? '', /: 100 %25 of %C3%BC%0D%0A\. /);
  for (const [status, grpc] of [
    [504, '14'],
    [403, '7'],
    [404, '12'],
    [500, '13'],
  ] as const)
    assert.ok(grpcReply(reply(status), error).headers.includes(grpc), `${status}`);
});
