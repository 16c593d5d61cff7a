/**
 * The door to node:http and node:http2: their values by name, without what an import brings along.
 *
 * An import of node:http reads everything that it exports, and among that is a client for WebSockets, for which Node
 * loads the whole of undici: a sixth of the time of a start, and memory that nobody uses. HTTP/2 is loaded when it is
 * first spoken. Both are in Node itself, so neither can be missing later. Types are imported as everywhere.
 */
const http = process.getBuiltinModule('node:http');

export const { Agent, createServer, IncomingMessage, METHODS, request, STATUS_CODES } = http;

/** The same each time. */
export const http2 = () => process.getBuiltinModule('node:http2');
