/**
 * Every way an exchange can fail by our doing: one class, one table. A row says what the caller sees
 * (RFC 9209 token, status), whose fault it is, what the breaker makes of it, and what to change.
 *
 * The README's error table is made from this table. It knows nothing of sockets or libraries: whoever
 * meets a library's error maps it to a row where it happens.
 */

/** Who can do something about it. */
type Fault = 'caller' | 'operator' | 'network' | 'origin' | 'sidecar';

/** What a circuit makes of an attempt's end. */
export type Verdict = 'success' | 'failure' | 'ignored';

interface ErrorRow {
  /** RFC 9209, section 2.3: the `error` parameter of Proxy-Status. */
  readonly token: string;
  readonly status: number;
  readonly title: string;
  readonly fault: Fault;
  /** Refused: decided without the origin. Failed: the origin or the way to it did not do its part. */
  readonly outcome: 'refused' | 'failed';
  readonly verdict: Verdict;
  /** Whether the caller may send the same request again later with a prospect of success. */
  readonly retryable: boolean;
  /** What to change, naming the configuration key where there is one. */
  readonly hint: string;
}

const row = (
  token: string,
  status: number,
  fault: Fault,
  outcome: 'refused' | 'failed',
  verdict: Verdict,
  retryable: boolean,
  title: string,
  hint: string,
): ErrorRow => Object.freeze({ token, status, title, fault, outcome, verdict, retryable, hint });

// biome-ignore format: one row per line reads as the table it is
export const ERRORS = Object.freeze({
  target_unusable: row('http_request_error', 400, 'caller', 'refused', 'ignored', false, 'The request target is unusable', 'Send the request in absolute form (GET http://host/path), or set HTTP_PROXY so that the client does.'),
  request_malformed: row('http_request_error', 400, 'caller', 'refused', 'ignored', false, 'The request is malformed', 'The request breaks RFC 9112; look at what the client sends.'),
  request_target_too_long: row('http_request_error', 414, 'caller', 'refused', 'ignored', false, 'The request line is too long', 'Send a shorter target, or raise limits.targetBytes.'),
  request_head_too_large: row('http_request_error', 431, 'caller', 'refused', 'ignored', false, 'The request head is too large', 'Send fewer or smaller headers, or raise limits.headerBytes or limits.headerFields.'),
  request_head_timeout: row('http_request_error', 408, 'caller', 'refused', 'ignored', true, 'The request head did not arrive in time', 'The client was too slow; listen.headTimeout is the bound.'),
  request_misdirected: row('http_request_error', 421, 'caller', 'refused', 'ignored', false, 'The request is meant for another origin than its tunnel', 'Inside a tunnel, Host and target must name what CONNECT asked for; open another tunnel for another origin.'),
  prefix_unknown: row('destination_not_found', 404, 'caller', 'refused', 'ignored', false, 'No route has this prefix', 'Give a route a prefix and an origin; or set HTTP_PROXY, so that the client sends its requests in absolute form (GET http://host/path).'),
  method_unsupported: row('http_request_error', 405, 'caller', 'refused', 'ignored', false, 'The method is not forwarded', 'TRACE and a server-wide OPTIONS * are not forwarded.'),
  expectation_failed: row('http_request_error', 417, 'caller', 'refused', 'ignored', false, 'The expectation is unknown', 'Only Expect: 100-continue is known.'),
  request_too_large: row('http_request_error', 413, 'caller', 'refused', 'ignored', false, 'The request body is too large', 'Send less, or raise policy.limits.requestBytes.'),
  request_body_stalled: row('http_request_error', 408, 'caller', 'failed', 'ignored', true, 'The request body stopped arriving', 'The client sent nothing for policy.timeouts.idle, or less than policy.limits.minRate.'),
  request_body_yielded: row('http_request_error', 408, 'caller', 'failed', 'ignored', true, 'The request body came too slowly while others waited', 'The client sent less than policy.limits.minRate when limits.exchanges or the connections to the origin were used up.'),
  caller_yielded: row('connection_write_timeout', 504, 'caller', 'failed', 'ignored', true, 'The caller took the response body too slowly while others waited', 'The client read less than policy.limits.minRate when limits.exchanges or the connections to the origin were used up.'),
  request_body_incomplete: row('http_request_error', 400, 'caller', 'failed', 'ignored', false, 'The request body is shorter or longer than announced', 'The client closed or broke off before the end of its body.'),
  access_denied: row('http_request_denied', 403, 'operator', 'refused', 'ignored', false, 'Access is denied', 'The route named here says access: deny; or no route matched and access.default is deny: then add a route with access: allow.'),
  port_denied: row('http_request_denied', 403, 'operator', 'refused', 'ignored', false, 'This port is denied', 'What listens there is no HTTP, as a rule: give a route with access: allow that names the port in match.ports, or take it out of access.deniedPorts.'),
  client_unauthenticated: row('http_request_denied', 407, 'caller', 'refused', 'ignored', false, 'The client has not shown who it is', 'Give the client the username and password of one of clients: HTTP_PROXY=http://USERNAME:PASSWORD@127.0.0.1:3128. A route that is named here must let that client pass, too.'),
  client_unknown: row('http_request_denied', 403, 'operator', 'refused', 'ignored', false, 'The client is not known', 'Add a client with this source address to clients, or say access.clients: any.'),
  client_limit: row('connection_limit_reached', 503, 'operator', 'refused', 'ignored', true, 'This client has too many exchanges in flight', 'Raise the number of exchanges of this client in clients, or lower its load.'),
  tunnel_port_denied: row('http_request_denied', 403, 'operator', 'refused', 'ignored', false, 'CONNECT to this port is denied', 'Add the port to access.tunnelPorts. To port 80 only plain HTTP may go without that.'),
  server_name_denied: row('http_request_denied', 403, 'operator', 'refused', 'ignored', false, 'TLS asks for another name than the tunnel', 'The server name of the ClientHello must be the host of its CONNECT; access.tunnelServerName: any lifts that.'),
  tunnel_protocol_denied: row('http_request_denied', 403, 'operator', 'refused', 'ignored', false, 'This protocol is denied inside a tunnel', 'Only TLS and plain HTTP may be inside; add other to access.tunnelProtocols if something else is meant to be.'),
  tunnel_hello_malformed: row('http_request_error', 400, 'caller', 'refused', 'ignored', false, 'What began as TLS inside the tunnel is not TLS', 'The ClientHello breaks RFC 8446; look at what the client sends.'),
  tunnel_hello_timeout: row('http_request_error', 408, 'caller', 'refused', 'ignored', true, 'The first bytes inside the tunnel did not arrive in time', 'The client was too slow; listen.headTimeout is the bound.'),
  caller_tls_failed: row('http_request_error', 400, 'caller', 'failed', 'ignored', true, 'The TLS handshake with the caller failed', 'The client broke off the handshake: perhaps it does not trust our certificate (outrigger env tells how it learns to), or shares no version or cipher with the sidecar.'),
  caller_distrusts: row('http_request_error', 400, 'caller', 'failed', 'ignored', true, 'The caller does not trust our certificate', 'Give the client the CA bundle (outrigger env tells how). If it pins its certificates, set https: tunnel for the route; see intercept.pinned.'),
  address_denied: row('destination_ip_prohibited', 403, 'operator', 'refused', 'ignored', false, 'The address is not allowed', 'Add the address as a CIDR to access.addresses.allow if the destination is meant to be reached; the own listeners of the sidecar never are.'),
  credentials_denied: row('http_request_denied', 403, 'caller', 'refused', 'ignored', false, 'Credentials of the caller are denied', 'The route named here says credentials.caller: refuse, because it has credentials of its own: have the client send none.'),
  token_unavailable: row('proxy_internal_response', 502, 'operator', 'failed', 'ignored', true, 'There is no token for the request', 'The token server of credentials.oauth2 of the route named here gave none; look at the log line with via: token, and check tokenUrl, clientId and clientSecret.'),
  token_timeout: row('proxy_internal_response', 504, 'operator', 'failed', 'ignored', true, 'There was no token in time', 'The token server of credentials.oauth2 of the route named here is too slow; look at the log line with via: token, or raise credentials.oauth2.timeout.'),
  loop_detected: row('proxy_loop_detected', 508, 'operator', 'refused', 'ignored', false, 'The request has been here before', 'A proxy setting sends the traffic of the sidecar back to it; set NO_PROXY there.'),
  dns_error: row('dns_error', 502, 'network', 'failed', 'failure', true, 'The name does not resolve', 'Check the host name and the resolver of this machine.'),
  dns_timeout: row('dns_timeout', 504, 'network', 'failed', 'failure', true, 'The resolver is too slow', 'Check the resolver, or raise policy.timeouts.dns.'),
  connection_refused: row('connection_refused', 502, 'origin', 'failed', 'failure', true, 'The origin refuses connections', 'Nothing listens at that address and port; check that the origin is up.'),
  connection_terminated: row('connection_terminated', 502, 'origin', 'failed', 'failure', true, 'The origin closed the connection before it answered', 'The origin reset or closed the connection; look at its log. See policy.retry for which requests are tried again.'),
  connection_timeout: row('connection_timeout', 504, 'network', 'failed', 'failure', true, 'The connection could not be made in time', 'The origin does not answer to TCP; check firewalls and routes, or raise policy.timeouts.connect.'),
  tls_timeout: row('connection_timeout', 504, 'origin', 'failed', 'failure', true, 'The TLS handshake took too long', 'The origin accepts connections but does not finish the handshake; or raise policy.timeouts.tls.'),
  address_unroutable: row('destination_ip_unroutable', 502, 'network', 'failed', 'failure', true, 'There is no route to the origin', 'Check the routes of this machine.'),
  head_timeout: row('http_response_timeout', 504, 'origin', 'failed', 'failure', true, 'The origin did not answer in time', 'The origin is slow; raise policy.timeouts.head if it is meant to be.'),
  total_timeout: row('http_response_timeout', 504, 'origin', 'failed', 'failure', true, 'The exchange took longer than it may', 'Waits and retries count too; raise policy.timeouts.total, or lower policy.retry.attempts.'),
  write_timeout: row('connection_write_timeout', 504, 'origin', 'failed', 'failure', true, 'The origin stopped taking the request body', 'The origin took nothing for policy.timeouts.idle, or less than policy.limits.minRate.'),
  body_timeout: row('connection_read_timeout', 504, 'origin', 'failed', 'failure', true, 'The response body stopped', 'The origin sent nothing for policy.timeouts.idle, or less than policy.limits.minRate.'),
  caller_stalled: row('connection_write_timeout', 504, 'caller', 'failed', 'ignored', true, 'The caller stopped taking the response body', 'The client read nothing for policy.timeouts.idle, or less than policy.limits.minRate.'),
  tunnel_idle: row('connection_read_timeout', 504, 'network', 'failed', 'ignored', true, 'The tunnel was idle', 'No byte passed for policy.timeouts.idle.'),
  tls_certificate_error: row('tls_certificate_error', 502, 'origin', 'failed', 'failure', false, 'The certificate of the origin is not valid', 'Have the origin renew or correct its certificate; another name is expected with tls.servername of a route; a private authority is trusted by tls.ca of a route, or through NODE_EXTRA_CA_CERTS of the sidecar.'),
  tls_protocol_error: row('tls_protocol_error', 502, 'origin', 'failed', 'failure', false, 'The TLS handshake failed', 'The origin does not speak TLS there, has no version or cipher in common, or wants a client certificate (tls.cert and tls.key of a route).'),
  response_malformed: row('http_protocol_error', 502, 'origin', 'failed', 'failure', false, 'The response is not HTTP', 'The origin breaks RFC 9112, or RFC 9113 where HTTP/2 is spoken; look at what it sends.'),
  response_head_too_large: row('http_response_header_section_size', 502, 'origin', 'failed', 'failure', false, 'The response head is too large', 'Raise limits.headerBytes if the origin is meant to send that much.'),
  response_too_large: row('http_response_body_size', 502, 'origin', 'failed', 'ignored', false, 'The response body is too large', 'Raise policy.limits.responseBytes if the origin is meant to send that much.'),
  response_incomplete: row('http_response_incomplete', 502, 'origin', 'failed', 'failure', true, 'The response broke off', 'The origin closed the connection before the end of its body.'),
  queue_full: row('connection_limit_reached', 503, 'origin', 'refused', 'ignored', true, 'Too many exchanges wait for this origin', 'The origin is slow or the load too high; see policy.pool.connections and policy.pool.queue.'),
  queue_timeout: row('connection_limit_reached', 503, 'origin', 'refused', 'ignored', true, 'No connection became free in time', 'The origin is slow or the load too high; see policy.pool.connections, policy.pool.queueTimeout and limits.connections.'),
  caller_limit: row('connection_limit_reached', 503, 'operator', 'refused', 'ignored', true, 'Too many connections of callers', 'Every connection has an exchange under way; raise listen.connections or listen.connectionsPerClient, or have the callers share their connections.'),
  exchange_limit: row('connection_limit_reached', 503, 'operator', 'refused', 'ignored', true, 'Too many exchanges are in flight', 'Raise limits.exchanges, or lower the load.'),
  origin_limit: row('connection_limit_reached', 503, 'operator', 'refused', 'ignored', true, 'Too many origins are in use at once', 'Raise limits.origins.'),
  file_limit: row('connection_limit_reached', 503, 'operator', 'failed', 'ignored', true, 'The process is out of file descriptors or ports', 'Raise the limit of open files (ulimit -n), or lower limits.connections.'),
  circuit_open: row('destination_unavailable', 503, 'origin', 'refused', 'ignored', true, 'The circuit of this origin is open', 'The origin failed too often; it is tried again by itself. See policy.breaker.'),
  draining: row('proxy_internal_response', 503, 'sidecar', 'failed', 'ignored', true, 'The sidecar is shutting down', 'The exchange outlived shutdown.drainTimeout.'),
  caller_left: row('connection_terminated', 499, 'caller', 'failed', 'ignored', false, 'The caller left', 'The client closed its connection; look at its own timeout.'),
  internal: row('proxy_internal_error', 500, 'sidecar', 'failed', 'ignored', false, 'The sidecar has a bug', 'Please report it with the log line of this request ID.'),
});

export type ErrorName = keyof typeof ERRORS;

/**
 * The one error of an exchange. `detail` is for people and may name the host, never a secret, a path or
 * a query. Built without a stack: failing is an everyday event here, and a stack costs more than the exchange.
 */
export class OutriggerError {
  readonly name: ErrorName;
  readonly detail: string;
  /** Seconds, for Retry-After; null: none is sent. */
  readonly retryAfterS: number | null;
  /** What lies beneath, for the log of our own bugs only. */
  readonly cause: unknown;

  constructor(name: ErrorName, detail = '', retryAfterS: number | null = null, cause?: unknown) {
    this.name = name;
    this.detail = detail;
    this.retryAfterS = retryAfterS;
    this.cause = cause;
  }

  get row(): ErrorRow {
    return ERRORS[this.name];
  }

  get token(): string {
    return ERRORS[this.name].token;
  }
}

/** Whatever was thrown, as the one error: what is not ours is a bug of ours. */
export function asOutriggerError(thrown: unknown): OutriggerError {
  if (thrown instanceof OutriggerError) return thrown;
  return new OutriggerError('internal', '', null, thrown);
}

const SETTLED = Promise.resolve();

/**
 * A promise that is rejected as soon as whoever asked for it has had the chance to listen. One that is rejected before
 * has Node keep a list of those to which nobody listens: at every refusal, for a moment. Not to be returned to a promise,
 * which listens later: there it is thrown.
 */
export function rejected(error: unknown): Promise<never> {
  return new Promise((_resolve, reject) => {
    // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- it is the one error, built without a stack
    void SETTLED.then(() => reject(error));
  });
}
