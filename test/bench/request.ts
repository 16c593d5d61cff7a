/** A request of the benchmarks as the bytes that a client sends: in absolute form to a forward proxy. */
export interface Ask {
  readonly method: 'GET' | 'POST';
  /** Of the origin, with its port. */
  readonly host: string;
  readonly path: string;
  readonly body?: string;
  /** Whether it is the last one on its connection. */
  readonly last?: boolean;
}

export function render(ask: Ask, absolute: boolean): string {
  const { method, host, path, body, last } = ask;
  const lines = [
    `${method} ${absolute ? `http://${host}` : ''}${path} HTTP/1.1`,
    `Host: ${host}`,
    'User-Agent: bench/1',
    'Accept: application/json',
    'Accept-Encoding: gzip, deflate',
  ];
  if (body !== undefined) lines.push('Content-Type: application/json', `Content-Length: ${body.length}`);
  if (last) lines.push('Connection: close');
  return `${lines.join('\r\n')}\r\n\r\n${body ?? ''}`;
}
