// What the gRPC client and the gRPC server of the tests agree upon. Messages are bytes as they are.
export const NAME = 'outrigger.test.Calls';

const same = (message) => message;

const method = (name, requestStream, responseStream) => ({
  path: `/${NAME}/${name}`,
  requestStream,
  responseStream,
  requestSerialize: same,
  requestDeserialize: same,
  responseSerialize: same,
  responseDeserialize: same,
});

export const METHODS = {
  Echo: method('Echo', false, false),
  Fail: method('Fail', false, false),
  Never: method('Never', false, false),
  /** Has a path of its own, and so a route. */
  Slow: { ...method('Slow', false, false), path: '/outrigger.test.Slow/Never' },
  Count: method('Count', false, true),
  Sum: method('Sum', true, false),
  Talk: method('Talk', true, true),
};
