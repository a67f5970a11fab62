// `plugwire remove`: takes plugins out of the lock file. The store is left alone: other lock files may lead to the same content.

import { resolve } from 'node:path'
import type { Lock } from '@plugwire/trust'
import type { Command } from 'commander'
import { PluginError } from 'plugwire'
import { paint } from '../colour.ts'
import type { Context } from '../context.ts'

interface RemoveOptions {
  readonly lock: string
  readonly dryRun?: boolean
  readonly json?: boolean
  readonly debug?: boolean
}

/** What goes, as JSON says it. */
interface Removal {
  readonly name: string
  readonly versions: readonly string[]
  /** Addresses that led there and go too. */
  readonly requests: readonly string[]
  /** Whether the signer and the highest version that was accepted are forgotten as well. */
  readonly forgotten: boolean
}

export function addRemove(program: Command, context: Context): void {
  const command = program
    .command('remove')
    .summary('takes plugins out of the lock file')
    .description(
      'Takes plugins out of the lock file, with the addresses that led to them. By name everything goes, also who signed it and the highest version that was\n' +
        'accepted, so that the next installation begins anew; by name@version that version only, and the rest is remembered.\n' +
        'The store keeps the content until `plugwire gc`.',
    )
    .argument('<plugins...>', 'names as `plugwire list` shows them, or name@version')
    .option('--lock <file>', 'the lock file', 'plugwire.lock')
    .option('--dry-run', 'say what would be removed, and remove nothing')
  context.finish(command, ['plugwire remove @acme/aws', 'plugwire remove @acme/aws@1.0.0 --dry-run'])
  command.action((plugins: string[], options: RemoveOptions) => context.run(options, () => remove(plugins, options, context)))
}

async function remove(plugins: readonly string[], options: RemoveOptions, { output, signal }: Context): Promise<void> {
  const { readLockFile, unlockPlugin, updateLockFile } = await import('@plugwire/trust')
  const lockFile = resolve(options.lock)
  const dryRun = options.dryRun ?? false
  const wanted = [...new Set(plugins)]
  // Of several names one that is unknown leaves all of them: asked before the file is touched, and again while nobody else can write it.
  let removals = removalsOf(await readLockFile(lockFile), wanted)
  if (!dryRun) {
    const change = (lock: Lock): Lock => {
      removals = removalsOf(lock, wanted)
      return removals.reduce(
        (left, { name, versions, forgotten }) =>
          forgotten ? unlockPlugin(left, name) : versions.reduce((rest, version) => unlockPlugin(rest, name, version), left),
        lock,
      )
    }
    await updateLockFile(lockFile, change, { signal })
  }
  if (options.json) return output.document({ lockFile, dryRun, plugins: removals })
  for (const { name, versions, requests } of removals) {
    await output.line(`${paint('bold', name)} ${versions.join(', ')}   ${dryRun ? 'would be removed' : 'removed'} from ${options.lock}`)
    for (const request of requests) await output.line(`  ${paint('dim', 'asked for by')} ${request}`)
  }
  if (!dryRun) await output.line('The store still has the content; plugwire gc frees what no lock file needs.')
}

function removalsOf(lock: Lock, wanted: readonly string[]): Removal[] {
  return wanted.map(given => {
    const { name, version } = targetOf(lock, given)
    const known = [...(lock.plugins.get(name)?.versions.keys() ?? [])]
    const versions = version === undefined ? known : [version]
    const requests = [...lock.requests].filter(([, to]) => to.plugin === name && versions.includes(to.version)).map(([request]) => request)
    return { name, versions, requests, forgotten: version === undefined }
  })
}

/** @throws PluginError `ERR_SOURCE_NOT_FOUND` with what there is instead */
function targetOf(lock: Lock, given: string): { readonly name: string; readonly version?: string } {
  if (lock.plugins.has(given)) return { name: given }
  // A name may begin with the @ of its scope.
  const at = given.lastIndexOf('@')
  const [name, version] = at > 0 ? [given.slice(0, at), given.slice(at + 1)] : [given, '']
  const plugin = lock.plugins.get(name)
  if (plugin?.versions.has(version)) return { name, version }
  const versions = [...(plugin?.versions.keys() ?? [])]
  const names = [...lock.plugins.keys()]
  const there = plugin === undefined ? names : versions.map(known => `${name}@${known}`)
  throw new PluginError('ERR_SOURCE_NOT_FOUND', {
    subject: given,
    reason: plugin === undefined ? 'the lock file knows no such plugin' : 'the lock file has no such version of it',
    remedy: there.length === 0 ? 'It has none at all.' : `It has ${there.join(', ')}.`,
    versions,
  })
}
