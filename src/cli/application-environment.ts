/**
 * The environment by which an application finds the sidecar and trusts it: one variable for each runtime and
 * tool that has one of its own.
 *
 * CA variables are only there where a route intercepts; the files that they name are written by the sidecar
 * when it starts. A variable that the application has already is not looked at, but for NO_PROXY and
 * JAVA_TOOL_OPTIONS, to which something is added.
 */
import { defaultBundlePath, truststorePathOf } from '../certificates/bundle.ts';
import { TRUSTSTORE_PASSWORD } from '../certificates/truststore.ts';
import type { Config, ListenAddress } from '../config/config.ts';

/** What never goes through a proxy: this machine. Names only, for ranges are not understood everywhere. */
const LOCAL = ['localhost', '127.0.0.1', '::1'];

/** What each reads in the place of the system's roots, or beside them. */
const BUNDLE_VARIABLES = [
  'SSL_CERT_FILE', // OpenSSL, Go, Python's ssl, Ruby, Rust
  'NODE_EXTRA_CA_CERTS',
  'REQUESTS_CA_BUNDLE',
  'CURL_CA_BUNDLE',
  'GIT_SSL_CAINFO',
  'AWS_CA_BUNDLE',
  'PIP_CERT',
  'CARGO_HTTP_CAINFO',
  'DENO_CERT',
  'GRPC_DEFAULT_SSL_ROOTS_FILE_PATH',
];

/** The host by which an application on this machine reaches a listener. */
export function reachable({ host }: ListenAddress): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  if (host === '::') return '::1';
  return host;
}

/** In the order in which they are printed. `env`: of the application, as far as it is known. */
/** Where the sidecar writes the bundle; null: no route intercepts. */
export function bundlePathOf({ listen, routes, intercept }: Config): string | null {
  if (!routes.some(({ https }) => https === 'intercept')) return null;
  return intercept.bundle ?? defaultBundlePath(listen.proxy.port);
}

export function applicationEnvironment(
  config: Config,
  env: Readonly<Record<string, string | undefined>>,
): (readonly [name: string, value: string])[] {
  const { listen } = config;
  const host = reachable(listen.proxy);
  const { port } = listen.proxy;
  const proxy = `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
  const spared = (env['NO_PROXY'] ?? env['no_proxy'] ?? '').split(',').map((it) => it.trim());
  const noProxy = [...new Set([...spared.filter((it) => it !== ''), ...LOCAL])].join(',');
  const java = [
    `-Dhttp.proxyHost=${host}`,
    `-Dhttp.proxyPort=${port}`,
    `-Dhttps.proxyHost=${host}`,
    `-Dhttps.proxyPort=${port}`,
    // Java's list has its own form; what the others spare is spared here too.
    `-Dhttp.nonProxyHosts=${javaHosts(noProxy.split(',')).join('|')}`,
  ];
  const variables: (readonly [string, string])[] = [
    ['HTTP_PROXY', proxy],
    ['http_proxy', proxy],
    ['HTTPS_PROXY', proxy],
    ['https_proxy', proxy],
    ['NO_PROXY', noProxy],
    ['no_proxy', noProxy],
    // Node 24 and later look at the others only then.
    ['NODE_USE_ENV_PROXY', '1'],
  ];
  const bundle = bundlePathOf(config);
  if (bundle !== null) {
    for (const name of BUNDLE_VARIABLES) variables.push([name, bundle]);
    java.push(
      `-Djavax.net.ssl.trustStore=${truststorePathOf(bundle)}`,
      '-Djavax.net.ssl.trustStoreType=jks',
      `-Djavax.net.ssl.trustStorePassword=${TRUSTSTORE_PASSWORD}`,
    );
  }
  const own = env['JAVA_TOOL_OPTIONS'] ?? '';
  variables.push(['JAVA_TOOL_OPTIONS', (own === '' ? java : [own, ...java]).join(' ')]);
  return variables;
}

/** `.example.com` is `*.example.com`, an IPv6 address has brackets, and ranges cannot be said. */
function javaHosts(hosts: readonly string[]): string[] {
  return hosts.flatMap((host) => {
    if (host.includes('/') || /\s/.test(host)) return [];
    if (host.includes(':')) return [`[${host}]`];
    return [host.startsWith('.') ? `*${host}` : host];
  });
}
