/**
 * No debugger by a signal: Node opens one on 127.0.0.1:9229 for whoever may send SIGUSR1, unless somebody
 * listens for it. Imported ahead of everything else, so that the door is shut as early as a program can.
 */
process.on('SIGUSR1', () => {
  // Nothing is done.
});
