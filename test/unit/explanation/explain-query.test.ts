import assert from 'node:assert/strict';
import { test } from 'node:test';
import { explainQuery } from '../../../src/explanation/explain-query.ts';
import { Explainer } from '../../../src/explanation/explanation.ts';
import { loadTexts } from '../config/sources.ts';

const explainer = new Explainer(loadTexts(['clients: [{ name: pay, addresses: [10.0.0.1] }]']));

test('a query is a question with method, url and client; the method is GET where none is named', () => {
  const explained = explainQuery(explainer, 'url=http%3A%2F%2Fa.example%2Fx%3Fy%3Dz&client=pay');
  assert.ok(explained.status === 200);
  assert.deepEqual([explained.value.method, explained.value.url], ['GET', 'http://a.example/x?y=z']);
  assert.equal(explained.value.client, 'pay');
  assert.equal(explainQuery(explainer, 'method=CONNECT&url=a.example:443&client=').status, 200);
});

test('what cannot be a question is answered with what is wrong about it', () => {
  for (const [query, says] of [
    ['', /url is missing/],
    ['url=', /url is missing/],
    ['url=/a&uri=/b', /unknown parameter "uri"/],
    ['url=/a&url=/b', /given twice/],
    ['url=/a&client=nobody', /there is no client "nobody"/],
    [`url=${'a'.repeat(20_000)}`, /too long/],
  ] as const) {
    const explained = explainQuery(explainer, query);
    assert.ok(explained.status === 400);
    assert.match(explained.problem, says);
  }
});
