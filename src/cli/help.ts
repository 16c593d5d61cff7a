/** `outrigger --help`: what there is, on one screen. */
export const HELP = `Outrigger carries the outbound HTTP calls of one application: pool limits, timeouts,
retries, circuit breaking and request IDs, in one place.

usage:
  outrigger [run] [--config FILE]...    start; later files override earlier ones, key by key
  outrigger check [--config FILE]...    validate; print every problem as file:line:column: message,
                                        and warn of what cannot apply
  outrigger env [--config FILE]...      print what the application needs: eval "$(outrigger env)"
  outrigger --help | help               this text
  outrigger --version                   the version

configuration, weakest first:
  the defaults; the files of --config, else of OUTRIGGER_CONFIG (separated by ":");
  OUTRIGGER__<PATH>, for example OUTRIGGER__LISTEN__PROXY=127.0.0.1:8080
  In texts of a file: \${NAME}, \${NAME:-default}, \${file:PATH}; $\${ is a literal \${.

exit codes: 0 done, 1 failed, 2 wrong usage or invalid configuration, 3 ended by the drain timeout

then, for the application: HTTP_PROXY=http://127.0.0.1:3128, or eval "$(outrigger env)"
`;
