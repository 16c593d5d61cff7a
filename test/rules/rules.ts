/**
 * The rules that a proxy is held to, each with its number and what it asks in one line. A test proves a rule by
 * beginning its title with the number; where a test elsewhere proves it, `proofs` names that by file and title.
 */
export interface Rule {
  readonly number: string;
  readonly says: string;
  /** Tests outside this folder. */
  readonly proofs: readonly Proof[];
}

export interface Proof {
  readonly file: string;
  readonly title: string;
}

const rule = (
  number: string,
  says: string,
  ...proofs: readonly (readonly [file: string, title: string])[]
): Rule => ({
  number,
  says,
  proofs: proofs.map(([file, title]) => ({ file: `test/${file}.test.ts`, title })),
});

// biome-ignore format: a rule a line
export const RULES: readonly Rule[] = [
  // Targets
  rule('F01', 'The target decides; Host is made from it'),
  rule('F02', 'An empty path is the root; OPTIONS without one is about the server'),
  rule('F03', 'Path and query go on byte for byte'),
  rule('F04', 'Origin form at the forward port leads nowhere, least of all back'),
  rule('F05', 'TRACE, OPTIONS * and Max-Forwards'),
  rule('F06', 'Exactly one Host, and a good one; HTTP/1.0 may have none'),
  rule('F07', 'No userinfo, fragment or backslash in a target'),
  rule('F08', 'Only http and https; https is spoken over TLS'),
  rule('F09', 'HTTP/1.0 and HTTP/1.1 and no other version'),
  rule('F10', 'Any token is a method'),
  rule('F11', 'Bounds of the request line, the head and the number of fields'),
  rule('F12', 'A few empty lines before a request are ignored'),
  rule('F13', 'No stray white space in or around the request line'),
  rule('F14', 'Lines end with CR LF; no control bytes, no folding'),
  rule('F15', 'Field names are tokens right up to the colon'),
  // Framing
  rule('M01', 'Both lengths in a request: refused'),
  rule('M02', 'Content-Length is one number'),
  rule('M03', 'Transfer-Encoding is chunked, once'),
  rule('M04', 'Chunk sizes, line ends and extensions'),
  rule('M05', 'Chunks are made anew; trailers are filtered and stay trailers'),
  rule('M06', 'A known length is kept to the byte'),
  rule('M07', 'A response that is wrong is a 502, or is cut'),
  rule('M08', 'What has no body has none'),
  rule('M09', 'An end that is no end does not look like one', ['behaviour/forwarding', 'a response that ends with the connection is cut when the origin resets it']),
  rule('M10', 'Unasked bytes on an idle connection end it'),
  rule('M11', 'Pipelining in order, one at a time'),
  rule('M12', 'No length is invented; a length of zero stays'),
  rule('M13', 'A chunked body of any method stays chunked'),
  rule('M14', 'An early final answer goes back and ends the upload', ['behaviour/bodies', 'an early answer reaches the caller while it still sends, and the connection of the origin is not used again']),
  rule('M15', 'What is left of a body is never a request'),
  // Header fields
  rule('H01', 'What is for one hop stays on it, both ways'),
  rule('H02', 'Connection cannot strip what protects somebody'),
  rule('H03', 'Via is appended; a loop is refused', ['behaviour/hop-by-hop', 'traffic that is sent back to the sidecar by a detour ends after one round with 508']),
  rule('H04', 'Unknown fields, order, case and duplicates are kept'),
  rule('H05', 'Proxy credentials are consumed; those for the origin pass'),
  rule('H06', 'TE is our own; content codings are nobody else’s business'),
  rule('H07', 'Interim responses pass to 1.1 callers, bounded'),
  rule('H08', 'Expect: 100-continue', ['behaviour/bodies', '100 Continue for a body without a length is sent once the exchange has a connection, and then the body goes up'], ['behaviour/bodies', 'Expect: 100-continue of a 1.0 caller is ignored, and one that sends its body at once is served']),
  rule('H09', 'Own responses are dated, typed, counted and not stored'),
  rule('H10', 'The caller’s address is not told'),
  rule('H11', 'Request IDs', ['behaviour/identity', 'an ID that is not well formed, too long, or sent twice is replaced']),
  rule('H12', 'Trace context', ['behaviour/identity', 'an invalid traceparent is dropped with its tracestate, and a trace is started'], ['unit/headers/trace-context', 'a tracestate goes on whole, unless it has more than 32 members or is none']),
  // CONNECT
  rule('C01', 'The target of CONNECT is host and port'),
  rule('C02', 'The 200 has no length and comes after the connection', ['behaviour/tunnel', '200 comes only once the origin is connected, and what was sent before it arrives once and in order']),
  rule('C03', 'CONNECT in HTTP/1.0, without Host, with close'),
  rule('C04', 'Nothing behind a refused CONNECT is read or sent', ['behaviour/tunnel', 'what is sent behind a refused CONNECT is never read as a request']),
  rule('C05', 'Early data is delivered once, in order'),
  rule('C06', 'Half-close and flushing, to the last byte', ['behaviour/tunnel', 'a caller that half-closes still gets all that the origin has to say'], ['behaviour/tunnel', '16 MiB go through both ways at once, intact']),
  rule('C07', 'Tunnels are timed, counted and reset', ['behaviour/tunnel', 'a tunnel through which nothing passes is closed after policy.timeouts.idle, and not while something does'], ['behaviour/tunnel', 'a reset of the origin is a reset for the caller']),
  rule('C08', 'Ports of CONNECT, and the same access as any request', ['behaviour/access', 'to a denied port nothing goes, by any way, and nothing is dialled']),
  rule('C09', 'A tunnel holds little for a reader that stands still', ['behaviour/tunnel', 'a tunnel whose reader has stopped holds less than 1 MiB, whichever side it is']),
  rule('C10', 'The server name must be the host of the CONNECT', ['behaviour/tunnel-opening', 'with access.tunnelServerName: any, another name passes, and the line tells it'], ['behaviour/intercept', 'a server name that is not the host of the CONNECT is refused with an alert']),
  // Upgrade
  rule('U01', 'A WebSocket handshake, and bytes before its 101', ['behaviour/websocket', 'what the caller sends before the 101 is bounded, kept, and delivered after it, in order']),
  rule('U02', 'A 101 must have been asked for; a 200 is none; a 426 keeps its Upgrade', ['behaviour/websocket', 'a 426 keeps its Upgrade']),
  rule('U03', 'h2c is never passed on'),
  rule('U04', 'An upgrade with a body is none'),
  rule('U05', 'An upgrade in HTTP/1.0, or one that is not taken'),
  rule('U06', 'No extended CONNECT is offered'),
  // Connections
  rule('K01', 'When a connection is kept and when it ends', ['behaviour/forwarding', 'a 1.0 caller is kept if it asks and the length is known, and is closed if it does not ask']),
  rule('K02', 'What may be sent twice', ['behaviour/no-duplicates', '10,000 POSTs over connections that the origin closes whenever it likes: none is sent twice'], ['unit/policy/retry-decision', 'no combination repeats what may not be repeated, waits too little or too long, or makes up a reason']),
  rule('K03', 'Connections are shared by origin and trust alone', ['behaviour/tls-settings', 'a private authority is trusted on its route and nowhere else, and there in the place of all others']),
  rule('K04', 'Authentication that belongs to a connection is not shared'),
  rule('K05', 'Limits and queues, in order', ['behaviour/pool', 'beyond the queue an exchange is shed within 50 ms, with 503, its token and Retry-After'], ['behaviour/pool', 'those who wait are served in the order in which they came']),
  rule('K06', 'The origin’s Keep-Alive hint, less a margin', ['behaviour/pool', "the origin's Keep-Alive hint, less a margin, wins over idleTimeout"]),
  rule('K07', 'Retries have a budget and an end', ['behaviour/storm', 'an origin that answers 503 to everything gets at most 1.2 times the requests, and the floor of the budget'], ['behaviour/retry', 'a Retry-After longer than retryAfterMax goes back at once, with the answer']),
  // Errors
  rule('E01', 'One table of errors, told by Proxy-Status'),
  rule('E02', 'Problem documents that give nothing away'),
  rule('E03', 'The origin’s errors pass and are told from ours'),
  rule('E04', 'Statuses that a proxy has and has not'),
  // Destinations
  rule('S01', 'Special addresses are not dialled'),
  rule('S02', 'IPv4 inside IPv6 is IPv4', ['unit/upstream/address-guard', 'an allowed IPv4 range is allowed in every IPv6 that carries it']),
  rule('S03', 'What was looked up and judged is what is dialled', ['behaviour/address-guard', 'of mixed answers only the address that is allowed is dialled'], ['behaviour/address-guard', 'a name whose answer changes is judged anew for every connection'], ['behaviour/address-flips', 'absolute form: no flip of an answer leads to a forbidden address'], ['behaviour/address-flips', 'a tunnel: no flip of an answer leads to a forbidden address'], ['behaviour/address-flips', 'every further connection of a pool is judged by itself']),
  rule('S04', 'Addresses in numbers'),
  rule('S05', 'Names are brought into one spelling'),
  rule('S06', 'Our own listeners are out of reach', ['behaviour/address-guard', 'our own listeners are refused though loopback is allowed, whatever the spelling'], ['process/admin', 'neither admin nor telemetry is reached through the proxy, with the token or without, by any address']),
  rule('S07', 'Redirects and alternative services are the caller’s'),
  rule('S08', 'Ports that speak something else'),
  rule('S09', 'No socket of the file system'),
  rule('S10', 'One IPv6 address, however it is written'),
  rule('S11', 'No parent proxy, from wherever it is named'),
  // Injection
  rule('P02', 'Values that we write cannot break a head', ['unit/config/load', 'header edits keep off the fields that frame a message, and off values that would break one'], ['unit/credentials/secret-files', 'what cannot be used leaves what was good, is told once, and is no problem any more when it is good again'], ['unit/credentials/token-response', 'what is no token is refused, in words that hold nothing of it']),
  rule('P03', 'Case does not make two lengths of one'),
  rule('P04', '__proto__ and its like are names like any other'),
  rule('P05', 'A response cannot be split'),
  rule('P06', 'Commas, empty lengths, empty names, fragments, large chunks'),
  rule('P07', 'Line ends in chunked bodies'),
  rule('P08', 'A head ends with CR LF CR LF alone'),
  rule('P09', 'Settings of Node that weaken the parser are refused', ['process/node-settings', 'a sidecar whose Node is told to weaken it does not start, and says why in one line']),
  rule('P10', 'Doubt about framing ends the connection'),
  // Exhaustion
  rule('L01', 'A head has a time, and so has a body'),
  rule('L02', 'Everything has a bound', ['behaviour/bodies', 'what a caller pipelines is read no further than a bound while it waits']),
  rule('L03', 'A reader that stands still costs little', ['behaviour/bodies', 'a fast origin and callers that do not read: less than 1 MiB is held for each, and then it all comes'], ['behaviour/timeouts', 'idle: a caller that stops reading is cut, the origin is left, and the log says whose fault it was']),
  rule('L04', 'Nothing is decompressed'),
  rule('L05', 'WebSockets pass as bytes', ['behaviour/websocket', '1,000 messages of 1 B to 1 MB on 100 sockets come back intact, and memory stays bounded']),
  rule('L06', 'Nothing leaks'),
  rule('L07', 'Out of descriptors is a 503 and goes by'),
  rule('L08', 'Slow names stall nobody', ['process/thread-pool', 'there are threads enough that many slow names do not stall a quick one']),
  rule('L09', 'Patterns cost a moment'),
  rule('L10', 'The pinned Node has what was mended', ['dependencies', 'every direct dependency is pinned to one version, which is the one that is locked and installed']),
  rule('L11', 'No input ends the process', ['process/unhandled-errors', 'what is thrown on the way of one exchange ends that exchange, and none beside it']),
  rule('L12', 'State and labels are bounded', ['behaviour/pool', 'beyond limits.origins the origin unused for longest is forgotten, and its connections are closed'], ['unit/telemetry/metrics', 'invented methods, statuses, reasons and routes cannot add series beyond the bound']),
  // TLS
  rule('T01', 'A bad certificate is a 502 and no request is sent'),
  rule('T02', 'On every way to TLS the same trust'),
  rule('T03', 'Interception: off by default, its key and leaves', ['unit/certificates/leaves', 'hosts that callers invent do not add up'], ['unit/certificates/authority-files', 'a key file that others than its owner may read is refused'], ['unit/certificates/authority', 'serial numbers are positive, of 16 octets, and never the same']),
  rule('T04', 'Server name, CONNECT and Host agree', ['behaviour/intercept', 'a Host inside that is not the one of the CONNECT is misdirected']),
  rule('T05', 'TLS 1.2 at least, no shared sessions between trusts', ['unit/certificates/leaves', 'nothing older than TLS 1.2 is spoken']),
  rule('T06', 'An end of TLS without a farewell is no end'),
  // Configuration
  rule('G01', 'YAML has values and nothing that explodes', ['unit/config/load', 'what YAML has beyond values is refused where it stands'], ['unit/config/load', 'aliases are followed, and cannot blow a document up'], ['fuzz/config.fuzz', 'every file of the corpus is refused or loads, in bounded time, and changes no prototype']),
  rule('G02', 'Unknown keys and wrong values have a place', ['unit/config/load', 'an unknown key is an error at its own position, with the nearest known key'], ['unit/config/load', 'a wrong value is an error at its own position that says what is allowed'], ['unit/config/open-files', 'a secret that everybody may read is warned of at its place, and one of the owner and the group is not']),
  rule('G03', 'Loopback by default', ['unit/config/load', 'the defaults are those of the design'], ['process/admin', 'an admin listener that others can reach needs a token, or nothing starts'], ['unit/config/lint', 'a proxy that others can reach and that asks nobody who he is is warned of']),
  rule('G04', 'Proxy credentials are compared in constant time and shown nowhere', ['unit/config/client-schema', 'a password is in no message'], ['unit/policy/secret-text', 'nothing of it is seen where it is printed, made JSON or copied']),
  // Log
  rule('O01', 'A line is one line of JSON', ['unit/telemetry/access-line', 'whatever the strings, a line is one line of ASCII and valid JSON, and its strings are the inputs'], ['behaviour/log-injection', 'whatever a caller puts into a head, its exchange is one line of ASCII and valid JSON'], ['behaviour/log-injection', 'whatever an origin puts into a head, the line of its exchange is one of ASCII and valid JSON']),
  rule('O02', 'No secret in any output', ['behaviour/identity', 'no secret of a request or a response is in any line'], ['behaviour/secrets', 'no secret is in the log, on admin, or in an answer of ours, with log.query: drop'], ['behaviour/secrets', 'no secret is in the log, on admin, or in an answer of ours, with log.query: keep'], ['behaviour/secrets', 'check never shows a secret, however wrong the configuration is that holds it'], ['unit/telemetry/query-redaction', 'no value under such a name is ever seen, however the name is written and wherever it stands']),
  rule('O03', 'One line per exchange, with the bytes of the wire', ['unit/telemetry/access-log', 'every exchange has one line, whatever its end']),
  rule('O04', 'A log that is not read stops nothing', ['process/lifecycle', 'a reader of the log that stands still stops neither traffic nor the end']),
  // Ours
  rule('X1', 'The admin listener is for its operator', ['unit/admin/server', 'a page of another name cannot ask, though its name points here'], ['unit/admin/server', 'where nothing is to be done no method but GET and HEAD is taken, CONNECT included'], ['unit/admin/server', 'nothing is done by GET, for another site, in another type, with a large body, or without the token'], ['unit/admin/server', 'what a browser sends for another site is refused, whatever it asks']),
  rule('X2', 'Credentials go to nobody else', ['behaviour/credentials', 'what a route sets goes by the target alone: a Host, a path or a field that names it gets nothing'], ['behaviour/credentials', 'the connection of one route and the next carry what is their own, over one socket'], ['behaviour/oauth2', 'a route for everything, its token server included, waits for itself nowhere, and gives it nothing of its own'], ['behaviour/credentials', 'what a route sets goes by the target alone: a Host, a path or a field that names it gets nothing']),
  rule('X3', 'A connection is never shared between trusts'),
  rule('X4', 'Proxy-Status is a list with our member last', ['unit/headers/forwarding', 'details are a string of RFC 9651 whatever they hold, and bounded']),
  rule('X5', 'Problem documents are JSON; HEAD gets their fields'),
  rule('X6', 'Every response has the request ID', ['behaviour/identity', 'every response carries the ID: refusals, failures, what the parser would not take, and tunnels']),
  // Beyond the numbers: real clients, and faults on the way
  rule('B', 'Real clients, by every way', ['clients/curl', 'curl: GET and POST with http_proxy set and nothing else'], ['clients/wget', 'wget: GET and POST with http_proxy set and nothing else'], ['clients/git', 'git: clone and push over HTTP, with a file of 5 MB, both ways whole']),
  rule('FAULTS', 'Eight kinds of fault, at every stage of a message'),
];
