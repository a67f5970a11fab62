// What all commands share while one of them runs: where it writes, what ends it early, how its failure becomes an exit code.

import type { Command } from 'commander'
import { ExitCode, exitCodeOf, printFailure } from './failure.ts'
import { Output } from './output.ts'

interface RunOptions {
  readonly json?: boolean
  readonly debug?: boolean
}

export class Context {
  readonly #interruption = new AbortController()
  #output: Output | undefined
  #interrupts = 0
  exitCode: ExitCode = ExitCode.ok

  /** Aborted by Ctrl-C, and when nobody reads stdout any more. */
  get signal(): AbortSignal {
    return this.#interruption.signal
  }

  get interrupted(): boolean {
    return this.#interrupts > 0
  }

  get output(): Output {
    if (this.#output === undefined) throw new TypeError('there is output only while a command runs')
    return this.#output
  }

  /** Adds what every command has. */
  finish(command: Command, examples: readonly string[]): void {
    command
      .option('--json', 'write JSON; errors go to stderr as {"error": …}')
      .option('--debug', 'show stacks and causes of errors')
      .addHelpText('after', `\nExamples:\n${examples.map(example => `  ${example}`).join('\n')}`)
  }

  /** Runs a command to its exit code. */
  async run(options: RunOptions, action: () => Promise<ExitCode | void>): Promise<void> {
    const json = options.json ?? false
    this.#output = new Output(json, () => this.#interruption.abort(new Error('nobody reads the output any more')))
    const interrupt = (): void => {
      // The first asks, the second insists: the plugin sees its descriptor close and ends by itself.
      if (++this.#interrupts > 1) process.exit(ExitCode.interrupted)
      this.#interruption.abort(new Error('interrupted'))
    }
    process.on('SIGINT', interrupt).on('SIGTERM', interrupt)
    try {
      this.exitCode = (await action()) ?? ExitCode.ok
    } catch (failure) {
      // What an interruption leads to is what was asked for.
      if (!this.interrupted && !this.#output.broken) {
        printFailure(failure, { json, debug: options.debug ?? false })
        this.exitCode = exitCodeOf(failure)
      } else if (options.debug) printFailure(failure, { json, debug: true })
    } finally {
      process.off('SIGINT', interrupt).off('SIGTERM', interrupt)
    }
    if (this.interrupted) this.exitCode = ExitCode.interrupted
  }
}
