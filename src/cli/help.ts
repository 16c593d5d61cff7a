/** `outrigger --help`: what there is, on one screen. */
export const HELP = `Outrigger carries the outbound HTTP calls of one application: pool limits, timeouts,
retries, circuit breaking and request IDs, in one place.

usage:
  outrigger [run] [--config FILE]...    start; later files override earlier ones, key by key
  outrigger check [--config FILE]...    every problem as file:line:column: message, and warnings
  outrigger explain METHOD URL          what would become of it and why, value by value
      [--config FILE]... [--client NAME] [--json]
  outrigger diff OLD NEW                what a change changes, and for which exchanges of a log;
      [--log FILE|-] [--json]           exit code 0 nothing, 1 something, 2 trouble
  outrigger schema                      the JSON Schema of the configuration
  outrigger env [--config FILE]...      print what the application needs: eval "$(outrigger env)"
  outrigger exec [...] -- COMMAND...    start, then COMMAND with what env prints; end when it ends
  outrigger wait [...] [--timeout 10s]  return when the sidecar is ready: 0, or in vain: 1
  outrigger --help | help               this text
  outrigger --version                   the version

configuration, weakest first:
  the defaults; the files of --config, else of OUTRIGGER_CONFIG (separated by ":");
  OUTRIGGER__<PATH>=VALUE, for example OUTRIGGER__LISTEN__PROXY=127.0.0.1:8080;
  --set PATH=VALUE, for example --set policy.timeouts.head=2s
  In texts of a file: \${NAME}, \${NAME:-default}, \${file:PATH}; $\${ is a literal \${.

exit codes: 0 done, 1 failed, 2 wrong usage or invalid configuration,
  3 ended by the drain timeout; of exec: COMMAND's,
  128 + n if signal n ended it, 126 if it may not be executed, 127 if it is not there

then, for the application: HTTP_PROXY=http://127.0.0.1:3128, or eval "$(outrigger env)"
`;
