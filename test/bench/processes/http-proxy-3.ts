/** http-proxy-3 as its README shows it. */
import httpProxy from 'http-proxy';

const [port, origin] = process.argv.slice(2);
httpProxy.createProxyServer({ target: `http://127.0.0.1:${origin}` }).listen(Number(port), '127.0.0.1');
