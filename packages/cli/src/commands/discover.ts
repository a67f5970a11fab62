// `plugwire discover`: which plugins an application would find on this machine, and why it would not run the others. Runs nothing.

import { resolve } from 'node:path'
import type { Candidate, Discovery } from '@plugwire/store'
import type { Command } from 'commander'
import { paint } from '../colour.ts'
import type { Context } from '../context.ts'
import { collect } from '../documents.ts'
import { usage } from '../failure.ts'

interface DiscoverOptions {
  readonly pattern?: string
  readonly directory?: readonly string[]
  readonly range?: string
  readonly plugin?: string
  readonly trust?: string
  readonly distrust?: string
  readonly dryRun?: boolean
  readonly json?: boolean
}

export function addDiscover(program: Command, context: Context): void {
  const command = program
    .command('discover')
    .summary('which plugins an application finds on this machine')
    .description(
      "Lists plugins in the user's directory of an application, beside its program and in the current directory, newest versions first, and says of each that\n" +
        'would not be run why: others may write to it, it belongs to somebody else, its link leads nowhere, it may not be executed, … It reads names, manifests,\n' +
        'owners and modes, and runs nothing.\n\n' +
        'Plugins in the current directory are listed, and run only when you have trusted that directory with --trust.',
    )
    .argument('[application]', 'its name: plugins are called <application>-plugin-*')
    .option('--pattern <glob>', 'how plugins are called; what the first * stands for is the name')
    .option('--directory <directory>', 'look there too, before anywhere else; may be repeated', collect)
    .option('--plugin <name>', 'only this one')
    .option('--range <range>', 'only versions in this semver range')
    .option('--trust <directory>', 'run plugins from this directory when it is the current one')
    .option('--distrust <directory>', 'do so no longer')
    .option('--dry-run', 'with --trust and --distrust: change nothing')
  context.finish(command, [
    'plugwire discover acme',
    'plugwire discover acme --plugin aws --range ^2',
    "plugwire discover terraform --pattern 'terraform-provider-*' --directory ~/.terraform.d/plugins",
    'plugwire discover --trust .',
  ])
  command.action((application: string | undefined, options: DiscoverOptions) =>
    context.run(options, () => run(application, options, context)),
  )
}

async function run(application: string | undefined, options: DiscoverOptions, { output }: Context): Promise<void> {
  const store = await import('@plugwire/store')
  const trusted = store.TrustedDirectories.read()
  const changed = options.trust ?? options.distrust
  if (changed !== undefined) {
    if (options.trust !== undefined && options.distrust !== undefined) throw usage('--trust and --distrust exclude each other')
    const directory = resolve(changed)
    if (!options.dryRun) {
      if (options.trust === undefined) trusted.remove(directory)
      else trusted.add(directory)
    }
    if (options.json) return output.document({ directory, trusted: options.trust !== undefined, directories: trusted.directories })
    return output.line(`${directory} is ${options.trust === undefined ? 'no longer ' : ''}trusted to have plugins`)
  }
  if (application === undefined) throw usage('name the application whose plugins are looked for', 'plugwire discover acme')
  const found = await store.discover({
    application,
    places: ['user', 'working'],
    trusts: trusted.has,
    ...(options.pattern !== undefined && { pattern: options.pattern }),
    ...(options.directory !== undefined && { directories: options.directory }),
  })
  const { plugin, range } = options
  const names = [...new Set(found.candidates.map(({ name }) => name))].filter(name => plugin === undefined || name === plugin)
  const candidates = names.flatMap(name => store.rankCandidates(found, { name, ...(range !== undefined && { range }) }))
  if (options.json)
    return output.document({ application, candidates: candidates.map(recordOf), others: found.others, places: found.places })
  for (const candidate of candidates) await show(candidate, output)
  for (const { path, text } of found.others) await output.line(`${paint('dim', '-')} ${inOneLine(`${path}: ${text}`)}`)
  await output.line(placesLine(found, candidates.length))
}

/** Names of files may hold colours and ends of lines, and would look like lines of ours. */
const inOneLine = (text: string): string => text.replace(/\p{Cc}/gu, character => `\\u{${character.charCodeAt(0).toString(16)}}`)

async function show({ name, version, path, claims, refusals }: Candidate, output: Context['output']): Promise<void> {
  const mark = refusals.length === 0 ? paint('green', 'ok') : paint('red', 'no')
  const contract =
    claims === undefined ? '' : paint('dim', `   says it serves ${inOneLine(claims.contract.name)} ${claims.contract.versions.join(', ')}`)
  await output.line(
    `${mark} ${paint('bold', inOneLine(name))}${version === undefined ? '' : ` ${version}`}   ${inOneLine(path)}${contract}`,
  )
  for (const refusal of refusals) {
    const where = refusal.path === path ? '' : `${refusal.path}: `
    await output.line(`   ${inOneLine(`${where}${refusal.text}`)}. ${paint('dim', inOneLine(refusal.remedy))}`)
  }
}

function placesLine({ places }: Discovery, candidates: number): string {
  const looked = places.map(({ directory, failure }) =>
    failure === 'missing' ? `${directory} (not there)` : failure === undefined ? directory : `${directory} (${failure.text})`,
  )
  return paint('dim', `${candidates === 0 ? 'nothing found' : `${candidates} found`}; looked in ${looked.join(', ')}`)
}

const recordOf = ({ claims, version, manifestPath, ...rest }: Candidate) => ({
  ...rest,
  version: version ?? null,
  manifestPath: manifestPath ?? null,
  runnable: rest.refusals.length === 0,
  contract: claims?.contract ?? null,
  publisher: claims?.publisher ?? null,
})
