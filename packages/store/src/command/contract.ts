// What a command is when it is a plugin: one method, which gets arguments and returns an exit code. Its stdin, stdout and stderr are the user's.

import { type Contract, contract, type OneVersion } from 'plugwire'

/** Where a command runs. */
export interface Terminal {
  /** What the user typed to get here, for texts about usage, e.g. `acme aws`. */
  readonly name: string
  /** Aborted by Ctrl-C. A command that goes on is ended by the second one. */
  readonly signal: AbortSignal
}

export interface CommandLine {
  /**
   * Runs the command with `process.stdin`, `stdout` and `stderr` being the terminal, pipes or files of the user, as in any program.
   *
   * @param args What stands behind the command's name.
   * @returns The exit code, from 0 to 255. One that ends by `process.exit` counts as well.
   */
  run(args: readonly string[], terminal: Terminal): Promise<number>
}

/** A command serves this: `await serve(command, { command: () => ({ run }) })`. */
export const command: Contract<OneVersion<{ command: CommandLine }>> = contract<{ command: CommandLine }>({
  name: 'plugwire-command',
  version: 1,
})
