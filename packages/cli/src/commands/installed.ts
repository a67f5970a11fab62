// `plugwire list`, `why`, `outdated` and `gc`: what is here, why it is, whether there is something newer, and what nobody needs any more.

import { resolve } from 'node:path'
import type { ListedPlugin } from '@plugwire/store'
import type { Command } from 'commander'
import { paint } from '../colour.ts'
import type { Context } from '../context.ts'
import { ExitCode, type FailureRecord, printFailure, recordOf as recordOfFailure } from '../failure.ts'
import { addFetchingOptions, addPlaceOptions, type FetchingOptions, fetchingOptions, type PlaceOptions, sizeText } from '../plugins.ts'

export function addList(program: Command, context: Context): void {
  const command = program
    .command('list')
    .summary('the plugins that the lock file has')
    .description('Shows every plugin of the lock file with its versions, and whether the store has it for this machine. Asks nobody.')
  addPlaceOptions(command)
  context.finish(command, ['plugwire list', 'plugwire list --json | jq .plugins'])
  command.action((options: PlaceOptions) => context.run(options, () => list(options, context)))
}

export function addWhy(program: Command, context: Context): void {
  const command = program
    .command('why')
    .summary('why a plugin is here')
    .description('Says what asked for a plugin, where it came from, who signed it, and which digest the lock file has.')
    .argument('<plugin>', 'its name, or an address')
  addPlaceOptions(command)
  context.finish(command, ['plugwire why @acme/aws'])
  command.action((plugin: string, options: PlaceOptions) => context.run(options, () => why(plugin, options, context)))
}

export function addOutdated(program: Command, context: Context): void {
  const command = program
    .command('outdated')
    .summary('plugins of which there is something newer')
    .description('Asks the sources for their versions, and shows what `plugwire update` would take and what lies beyond. Changes nothing.')
    .argument('[plugins...]', 'names or addresses (default: all)')
  addFetchingOptions(command)
  context.finish(command, ['plugwire outdated'])
  command.action((plugins: string[], options: FetchingOptions) => context.run(options, () => outdated(plugins, options, context)))
}

interface GcOptions extends PlaceOptions {
  readonly dryRun?: boolean
}

export function addGc(program: Command, context: Context): void {
  const command = program
    .command('gc')
    .summary('removes from the store what no lock file needs')
    .description(
      'Removes content that no lock file leads to. Every lock file that was written with this store counts, as long as it is there. When one of them cannot\n' +
        'be read nothing is removed.',
    )
    .option('--store <directory>', 'where content is kept')
    .option('--dry-run', 'say what would be removed, and remove nothing')
  context.finish(command, ['plugwire gc --dry-run'])
  command.action((options: GcOptions) => context.run(options, () => gc(options, context)))
}

const placesOf = ({ lock, store }: PlaceOptions) => ({ lockFile: resolve(lock), ...(store !== undefined && { store }) })

async function list(options: PlaceOptions, { output }: Context): Promise<void> {
  const plugins = await (await import('@plugwire/store')).list(placesOf(options))
  if (options.json) return output.document({ lockFile: resolve(options.lock), plugins: plugins.map(recordOf) })
  if (plugins.length === 0) return output.line(`${options.lock} has no plugin.`)
  for (const { name, version, source, stored, bytes } of plugins) {
    const here = stored ? paint('green', sizeText(bytes ?? 0)) : paint('yellow', 'not in the store: plugwire install')
    await output.line(`${paint('bold', name)} ${version}   ${here}   ${paint('dim', source)}`)
  }
}

const recordOf = ({ bytes, contract, ...rest }: ListedPlugin) => ({ ...rest, bytes: bytes ?? null, contract: contract ?? null })

async function why(plugin: string, options: PlaceOptions, { output }: Context): Promise<void> {
  const found = await (await import('@plugwire/store')).why(plugin, placesOf(options))
  if (options.json) return output.document({ lockFile: resolve(options.lock), plugins: found.map(recordOf) })
  const field = (label: string, text: string): Promise<void> => output.line(`  ${paint('dim', label.padEnd(12))} ${text}`)
  for (const { name, version, source, signer, requests, manifest, platforms, stored, highest, contract } of found) {
    await output.line(`${paint('bold', name)} ${version}`)
    await field('asked for by', requests.length === 0 ? 'nothing any more' : requests.join(', '))
    await field('came from', source)
    await field('signed by', signer === null ? 'nobody' : `${signer.publisher} ${signer.fingerprint}`)
    await field('manifest', `sha512:${manifest}`)
    await field('platforms', platforms.join(', '))
    if (contract !== undefined)
      await field('contract', `${contract.name} ${contract.versions.join(', ')} (${contract.protocols.join(', ')})`)
    if (highest !== version) await field('highest', `${highest} was accepted once; lower ones are refused unless they are locked`)
    await field('in the store', stored ? 'yes' : 'no: plugwire install')
  }
}

async function outdated(plugins: readonly string[], options: FetchingOptions, context: Context): Promise<ExitCode> {
  const { output } = context
  const { json = false, debug = false } = options
  const failed: { readonly request: string; readonly error: FailureRecord }[] = []
  // One source that is away does not hide what is known of the others.
  const onFailure = (request: string, cause: unknown): void => {
    failed.push({ request, error: recordOfFailure(cause, debug) })
    printFailure(cause, { json, debug })
  }
  const fetching = await fetchingOptions(options, context)
  const found = await (await import('@plugwire/store')).outdated(plugins, { ...fetching, ...(plugins.length !== 1 && { onFailure }) })
  const exitCode = failed.length === 0 ? ExitCode.ok : ExitCode.failed
  if (json) {
    await output.document({ lockFile: resolve(options.lock), plugins: found, failed })
    return exitCode
  }
  if (found.length === 0 && failed.length === 0) await output.line('Everything is the newest there is.')
  for (const { name, current, wanted, latest, address } of found) {
    const update = wanted === current ? '' : `   ${paint('green', wanted)} by plugwire update`
    const beyond = latest === wanted ? '' : `   ${paint('yellow', latest)} by plugwire install ${address}`
    await output.line(`${paint('bold', name)} ${current}${update}${beyond}`)
  }
  return exitCode
}

async function gc(options: GcOptions, { output, signal }: Context): Promise<void> {
  const { ContentStore, collectGarbage } = await import('@plugwire/store')
  const store = await ContentStore.open(options.store)
  const report = await collectGarbage(store, { dryRun: options.dryRun ?? false, signal })
  if (options.json) return output.document({ store: store.directory, dryRun: options.dryRun ?? false, ...report })
  const { removed, kept, leftovers, forgotten, unknown } = report
  await output.line(
    `${options.dryRun ? 'would remove' : 'removed'} ${removed.objects} objects, ${sizeText(removed.bytes)}; ${kept.objects} are needed, ${sizeText(kept.bytes)}`,
  )
  if (leftovers > 0) await output.line(`  and ${leftovers} unfinished ones`)
  for (const lock of forgotten) await output.line(`  ${lock} is gone and protects nothing any more`)
  for (const plugin of unknown) await output.line(`  ${paint('yellow', 'note')} ${plugin} is locked and not in the store: plugwire install`)
}
