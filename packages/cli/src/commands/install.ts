// `plugwire install` and `plugwire update`: brings plugins here, verified, and records them.

import type { Command } from 'commander'
import { paint } from '../colour.ts'
import type { Context } from '../context.ts'
import { ExitCode, type FailureRecord, printFailure, recordOf } from '../failure.ts'
import {
  addTrustingOptions,
  type InstalledRecord,
  installingOptions,
  linesOfInstalled,
  Progress,
  recordOfInstalled,
  type TrustingOptions,
} from '../plugins.ts'

export interface InstallReport {
  readonly lockFile: string
  readonly dryRun: boolean
  readonly plugins: readonly InstalledRecord[]
  /** Those that could not be installed, when the others were. */
  readonly failed: readonly { readonly request: string; readonly error: FailureRecord }[]
}

export function addInstall(program: Command, context: Context): void {
  const command = program
    .command('install')
    .summary('fetches plugins, verifies them and records them in the lock file')
    .description(
      'Fetches plugins, verifies them and keeps them in the store. Without an address everything that the lock file asks for. An address that the lock file\n' +
        'knows leads to the version recorded there. Signatures are checked before files are fetched; scripts of packages are never run.\n\n' +
        'An address is one of\n' +
        '  npm:@acme/aws@^2                      an npm package\n' +
        '  https://plugins.example.com/aws@^2    a plugin of a static index: docs/index-format.md\n' +
        '  file:./plugins/aws                    a directory or an archive\n' +
        '  oci:registry.example.com/acme/aws@^2  an artifact of a container registry\n' +
        '  terraform:hashicorp/random@~3.6       a Terraform provider',
    )
    .argument('[addresses...]', 'where from, with a range of versions')
  addTrustingOptions(command)
  context.finish(command, [
    'plugwire install npm:@acme/aws@^2',
    'plugwire install',
    'plugwire install terraform:hashicorp/random@~3.6 --allow-unsigned',
  ])
  command.action((addresses: string[], options: TrustingOptions) => context.run(options, () => run('install', addresses, options, context)))
}

export function addUpdate(program: Command, context: Context): void {
  const command = program
    .command('update')
    .summary('takes the newest versions that the addresses allow')
    .description('Looks for newer versions in the ranges of the recorded addresses, and installs them like `plugwire install`.')
    .argument('[plugins...]', 'names or addresses (default: all)')
  addTrustingOptions(command)
  context.finish(command, ['plugwire update', 'plugwire update @acme/aws --dry-run'])
  command.action((plugins: string[], options: TrustingOptions) => context.run(options, () => run('update', plugins, options, context)))
}

async function run(what: 'install' | 'update', names: readonly string[], options: TrustingOptions, context: Context): Promise<ExitCode> {
  const { output } = context
  const store = await import('@plugwire/store')
  const { json = false, debug = false } = options
  const progress = new Progress(options.json)
  try {
    const all = await installingOptions(options, context, progress)
    const failed: { readonly request: string; readonly cause: unknown }[] = []
    // Of several one plugin whose source is away does not keep the others from coming.
    const goesOn = names.length !== 1
    const onFailure = (request: string, cause: unknown): void => {
      progress.clear()
      failed.push({ request, cause })
      printFailure(cause, { json, debug })
    }
    const installed = await store[what](names, { ...all, ...(goesOn && { onFailure }) })
    progress.clear()
    const report: InstallReport = {
      lockFile: all.lockFile as string,
      dryRun: options.dryRun ?? false,
      plugins: installed.map(recordOfInstalled),
      failed: failed.map(({ request, cause }) => ({ request, error: recordOf(cause, debug) })),
    }
    const exitCode = failed.length === 0 ? ExitCode.ok : ExitCode.failed
    if (json) {
      await output.document(report)
      return exitCode
    }
    for (const plugin of installed) for (const line of linesOfInstalled(plugin)) await output.line(line)
    if (failed.length > 0) {
      const names = failed.map(({ request }) => request).join(', ')
      process.stderr.write(
        `${paint('bold', `${failed.length} of ${failed.length + installed.length}`, process.stderr)} could not be installed: ${names}\n`,
      )
    } else if (installed.length === 0) await output.line(`${options.lock} asks for no plugin. Name one: plugwire install npm:@acme/aws@^2`)
    return exitCode
  } finally {
    progress.clear()
  }
}
