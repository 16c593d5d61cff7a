/**
 * A token server of OAuth 2 on a free port of 127.0.0.1: it grants what its script says, and remembers who asked
 * for what. Without a script every fetch gets a token of its own: t1, t2 and so on.
 */
import type { ServerResponse } from 'node:http';
import type { KeyPair } from './certificates.ts';
import { HttpOrigin, readBody } from './origin.ts';

interface Asked {
  readonly authorization: string | undefined;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly form: Readonly<Record<string, string>>;
}

export type Grants = (response: ServerResponse, n: number) => void;

export class TokenServer {
  readonly asked: Asked[] = [];
  grants: Grants;
  readonly #origin: HttpOrigin;

  private constructor(origin: HttpOrigin, grants: Grants) {
    this.#origin = origin;
    this.grants = grants;
  }

  static async start(grants: Grants = grant(3600), tls: KeyPair | null = null): Promise<TokenServer> {
    const origin = await HttpOrigin.start(undefined, 0, tls);
    const server = new TokenServer(origin, grants);
    origin.script = (request, response, seen) => {
      readBody(request, seen, () => {
        const { authorization } = request.headers;
        const form = Object.fromEntries(new URLSearchParams(seen.body.toString()));
        server.asked.push({ authorization, headers: request.headers, form });
        server.grants(response, server.asked.length);
      });
    };
    return server;
  }

  get port(): number {
    return this.#origin.port;
  }

  get url(): string {
    return `${this.#origin.url}/token`;
  }

  close(): Promise<void> {
    return this.#origin.close();
  }
}

/** Token t<n>, alive for so many seconds. */
export const grant =
  (expiresIn: number): Grants =>
  (response, n) =>
    reply(response, 200, { access_token: `t${n}`, token_type: 'Bearer', expires_in: expiresIn });

export function reply(response: ServerResponse, status: number, body: object | string): void {
  response.writeHead(status, { 'Content-Type': 'application/json' });
  response.end(typeof body === 'string' ? body : JSON.stringify(body));
}
